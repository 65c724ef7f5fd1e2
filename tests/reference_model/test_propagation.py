"""The order in which frames are reached: every frame once, each from the nearest prompted frame."""

from __future__ import annotations

import pytest
import torch

from reference_model.propagation import Run, frame_order, propagation_runs
from tests.reference_model.test_mask_decoder import clip_pixels, frame_levels, lively_decoder, prompt_vectors


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize(
    ("length", "conditioning"), [(1, [0]), (2, [0, 1]), (7, [0, 1, 2]), (9, [3]), (20, [2, 9, 10, 19])]
)
def test_every_frame_is_reached_once(length, conditioning, both_ways):
    order = frame_order(length, conditioning, both_ways)
    assert sorted(order) == list(range(length)) and order[: len(conditioning)] == conditioning


def test_both_ways_each_frame_comes_from_the_nearest_prompt():
    runs = propagation_runs(12, [2, 7], both_ways=True)
    assert runs == [Run((1, 0), -1), Run((3, 4), 1), Run((6, 5), -1), Run((8, 9, 10, 11), 1)]
    assert propagation_runs(5, [0, 4], both_ways=False) == [Run((1, 2, 3), 1)]


def test_a_clip_played_backwards_gives_the_same_masks_backwards():
    """With one prompt in the middle, both ways are mirror images of each other."""
    decoder, pixels, prompt = lively_decoder(multimask=True), clip_pixels(5), prompt_vectors(1)
    of_clip, length = torch.zeros(1).long(), len(pixels)
    found = []
    with torch.no_grad():
        for clip in (pixels, pixels.flip(0)):
            steps = decoder.follow(frame_levels(decoder, clip), length, of_clip, prompt, [3], (), True)
            found.append(torch.stack([one.logits_Mhw[0] for _, one in sorted(steps, key=lambda s: s[0])]))
    assert float(found[0].std()) > 0.05
    torch.testing.assert_close(found[0], found[1].flip(0), atol=1e-4, rtol=0)


def test_forwards_from_the_first_frame_is_both_ways_too():
    decoder, pixels, prompt = lively_decoder(multimask=False), clip_pixels(6), prompt_vectors(1)
    levels = frame_levels(decoder, pixels)
    with torch.no_grad():
        one, other = (
            [
                decoded.logits_Mhw
                for _, decoded in decoder.follow(
                    levels, len(pixels), torch.zeros(1).long(), prompt, [0], (), both_ways
                )
            ]
            for both_ways in (False, True)
        )
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
