"""Sentences that nothing satisfies: against the clip where there is one, empty by meaning elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.datasets import Dataset, open_dataset
from benchmark.datasets.impossible_sentences import EMPTY_BY_MEANING, SUBJECT, impossible_sentences
from benchmark.datasets.synthetic import VOCABULARY, clip, write_split
from tests.benchmark.small_release import write_release

CLIPS = 8


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = write_split(tmp_path_factory.mktemp("clips"), "val", CLIPS)
    return open_dataset("interrvos-synthetic", folder.parent, "val")


def test_the_subject_gets_a_colour_that_no_object_has(synthetic: Dataset) -> None:
    for index, video in enumerate(synthetic.videos):
        colours = {look.colour for look in clip("val", index).objects}
        sentences = impossible_sentences(synthetic, video)
        assert set(sentences) == {
            one.expression_id for one in video.expressions if one.caption_type != "multi"
        }
        for one in video.expressions:
            if one.caption_type == "multi":
                continue
            sentence = sentences[one.expression_id]
            subject, before = SUBJECT.match(sentence), SUBJECT.match(one.text)
            assert subject is not None and before is not None
            assert subject["colour"] not in colours
            assert sentence[subject.end() :] == one.text[before.end() :], "the rest is untouched"
            kept = ("size", "texture", "shape")
            assert [subject[part] for part in kept] == [before[part] for part in kept]
            assert set(sentence.split()) <= set(VOCABULARY)


@pytest.mark.parametrize(
    "change",
    [
        lambda video: replace(video, video_id="somebody-elses-clip"),
        lambda video: replace(video, video_id="synthetic-nosplit-00000_clip000"),
        lambda video: replace(video, expressions=video.expressions[1:]),
    ],
    ids=["other name", "other split", "other sentences"],
)
def test_a_clip_that_the_generator_does_not_know_has_none(synthetic: Dataset, change) -> None:  # type: ignore[no-untyped-def]
    assert impossible_sentences(synthetic, change(synthetic.videos[0])) == {}


def test_other_datasets_get_sentences_that_are_empty_by_meaning(tmp_path: Path) -> None:
    dataset = open_dataset("interrvos", write_release(tmp_path / "val").parent)
    for video in dataset.videos:
        sentences = impossible_sentences(dataset, video)
        assert set(sentences) == {one.expression_id for one in video.expressions}
        assert set(sentences.values()) <= set(EMPTY_BY_MEANING)
        assert sentences == impossible_sentences(dataset, video)
