"""Which frames of a clip the language model sees."""

from __future__ import annotations

import numpy as np

from reference_model.config import FramePolicy


def chosen_frames(length: int, count: int, policy: FramePolicy) -> list[int]:
    """Positions of `count` frames in temporal order; all frames of a clip that is too short."""
    if length <= count:
        return list(range(length))
    if policy is FramePolicy.FIRST:
        return list(range(count))
    steps = np.linspace(0, length - 1, count)
    return [int(np.floor(step + 0.5)) for step in steps]
