"""Image features of a video: each frame encoded once, in pieces, few kept; with and without reading ahead."""

from __future__ import annotations

import pytest
import torch

from reference_model.propagation import frame_order
from reference_model.video_features import VideoFeatures

LENGTH = 40


def make(order, ahead, chunk=4, kept=8):
    """Features that are the frame's own number; what was read and encoded is noted."""
    read, encoded = [], []

    def pixels(frames):
        read.append(list(frames))
        return torch.tensor(list(frames), dtype=torch.float32).view(-1, 1, 1, 1)

    def encode(values):
        encoded.append(values.flatten().int().tolist())
        return [values, values + 100]

    return VideoFeatures(order, pixels, encode, chunk, kept, ahead), read, encoded


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("both_ways", [False, True])
def test_each_frame_is_encoded_once_and_few_are_kept(ahead, both_ways):
    order = frame_order(LENGTH, [0, 13, 39], both_ways)
    features, read, encoded = make(order, ahead)
    for frame in order:
        first, second = features([frame])
        assert first.shape == (1, 1, 1, 1, 1)
        assert (float(first), float(second)) == (frame, frame + 100)
        assert len(features) <= 8
    assert [one for chunk in encoded for one in chunk] == order
    assert max(map(len, encoded)) == 4
    assert [one for chunk in read for one in chunk] == order  # nothing was read in vain
    features.close()
    assert len(features) == 0


@pytest.mark.parametrize("ahead", [False, True])
def test_a_short_video_is_not_encoded_again_for_the_next_questions(ahead):
    order = list(range(8))
    features, _, encoded = make(order, ahead)
    for frame in order * 3:
        assert float(features([frame])[0]) == frame
    assert sum(map(len, encoded)) == 8
    features.close()


@pytest.mark.parametrize("ahead", [False, True])
def test_a_long_video_is_encoded_again_for_the_next_questions(ahead):
    order = list(range(LENGTH))
    features, _, encoded = make(order, ahead)
    for frame in order * 2:
        assert float(features([frame])[0]) == frame
    assert sum(map(len, encoded)) == 2 * LENGTH
    features.close()


def test_a_frame_that_cannot_be_read_ahead_is_told_when_it_is_asked_for():
    def pixels(frames):
        if 4 in frames:
            raise ValueError("frame 4 is broken")
        return torch.zeros(len(frames), 1, 1, 1)

    features = VideoFeatures(range(8), pixels, lambda values: [values], 4, 8, ahead=True)
    for frame in range(4):
        features([frame])
    with pytest.raises(ValueError, match="frame 4 is broken"):
        features([4])
    features.close()
