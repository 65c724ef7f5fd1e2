"""The two SAM2 backends give the same masks: tiny weights, prompts on several frames, memory on the others.

The package is an optional extra; without it these tests are skipped, and CI has a step that installs it.
"""

from __future__ import annotations

import dataclasses
import importlib.util

import pytest
import torch

from benchmark.errors import CheckpointError, EnvironmentProblem, UsageError
from benchmark.frames import FrameArray
from reference_model import sam2_backends
from reference_model.checkpoint import save_checkpoint
from reference_model.config import StageKind
from reference_model.inference_options import InferenceMode
from reference_model.mask_decoder import PromptedMaskDecoder
from reference_model.predictor import load_predictor
from reference_model.sam2_weights import to_native
from tests.reference_model.mini_reviosa import build_mini, mini_model_config, mini_recipe, square_clip, stage
from tests.reference_model.original_checkpoints import SMALL_SAM2, weights_of
from tests.reference_model.test_predict import made_talkative

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("sam2") is None, reason=f"the sam2 package: {sam2_backends.INSTALL_SAM2}"
)
LENGTH, OBJECTS, SIDE = 6, 2, SMALL_SAM2.image_size


def make_pair(newer: bool = False, present: float = 5.0):
    """Ours and the package's with the same lively weights; the score says that objects are there, or not."""
    from reference_model.sam2_package import PackageMaskDecoder

    config = dataclasses.replace(SMALL_SAM2, pointer_times=newer, absent_memory=newer)
    weights = to_native(weights_of("sam2.1" if newer else "sam2"), config, "case")
    ours = PromptedMaskDecoder(config).eval()
    ours.sam2.load_state_dict(weights)
    with torch.no_grad():
        ours.sam2.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(present)
    return ours, PackageMaskDecoder.with_weights_of(ours)


def masks_of(decoder, conditioning, both_ways=False, also_prompted=(), memory_type=None):
    """Logits (T, N, h, w) and object scores."""
    pixels = torch.rand(LENGTH, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    prompts = torch.randn(OBJECTS, 256, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        levels = decoder.encode(pixels)
        steps = decoder.follow(
            lambda frames: [level[None, list(frames)] for level in levels],
            LENGTH,
            torch.zeros(OBJECTS).long(),
            prompts,
            conditioning,
            also_prompted,
            both_ways,
            memory_type,
        )
        found = sorted(steps, key=lambda step: step[0])
    assert [frame for frame, _ in found] == list(range(LENGTH))
    return torch.stack([one.logits_Mhw for _, one in found]), torch.stack(
        [d.object_score_M for _, d in found]
    )


@needs_package
@pytest.mark.parametrize("newer", [False, True], ids=["SAM2", "SAM2.1"])
@pytest.mark.parametrize(
    ("conditioning", "both_ways", "also", "memory_type"),
    [
        ([0], False, (), None),
        ([0, 1, 2], False, (), torch.bfloat16),
        ([1, 5], True, (), None),
        ([0, 4], False, (2, 3), None),
    ],
)
def test_the_package_and_transformers_give_the_same_masks(newer, conditioning, both_ways, also, memory_type):
    ours, package = make_pair(newer)
    mine, scores = masks_of(ours, conditioning, both_ways, also, memory_type)
    theirs, their_scores = masks_of(package, conditioning, both_ways, also, memory_type)
    assert float(mine.std()) > 0.05 and bool((scores > 0).all())
    # In bfloat16 a value on the edge between two may be rounded either way.
    close = 1e-4 if memory_type is None else 5e-3
    torch.testing.assert_close(mine, theirs, atol=close, rtol=0)
    torch.testing.assert_close(scores, their_scores, atol=close, rtol=0)


@needs_package
@pytest.mark.parametrize("newer", [False, True], ids=["SAM2", "SAM2.1"])
def test_absent_objects_are_remembered_in_the_same_way(newer):
    ours, package = make_pair(newer, present=-5.0)
    mine, scores = masks_of(ours, [0])
    theirs, _ = masks_of(package, [0])
    assert bool((scores < 0).all()) and float(mine.std()) > 0.05
    torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=0)
    visible, _ = masks_of(make_pair(newer)[0], [0])
    assert float((visible - mine).abs().max()) > 1e-3  # absence changes what is remembered


@needs_package
def test_sizes_that_the_package_cannot_have():
    with pytest.raises(CheckpointError, match=r"no such sizes; expected width 256.*--sam2-backend"):
        sam2_backends.make_follower("sam2", build_mini())


def test_a_backend_that_is_not_there(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match="sam2 package is not installed"):
        sam2_backends.make_follower("sam2", build_mini())
    with pytest.raises(UsageError, match="unknown backend; expected transformers or sam2"):
        sam2_backends.make_follower("onnx", build_mini())
    assert sam2_backends.make_follower("transformers", build_mini()) is None


@needs_package
@pytest.mark.parametrize(("precision", "apart"), [("float32", 1e-3), ("bfloat16", 0.05)])
@pytest.mark.parametrize("mode", list(InferenceMode))
def test_answers_are_the_same_with_either_backend(tmp_path, mode, precision, apart):
    """From a stored checkpoint to masks at the size of the frames, as `predict --sam2-backend` does it."""
    config = dataclasses.replace(mini_model_config(), mask_decoder=SMALL_SAM2)
    model = build_mini(config)
    shared = model.mask_decoder.sam2.shared_image_embedding.positional_embedding
    model.mask_decoder.sam2.prompt_encoder.shared_embedding.positional_embedding.copy_(shared)
    recipe = dataclasses.replace(mini_recipe(stage(StageKind.VISION)), model=config)
    save_checkpoint(tmp_path, made_talkative(model), recipe, {})
    answers = []
    for backend in sam2_backends.BACKENDS:
        predictor = load_predictor(tmp_path, "cpu", mode, precision=precision, backend=backend)
        made_talkative(predictor.model)
        predictor.open_video(FrameArray(square_clip(7, (36, 50)).frames_THWC))
        answers += predictor.answer(["red square pushing blue square"])
    assert "sam2" in sam2_backends.BACKENDS and answers[0].written == answers[1].written
    for role in ("actor", "target"):
        mine, theirs = (getattr(one, role) for one in answers)
        assert mine.shape == theirs.shape == (7, 36, 50) and 0 < mine.mean() < 1
        assert (mine != theirs).mean() < apart  # a logit of about zero may fall to either side
