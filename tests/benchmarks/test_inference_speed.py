"""Eight interaction expressions of one clip: the recommended way against the released one, small weights.

At real sizes: python -m tests.benchmarks.measure_inference --sizes 1b --device cuda --dtype bfloat16
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from reference_model.inference_options import InferenceMode, options_for
from reference_model.model import Reviosa
from tests.benchmarks.measure_inference import (
    EXPRESSIONS,
    Work,
    ask,
    build,
    counted_passes,
    make_clip,
    predictor_of,
    small_config,
)

WORK = Work(frames=8, height=40, width=72)


@pytest.fixture(scope="module")
def model() -> Reviosa:
    torch.set_num_threads(1)
    config = small_config()
    smaller = dataclasses.replace(config.mask_decoder, image_size=64, blocks=(1, 1, 2, 1), global_blocks=(3,))
    return build(dataclasses.replace(config, mask_decoder=smaller), "cpu", torch.float32)


@pytest.mark.parametrize("mode", list(InferenceMode))
def test_eight_expressions(benchmark: Any, model: Reviosa, mode: InferenceMode) -> None:
    predictor = predictor_of(model, "cpu", torch.float32, options_for(mode, model.config))
    assert benchmark(ask, predictor, make_clip(WORK), EXPRESSIONS) == 2 * len(EXPRESSIONS)


def test_frames_are_encoded_once_and_not_once_for_every_role(model: Reviosa) -> None:
    clip = make_clip(WORK)
    passes = {
        mode: counted_passes(
            predictor_of(model, "cpu", torch.float32, options_for(mode, model.config)), clip, EXPRESSIONS
        )
        for mode in InferenceMode
    }
    assert passes[InferenceMode.DEFAULT] == WORK.frames
    assert passes[InferenceMode.OFFICIAL] == 2 * len(EXPRESSIONS) * WORK.frames
