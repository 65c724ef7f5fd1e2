"""Clips, frames and batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.errors import DatasetError, UsageError
from reference_model.config import DataConfig, FrameConfig, FramePolicy
from reference_model.frame_pixels import normalised_frames
from reference_model.training_data import (
    DatasetClips,
    Epochs,
    SyntheticClips,
    draw_batch,
    language_frame_indices,
    mean_places,
    named_objects,
    open_source,
)
from tests.reference_model.mini_reviosa import ClipList, square_clip

UNIFORM = FrameConfig(language_frames=4, policy=FramePolicy.UNIFORM)
FIRST = FrameConfig(language_frames=5, policy=FramePolicy.FIRST)


@pytest.mark.parametrize(
    ("length", "config", "expected"),
    [
        (12, UNIFORM, [0, 4, 7, 11]),
        (500, UNIFORM, [0, 166, 333, 499]),
        (4, UNIFORM, [0, 1, 2, 3]),
        (3, UNIFORM, [0, 1, 2]),
        (1, UNIFORM, [0]),
        (12, FIRST, [0, 1, 2, 3, 4]),
        (2, FIRST, [0, 1]),
    ],
)
def test_frames_for_the_language_model(length, config, expected):
    assert language_frame_indices(length, config) == expected


def test_normalised_frames_use_imagenet_statistics():
    frames = np.full((2, 10, 20, 3), 255, np.uint8)
    pixels = normalised_frames(frames, 8)
    assert pixels.shape == (2, 3, 8, 8)
    white = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(pixels[0, :, 3, 3], white)


def test_places_are_means_over_frames_where_the_object_is_seen():
    clip = square_clip(frames=6)  # the red square's middle goes from x 10 to 20 of 64
    places = mean_places(clip, [0, 5])
    assert places[0] == pytest.approx([15 / 64, 24 / 48])
    clip.masks_NTHW[0, 5] = False
    assert mean_places(clip, [0, 5])[0] == pytest.approx([10 / 64, 0.5])
    assert mean_places(clip, [5])[0] == pytest.approx([14 / 64, 0.5])  # seen elsewhere: frames 0 to 4
    clip.masks_NTHW[0] = False
    assert mean_places(clip, [0])[0] == pytest.approx([0.5, 0.5])


def test_mirroring_flips_pixels_masks_and_words():
    clip = SyntheticClips("train", 40)
    moving = next(
        one
        for one in map(clip.clip, range(40))
        if any("moving left" in said.text for said in one.expressions)
    )
    flipped = moving.mirrored()
    assert np.array_equal(flipped.frames_THWC[:, :, 0], moving.frames_THWC[:, :, -1])
    assert np.array_equal(flipped.masks_NTHW[..., 0], moving.masks_NTHW[..., -1])
    assert any("moving right" in said.text for said in flipped.expressions)
    back = flipped.mirrored()
    assert [one.text for one in back.expressions] == [one.text for one in moving.expressions]


def test_synthetic_clips_keep_every_visible_pixel():
    from benchmark.datasets.synthetic import clip

    source, rendered = SyntheticClips("train", 3), clip("train", 2)
    for _ in range(2):  # rendered, then from memory
        again = source.clip(2)
        assert np.array_equal(again.frames_THWC, rendered.frames)
        assert np.array_equal(again.masks_NTHW, rendered.masks)
    assert [one.text for one in again.expressions] == [one.text for one in rendered.expressions]


def test_a_dataset_of_the_referee_can_be_a_source(tmp_path, monkeypatch):
    """The synthetic set read through its files gives the same masks and roles as rendered directly."""
    monkeypatch.setenv("INTERRVOS_CACHE", str(tmp_path))
    from benchmark.datasets import open_dataset

    direct = SyntheticClips("val", 1).clip(0)
    stored = DatasetClips(open_dataset("interrvos-synthetic", None, "val"))
    assert len(stored) == 64
    clip = stored.clip(0)
    assert clip.looks is None
    union = {one.text: direct.masks_NTHW[list(one.actors)].any(0) for one in direct.expressions}
    for said in clip.expressions:
        assert np.array_equal(clip.masks_NTHW[list(said.actors)].any(0), union[said.text])
    with pytest.raises(DatasetError, match="does not say how its objects look"):
        named_objects(clip, [0])


def draw(seed: int, **changes):
    wanted = {"expressions": 2, "frames": 5, "language_side": 16, "mask_side": 32, "mirror": False}
    source = ClipList([square_clip(), square_clip()])
    return draw_batch(source, [0, 1], np.random.default_rng(seed), config=UNIFORM, **(wanted | changes))


def test_batches_hold_the_frames_of_the_language_model_and_more():
    batch = draw(0)
    assert batch.language_pixels_BFCSS.shape == (2, 4, 3, 16, 16)
    assert batch.mask_pixels_BKCSS.shape == (2, 5, 3, 32, 32)
    assert [tuple(one.shape) for one in batch.masks] == [(2, 5, 48, 64)] * 2
    assert len(batch.conditioning) == 4
    assert all(len(chosen) == 2 for chosen in batch.expressions)


def test_batches_depend_on_the_generator_alone():
    same, other = draw(3, frames=1), draw(3, frames=1)
    assert torch.equal(same.mask_pixels_BKCSS, other.mask_pixels_BKCSS)
    assert [one.text for one in same.expressions[0]] == [one.text for one in other.expressions[0]]


def test_what_is_not_wanted_is_not_made():
    assert draw(0, for_language=False).language_pixels_BFCSS.numel() == 0
    assert draw(0, for_masks=False).mask_pixels_BKCSS.numel() == 0


def test_epochs_visit_every_clip_once_and_go_on_where_they_stood():
    epochs = Epochs(5, np.random.default_rng(0))
    first = epochs.take(3) + epochs.take(2)
    assert sorted(first) == list(range(5))
    rng = np.random.default_rng(0)
    again = Epochs(5, rng)
    again.take(3)
    state, waiting = rng.bit_generator.state, again.state()
    expected = again.take(6)
    rng.bit_generator.state = state
    resumed = Epochs(5, rng)
    resumed.restore(waiting)
    assert resumed.take(6) == expected


def test_sources_open_by_name():
    assert len(open_source(DataConfig("interrvos-synthetic", "train", clips=3))) == 3


def test_rendered_clips_want_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--data-root.*rendered, not read"):
        open_source(DataConfig("interrvos-synthetic", "train"), tmp_path)
