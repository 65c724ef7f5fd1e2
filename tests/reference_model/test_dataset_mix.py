"""The mix: which samples come when, what each holds, and what a bad sample or a bad file turns into."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from benchmark.datasets import open_dataset
from benchmark.errors import DatasetError, UsageError
from benchmark.types import Expression
from reference_model.config import TokenNames
from reference_model.dataset_mix import (
    Feed,
    Mix,
    Sample,
    Sizes,
    TextConversations,
    Unreadable,
    drawn_expressions,
    drawn_frames,
    nearest,
    open_parts,
)
from reference_model.full_recipes import tuning_of, with_joint_mix
from reference_model.recipes import find_recipe
from reference_model.tuning_config import MixPart, TuningConfig
from tests.benchmark.test_mevis_form import write_mevis
from tests.reference_model.small_tuning import small_tuning, write_clips

NAMES = TokenNames(actor="[SEG]", target="[SEG_OBJ]")
SIZES = Sizes(56, 64, 16)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("clips"), 4)


def tuning(**changes) -> TuningConfig:
    return tuning_of(small_tuning(**changes))


def mix_of(root, config=None, text=None, held_back=0, seed=0) -> Mix:
    config = config or tuning()
    feed = Feed(config, SIZES, NAMES, lambda words: words)
    return Mix(open_parts(config, root, text, held_back), feed, seed)


def expression(number: int, target: bool) -> Expression:
    kind, targets = ("unidirectional", ("1",)) if target else ("single", ())
    return Expression(str(number), f"text {number}", kind, ("0",), targets)


def test_frames_are_distinct_and_short_clips_repeat_them():
    rng = np.random.default_rng(0)
    for length in range(1, 12):
        for _ in range(20):
            frames = drawn_frames(length, 4, rng)
            assert frames == sorted(frames) and len(frames) == 4
            assert all(0 <= one < length for one in frames)
            if length > 5:
                assert len(set(frames)) == 4
    assert {one for _ in range(300) for one in drawn_frames(9, 4, rng)} == set(range(9))


def test_expressions_with_a_target_come_first_and_there_are_always_five():
    rng = np.random.default_rng(0)
    many = [expression(number, number in (3, 7)) for number in range(9)]
    drawn = [drawn_expressions(many, 5, True, rng) for _ in range(200)]
    assert all(len(one) == 5 and one[0].is_interaction for one in drawn)
    assert {one[0].expression_id for one in drawn} == {"3", "7"}
    few = [expression(0, False), expression(1, True)]
    for _ in range(20):
        said = drawn_expressions(few, 5, True, rng)
        order = [one.is_interaction for one in said]
        assert order == sorted(order, reverse=True)
        assert {one.expression_id for one in said} == {"0", "1"} and len(said) == 5
    none = [expression(number, False) for number in range(9)]
    assert len({one.expression_id for one in drawn_expressions(none, 5, True, rng)}) == 5
    assert len(drawn_expressions(many, 5, False, rng)) == 5


def test_every_clip_comes_once_an_epoch_and_each_time_otherwise(clips):
    mix = mix_of(clips)
    assert len(mix) == 4
    names = [[mix.sample(4 * epoch + one).name.split(",")[0] for one in range(4)] for epoch in range(3)]
    assert all(len(set(one)) == 4 for one in names)
    assert len({tuple(one) for one in names}) > 1
    again = mix_of(clips)
    for position in (0, 5, 11):
        first, second = mix.sample(position), again.sample(position)
        assert (first.name, first.turns) == (second.name, second.turns)
        assert np.array_equal(first.language_FSSC, second.language_FSSC)
        assert np.array_equal(first.actors_EFhw, second.actors_EFhw)
    other = mix_of(clips, seed=1)
    assert {other.sample(one).name for one in range(4)} != {mix.sample(one).name for one in range(4)}


def test_a_sample_holds_the_truth_of_its_sentences(clips):
    sample = mix_of(clips).sample(0)
    assert isinstance(sample, Sample)
    assert sample.language_FSSC.shape == (2, 56, 56, 3) and sample.mask_FSSC.shape == (2, 64, 64, 3)
    assert sample.actors_EFhw.shape == sample.targets_EFhw.shape == (3, 2, 16, 16)
    assert len(sample.turns) == len(sample.has_target_E) == 3
    for number, target in enumerate(sample.has_target_E):
        assert ("[SEG_OBJ]" in sample.turns[number].answer) == target
        assert target or not sample.targets_EFhw[number].any()
    dataset = open_dataset("interrvos-synthetic", clips, "train")
    video = next(one for one in dataset.videos if one.video_id in sample.name)
    frame = video.frame_names.index(sample.name.split("frames ")[1].split(", ")[0])
    texts = {one.text: one for one in video.expressions}
    asked = next(one for one in texts if f" {one.lower()} in this" in f" {sample.turns[0].question.lower()}")
    from benchmark.masks import decode_track

    truth = decode_track(dataset.truth(video, texts[asked].actor_ids))[frame]
    assert np.array_equal(sample.actors_EFhw[0, 0], nearest(truth, 16))


def test_nearest_takes_what_torch_takes():
    import torch

    mask = np.random.default_rng(0).random((37, 61)) > 0.5
    pixels = torch.from_numpy(mask)[None, None].float()
    theirs = torch.nn.functional.interpolate(pixels, (16, 16), mode="nearest")
    assert np.array_equal(nearest(mask, 16), theirs[0, 0].bool().numpy())


def test_a_baseline_has_one_token_and_no_postfix(clips):
    sample = mix_of(clips, tuning(name="reviosa_1b_tiny-baseline")).sample(0)
    assert not any(sample.has_target_E) and not sample.targets_EFhw.any()
    assert all("If both" not in one.question and "[SEG_OBJ]" not in one.answer for one in sample.turns)


def test_the_joint_mix_reads_all_four_and_repeats_as_told(tmp_path, clips):
    for place in ("mevis/train", "ref_ytbvos/train", "ref_davis/train"):
        write_mevis(tmp_path / place)
    shutil.copytree(clips, tmp_path / "InterRVOS" / "train")
    recipe = with_joint_mix(small_tuning())
    config = tuning_of(recipe)
    text = tmp_path / "text.jsonl"
    say = {"conversations": [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "Hello."}]}
    text.write_text(json.dumps(say) + "\n\n")
    mix = mix_of(tmp_path, config, text, held_back=1)
    assert len(mix) == 3 + 4 * (2 + 2 + 2) + 1
    samples = [mix.sample(one) for one in range(len(mix))]
    found = Counter(one.name.split(":")[0] for one in samples if isinstance(one, Sample))
    assert found["interrvos train"] == 3 and found["text"] == 1
    assert [found[f"{one} train"] for one in ("mevis", "ref-youtube-vos", "ref-davis17")] == [8, 8, 8]
    others = [one for one in samples if one.name.startswith(("mevis", "ref-"))]
    asked = [turn.question for one in others for turn in getattr(one, "turns", ())]
    assert asked and not any("If both" in one for one in asked)


def test_fewer_clips_than_are_held_back(clips):
    with pytest.raises(DatasetError, match=r"no clip.*to train on; found 4 clips, which are all held back"):
        mix_of(clips, held_back=16)


def test_unreadable_frames_and_frames_of_another_size_are_named(tmp_path, clips):
    root = shutil.copytree(clips, tmp_path / "train")
    dataset = open_dataset("interrvos-synthetic", root, "train")
    cut, resized = (video.video_id for video in dataset.videos[:2])
    for path in (root / "JPEGImages" / cut).iterdir():
        path.write_bytes(path.read_bytes()[:200])
    for path in (root / "JPEGImages" / resized).iterdir():
        Image.new("RGB", (40, 30)).save(path)
    mix = mix_of(root)
    found = {one.name.split(" ")[-1]: one for one in map(mix.sample, range(4)) if isinstance(one, Unreadable)}
    assert set(found) == {cut, resized}
    assert "another size than the masks; expected 96x128; found 30x40" in found[resized].reason
    assert cut in found[cut].reason


def test_datasets_without_targets_are_refused_where_a_target_is_to_be_taught(tmp_path):
    write_mevis(tmp_path / "mevis" / "train")
    config = replace(tuning(), mix=(MixPart("mevis"),))
    with pytest.raises(DatasetError, match=r"mevis train: no expression of these datasets has a.*\+aml"):
        mix_of(tmp_path, config)
    assert len(mix_of(tmp_path, replace(config, target_token=False))) == 2
    with pytest.raises(DatasetError, match="no clip with an expression"):
        mix_of(tmp_path, replace(config, target_token=False), held_back=9)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "there are no text samples"),
        ("{", r"text.jsonl:1: not a conversation"),
        ('{"conversations": [{"from": "gpt", "value": "x"}]}', "not a conversation"),
        ('{"conversations": [{"from": "human", "value": "x"}]}', "not a conversation"),
        ('{"conversations": []}', "not a conversation"),
    ],
)
def test_text_samples_that_are_none(tmp_path, content, said):
    path = tmp_path / "text.jsonl"
    path.write_text(content)
    with pytest.raises(DatasetError, match=said):
        TextConversations(path)


def test_a_text_file_that_is_not_there(tmp_path):
    with pytest.raises(DatasetError, match="text samples cannot be read"):
        TextConversations(tmp_path / "text.jsonl")


def test_one_folder_is_not_read_as_several_datasets(tmp_path):
    recipe = with_joint_mix(find_recipe("reviosa_1b_tiny"))
    with pytest.raises(UsageError, match=r"two datasets of the mix.*interrvos and mevis in"):
        open_parts(tuning_of(recipe), write_clips(tmp_path, 2), None)
