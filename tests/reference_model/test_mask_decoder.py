"""The prompted tracker against transformers' own loop, and its promises about batching and memory."""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager

import pytest
import torch
from transformers import Sam2VideoInferenceSession

from reference_model.mask_decoder import HIDDEN_LOGIT, Decoded, PromptedMaskDecoder
from tests.reference_model.mini_reviosa import mini_model_config

LENGTH = 7


@pytest.fixture(scope="module")
def decoder() -> PromptedMaskDecoder:
    return lively_decoder(multimask=False)


def lively_decoder(multimask: bool) -> PromptedMaskDecoder:
    """Random weights that are far from degenerate: a negative object score would hide every mask and
    make all comparisons trivially true."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        config = dataclasses.replace(mini_model_config().mask_decoder, multimask=multimask)
        made = PromptedMaskDecoder(config).eval()
    with torch.no_grad():
        for weight in made.parameters():
            if weight.dim() > 1:
                weight.mul_(1.3)
        made.sam2.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(5.0)
    return made


def clip_pixels(seed: int = 0) -> torch.Tensor:
    return torch.rand(LENGTH, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def prompt_vectors(count: int) -> torch.Tensor:
    return torch.randn(count, 128, generator=torch.Generator().manual_seed(9))


def frame_levels(decoder: PromptedMaskDecoder, *clips: torch.Tensor):
    levels = [decoder.encode(clip) for clip in clips]
    return lambda frames: [torch.stack([one[level][list(frames)] for one in levels]) for level in range(3)]


@contextmanager
def appended_prompt(decoder: PromptedMaskDecoder, vector: torch.Tensor):
    """Put a vector into transformers' own loop: behind what its prompt encoder gives."""

    def append(_module, _inputs, output):
        sparse, dense = output
        return torch.cat([sparse, vector.expand(*sparse.shape[:2], 1, -1)], dim=2), dense

    handle = decoder.sam2.prompt_encoder.register_forward_hook(append)
    try:
        yield
    finally:
        handle.remove()


def official_track(decoder: PromptedMaskDecoder, pixels: torch.Tensor, vector: torch.Tensor):
    session = Sam2VideoInferenceSession(video=pixels, video_height=64, video_width=64, dtype=torch.float32)
    session.obj_id_to_idx(1)
    with appended_prompt(decoder, vector):
        session.obj_with_new_inputs = [1]
        decoder.sam2(session, frame_idx=0)
    session.obj_with_new_inputs = []
    found = list(decoder.sam2.propagate_in_video_iterator(session, start_frame_idx=0))
    return torch.stack([one.pred_masks[0, 0] for one in found])


@pytest.mark.parametrize("multimask", [False, True])
def test_tracker_equals_the_loop_of_transformers(multimask):
    decoder = lively_decoder(multimask)
    pixels, prompts = clip_pixels(), prompt_vectors(2)
    with torch.no_grad():
        own = decoder.track(frame_levels(decoder, pixels), LENGTH, torch.zeros(2).long(), prompts, [0])
    for row in range(2):
        official = official_track(decoder, pixels, prompts[row])
        assert float(official.std()) > 0.05  # not the same number everywhere
        # transformers keeps memory in bfloat16, we don't.
        torch.testing.assert_close(own.logits_NThw[row, 0], official[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(own.logits_NThw[row], official, atol=5e-3, rtol=0)
    assert bool((own.object_score_NT > 0).all())


def test_objects_and_clips_do_not_mix(decoder):
    """Two clips with one and two objects, followed together or each alone."""
    first, second, prompts = clip_pixels(1), clip_pixels(2), prompt_vectors(3)
    with torch.no_grad():
        both = decoder.track(
            frame_levels(decoder, first, second), LENGTH, torch.tensor([0, 1, 1]), prompts, [0, 3, 6]
        )
        for row, pixels in ((0, first), (1, second), (2, second)):
            alone = decoder.track(
                frame_levels(decoder, pixels),
                LENGTH,
                torch.zeros(1).long(),
                prompts[row : row + 1],
                [0, 3, 6],
            )
            torch.testing.assert_close(both.logits_NThw[row], alone.logits_NThw[0], atol=1e-4, rtol=1e-4)


def test_conditioning_frames_do_not_depend_on_other_frames(decoder):
    prompts = prompt_vectors(1)
    pixels = clip_pixels(4)
    changed = pixels.clone()
    changed[1] = 0.0
    object_of = torch.zeros(1).long()
    with torch.no_grad():
        before = decoder.track(frame_levels(decoder, pixels), LENGTH, object_of, prompts, [0, 4])
        after = decoder.track(frame_levels(decoder, changed), LENGTH, object_of, prompts, [0, 4])
        still = decoder.segment_frames(decoder.encode(pixels), torch.tensor([0, 4]), prompts.expand(2, -1))
    assert torch.equal(before.logits_NThw[0, [0, 4]], after.logits_NThw[0, [0, 4]])
    torch.testing.assert_close(still.logits_Mhw, before.logits_NThw[0, [0, 4]], atol=1e-5, rtol=1e-5)
    # Frame 2 remembers frame 1, so it must notice.
    assert not torch.allclose(before.logits_NThw[0, 2], after.logits_NThw[0, 2])


def test_gradient_reaches_the_prompt_through_memory(decoder):
    prompts = prompt_vectors(1).requires_grad_()
    levels = frame_levels(decoder, clip_pixels())
    tracked = decoder.track(levels, LENGTH, torch.zeros(1).long(), prompts, [0])
    tracked.logits_NThw[:, -1].sum().backward()
    assert prompts.grad is not None and float(prompts.grad.abs().sum()) > 0
    assert decoder.sam2.memory_encoder.projection.weight.grad is not None
    decoder.zero_grad()


def test_one_frame_and_no_past(decoder):
    pixels = clip_pixels()[:1]
    with torch.no_grad():
        alone = decoder.track(frame_levels(decoder, pixels), 1, torch.zeros(1).long(), prompt_vectors(1), [0])
    assert alone.logits_NThw.shape == (1, 1, 16, 16)


@pytest.mark.parametrize("both_ways", [False, True])
def test_memory_of_long_clips_is_bounded(decoder, both_ways):
    """What no later frame can read is dropped: the bank never holds more than the reach of the model."""
    held = []
    original = decoder._forget

    def watched(bank, frame, run, kept):
        original(bank, frame, run, kept)
        held.append(len(bank))

    decoder._forget = watched
    try:
        pixels = torch.rand(60, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            levels, of_clip = frame_levels(decoder, pixels), torch.zeros(1).long()
            list(decoder.follow(levels, 60, of_clip, prompt_vectors(1), [0, 30], (), both_ways))
    finally:
        decoder._forget = original
    assert max(held) <= 2 + decoder.config.max_pointers - 1


def test_absent_objects_show_no_pixel(decoder):
    decoded = Decoded(torch.ones(2, 4, 4), torch.zeros(2, 128), torch.tensor([1.0, -1.0]))
    shown = decoder.shown(decoded)
    assert bool((shown[0] == 1).all()) and bool((shown[1] == HIDDEN_LOGIT).all())
