"""Means over the parts of a track where its object has left, and where it has come back.

A disappearance runs from the first frame without truth to the last one before the object is seen again, a
reappearance from there to the frame before it leaves again. What a track begins with is neither. A mean is
taken of each part, then of the parts.

Source: henghuiding/MOSE-api, commit 241977a, MOSEv2/sam2_rcms/tools/score.py: `merge_chunk_results`.
"""

from __future__ import annotations

from itertools import groupby

import numpy as np

from benchmark.metrics.families import Areas
from benchmark.metrics.scores import Scores

KINDS = ("disappearance", "reappearance")


def segment_mean(values: Scores, truth_areas: Areas, kind: str) -> float | None:
    """Mean of a measure over the disappearances or the reappearances of a track; `None` where it has none.

    Args:
        values, truth_areas: of each frame, in temporal order.
        kind: one of `KINDS`.
    """
    parts: list[Scores] = []
    start = 0
    for absent, frames in groupby(truth_areas == 0):
        end = start + len(list(frames))
        # What a track begins with is neither.
        if start and absent == (kind == "disappearance"):
            parts.append(values[start:end])
        start = end
    return float(np.mean([part.mean() for part in parts])) if parts else None
