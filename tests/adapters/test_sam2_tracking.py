"""SAM2 follows boxes: a tiny random model of the real class, loaded from disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Sam2VideoProcessor

from adapters.parts.box_answers import FrameBox
from adapters.parts.sam2_tracking import DEVIATION, MEAN, BoxTracker
from adapters.parts.video_sessions import resized
from benchmark.errors import CheckpointError
from benchmark.frames import FrameArray
from benchmark.masks import decode_track
from tests.adapters.tiny_checkpoints import SIDE, write_qwen, write_sam2

FRAMES = FrameArray(np.random.default_rng(0).integers(0, 255, (5, 40, 60, 3), np.uint8))
LEFT, RIGHT = FrameBox(2, 3, 5, 21, 30), FrameBox(2, 30, 10, 55, 39)
EARLY = FrameBox(0, 10, 10, 30, 30)


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> BoxTracker:
    torch.set_num_threads(1)
    made = BoxTracker(str(write_sam2(tmp_path_factory.mktemp("sam2"))), None, "cpu")
    made.open_video(FRAMES)
    return made


def test_every_box_gets_a_mask_on_every_frame(tracker: BoxTracker) -> None:
    tracks = tracker.track([LEFT, EARLY, RIGHT])
    assert [(len(track), track.height, track.width) for track in tracks] == [(5, 40, 60)] * 3
    assert all(None not in track.counts for track in tracks)
    assert tracker.track([]) == [] and tracker.parameters > 1_000_000


def test_objects_do_not_influence_one_another(tracker: BoxTracker) -> None:
    together = tracker.track([LEFT, EARLY, RIGHT])
    for box, track in zip([LEFT, EARLY, RIGHT], together, strict=True):
        assert tracker.track([box]) == [track]


def test_a_box_becomes_the_prompt_that_the_processor_makes(tracker: BoxTracker) -> None:
    processor = object.__new__(Sam2VideoProcessor)  # its __init__ needs torchvision
    processor.target_size, processor.point_pad_value = SIDE, -10
    theirs = tracker.clip.session()
    corners = [[[LEFT.left, LEFT.top, LEFT.right, LEFT.bottom]]]
    processor.process_new_points_or_boxes_for_video_frame(theirs, 2, [0], input_boxes=corners)
    ours = tracker.box_prompt(LEFT)
    for name, value in theirs.point_inputs_per_obj[0][2].items():
        assert torch.allclose(value, ours[name]) and value.dtype == ours[name].dtype
        assert value.shape == ours[name].shape


def test_the_prompted_frame_decides_both_directions(tracker: BoxTracker) -> None:
    """What comes after the box is what the model's own forward pass over the rest gives."""
    session = tracker.clip.session()
    session.add_point_inputs(session.obj_id_to_idx(0), 2, tracker.box_prompt(LEFT))
    session.obj_with_new_inputs = [0]
    tracker.model(session, frame_idx=2)
    own = {
        step.frame_idx: tracker.clip.masks(step.pred_masks)[0]
        for step in tracker.model.propagate_in_video_iterator(session, start_frame_idx=2)
    }
    (track,) = tracker.track([LEFT])
    assert sorted(own) == [2, 3, 4]
    assert all(np.array_equal(decode_track(track)[frame], mask) for frame, mask in own.items())


def test_frames_are_squeezed_and_normalised() -> None:
    grey = FrameArray(np.full((2, 30, 70, 3), 124, np.uint8))
    pixels = resized(grey, 16, MEAN, DEVIATION)
    assert pixels.shape == (2, 3, 16, 16)
    expected = [(124 / 255 - 0.485) / 0.229, (124 / 255 - 0.456) / 0.224, (124 / 255 - 0.406) / 0.225]
    assert pixels.amax(dim=(0, 2, 3)).tolist() == pytest.approx(expected, abs=1e-5)


def test_wrong_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint here; expected config\.json and weights"):
        BoxTracker(str(tmp_path), None, "cpu")
    with pytest.raises(
        CheckpointError, match="not a SAM2 video model; expected sam2_video or sam2; found qwen2_5_vl"
    ):
        BoxTracker(str(write_qwen(tmp_path / "qwen")), None, "cpu")
