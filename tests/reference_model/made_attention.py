"""Tokens with attention that is written down by hand."""

from __future__ import annotations

import dataclasses

import numpy as np

from benchmark.types import Role
from reference_model.attention_reading import ClipAttention, TokenAttention

PLAIN = TokenAttention(
    clip=0,
    expression=0,
    text="red square",
    role=Role.ACTOR,
    said="red [SEG_ACT]",
    vision_YH=np.array([[0.5, 0.25], [0.75, 1.0]], np.float32),
    text_YH=np.array([[0.5, 0.75], [0.25, 0.0]], np.float32),
    mask_YH=np.array([[0.1, 0.2], [0.3, 0.5]], np.float32),
    covered=0.25,
    j_and_f=0.5,
    maps_YHX=None,
    truth_X=np.array([True, False, False, False]),
)


def token(**changes) -> TokenAttention:
    return dataclasses.replace(PLAIN, **changes)


def clip_of(*tokens: TokenAttention, expected=(1, 0), missing=(0, 0)) -> ClipAttention:
    return ClipAttention(
        (0,), tokens, dict(zip(Role, expected, strict=True)), dict(zip(Role, missing, strict=True))
    )
