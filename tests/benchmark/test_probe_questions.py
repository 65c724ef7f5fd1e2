"""Who is asked what instead: by annotation ids alone, in mutual pairs, the same for every model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.datasets import Dataset, open_dataset
from benchmark.datasets.synthetic import write_split
from benchmark.probe_questions import (
    Probe,
    ProbeQuestion,
    _partners,
    means_the_same,
    probe_questions,
    roles_are_swapped,
)
from benchmark.selection import select_expressions
from benchmark.types import Expression
from tests.benchmark.small_release import write_release

IDS = ("1", "2", "3")


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = write_split(tmp_path_factory.mktemp("clips"), "val", 12)
    return open_dataset("interrvos-synthetic", folder.parent, "val")


def questions_of(dataset: Dataset, limit: int | None = None) -> Iterator[tuple[str, ProbeQuestion]]:
    asked = probe_questions(select_expressions(dataset, lambda one: True, limit))
    for video_id, questions in asked.by_video.items():
        for one in questions:
            yield video_id, one


def interaction(name: str, actors: tuple[str, ...], targets: tuple[str, ...]) -> Expression:
    return Expression(name, f"sentence {name}", "unidirectional", actors, targets)


def test_both_voices_are_each_others_swap(synthetic: Dataset) -> None:
    swaps = [(video, one) for video, one in questions_of(synthetic) if one.probe is Probe.ROLES_SWAPPED]
    partner = {(video, one.own.expression_id): one.asked.expression_id for video, one in swaps}
    assert len(swaps) == sum(one.is_interaction for video in synthetic.videos for one in video.expressions)
    for video, one in swaps:
        assert set(one.asked.actor_ids) <= set(one.own.target_ids)
        assert set(one.own.actor_ids) <= set(one.asked.target_ids)
        assert partner[video, one.asked.expression_id] == one.own.expression_id
        assert one.by_the_run


def test_a_paraphrase_is_another_sentence_with_the_same_truth(synthetic: Dataset) -> None:
    found = [one for _, one in questions_of(synthetic) if one.probe is Probe.PARAPHRASE]
    assert found
    for one in found:
        assert one.own.text != one.asked.text
        assert set(one.own.actor_ids) == set(one.asked.actor_ids)
        assert set(one.own.target_ids) == set(one.asked.target_ids)


def test_foreign_sentences_are_of_the_type_and_of_no_sentence_of_the_video(synthetic: Dataset) -> None:
    own = {video.video_id: {one.text for one in video.expressions} for video in synthetic.videos}
    types = {one.text: one.caption_type for video in synthetic.videos for one in video.expressions}
    found = [(video, one) for video, one in questions_of(synthetic) if one.probe is Probe.OTHER_VIDEO]
    assert len(found) == sum(len(texts) for texts in own.values())
    for video, one in found:
        assert one.asked.text not in own[video]
        assert types[one.asked.text] == one.own.caption_type
        assert (one.asked.actor_ids, one.asked.target_ids) == ((), ())
        assert not one.by_the_run


def test_a_limited_run_asks_the_same_and_partners_it_left_out(synthetic: Dataset) -> None:
    def shape(one: ProbeQuestion) -> tuple[Probe, str, str]:
        return one.probe, one.own.text, one.asked.text

    limited = list(questions_of(synthetic, 1))
    first = limited[0][1].own
    whole = [
        shape(one) for video, one in questions_of(synthetic) if (video, one.own) == (limited[0][0], first)
    ]
    assert [shape(one) for _, one in limited] == whole
    assert not any(one.by_the_run for _, one in limited)
    to_ask = probe_questions(select_expressions(synthetic, lambda one: True, 1)).to_ask
    texts = [one.text for video in to_ask.videos for one in video.expressions]
    assert sorted(texts) == sorted({text for _, _, text in whole})


def test_the_counts_say_what_could_not_be_probed(tmp_path: Path) -> None:
    dataset = open_dataset("interrvos", write_release(tmp_path / "val").parent)
    asked = probe_questions(select_expressions(dataset, lambda one: True))
    assert {probe: (asked.count(probe), asked.candidates[probe]) for probe in Probe} == {
        Probe.ROLES_SWAPPED: (0, 1),
        Probe.OTHER_VIDEO: (5, 5),
        Probe.IMPOSSIBLE: (5, 5),
        Probe.PARAPHRASE: (0, 5),
    }


def test_a_dataset_of_one_video_has_no_foreign_sentence(tmp_path: Path) -> None:
    from tests.benchmark.small_release import meta

    one_video = meta()
    del one_video["videos"]["222_clip000"]
    dataset = open_dataset("interrvos", write_release(tmp_path / "val", one_video).parent)
    assert probe_questions(select_expressions(dataset, lambda one: True)).count(Probe.OTHER_VIDEO) == 0


def test_roles_that_are_not_exchanged() -> None:
    one = interaction("0", ("1",), ("2",))
    assert roles_are_swapped(one, interaction("1", ("2",), ("1",)))
    assert not roles_are_swapped(one, interaction("1", ("1",), ("2",))), "the same roles"
    assert not roles_are_swapped(one, interaction("1", ("2",), ("1", "3"))), "a third object"
    assert not roles_are_swapped(one, interaction("1", ("1", "2"), ("1",))), "an actor in both roles"
    assert not roles_are_swapped(one, Expression("1", "x", "single", ("2",)))
    assert roles_are_swapped(interaction("0", ("1",), ("2", "3")), interaction("1", ("3",), ("2", "1")))


def test_sentences_about_nothing_are_no_paraphrases() -> None:
    assert not means_the_same(Expression("0", "a", "single", ()), Expression("1", "b", "single", ()))


ids = st.lists(st.sampled_from(IDS), min_size=1, max_size=2, unique=True).map(tuple)


@given(st.lists(st.tuples(ids, ids), max_size=8))
def test_partners_fit_and_nobody_who_fits_stays_alone(
    roles: list[tuple[tuple[str, ...], tuple[str, ...]]],
) -> None:
    expressions = [interaction(str(place), *each) for place, each in enumerate(roles)]
    for fit in (roles_are_swapped, means_the_same):
        partner = _partners(expressions, fit)
        for one in expressions:
            others = [other for other in expressions if other.text != one.text and fit(one, other)]
            assert (one.expression_id in partner) == bool(others)
            assert not others or partner[one.expression_id] in others
