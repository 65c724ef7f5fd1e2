"""J and F of frames, from their six integers.

The one place where the integers become floats. The order of the operations is that of the source, so
the float64 results are the same to the last bit.

Source: davis2017-evaluation, commit ac7c43f, davis2017/metrics.py: `db_eval_iou`, `f_measure`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import MaskError
from benchmark.metrics.definition import COLUMNS, Counts

Scores = NDArray[np.float64]


def region_similarity(counts: Counts) -> Scores:
    """J of each frame, 0 to 1: intersection over union; 1 where both masks are empty.

    Args:
        counts: (..., 6) integers as in `definition.COLUMNS`; the result has shape (...).

    Raises:
        MaskError: when the last axis does not hold six integers.
    """
    intersection, union, *_ = _columns(counts)
    score: Scores = np.divide(intersection, union, out=np.ones(union.shape), where=union > 0)
    return score


def boundary_accuracy(counts: Counts) -> Scores:
    """F of each frame, 0 to 1: harmonic mean of boundary precision and recall.

    Two masks without boundary agree (1), one alone does not (0). A mask that fills the frame has no
    boundary, so full against empty gives F = 1 (and J = 0): the source's rule, kept.

    Args:
        counts: (..., 6) integers as in `definition.COLUMNS`; the result has shape (...).

    Raises:
        MaskError: when the last axis does not hold six integers.
    """
    _, _, in_truth, in_predicted, truth_matched, predicted_matched = _columns(counts)
    both, neither = (in_truth > 0) & (in_predicted > 0), (in_truth == 0) & (in_predicted == 0)
    precision = np.divide(predicted_matched, in_predicted, out=np.zeros(both.shape), where=both)
    recall = np.divide(truth_matched, in_truth, out=np.zeros(both.shape), where=both)
    total = precision + recall
    score: Scores = np.divide(2 * precision * recall, total, out=np.zeros(both.shape), where=total > 0)
    score[neither] = 1.0
    return score


def _columns(counts: Counts) -> list[NDArray[np.int64]]:
    if counts.ndim < 1 or counts.shape[-1] != len(COLUMNS) or counts.dtype.kind not in "iu":
        raise MaskError(
            "counts must be integers with six columns",
            expected=f"shape (..., {len(COLUMNS)}) of " + ", ".join(COLUMNS),
            found=f"shape {counts.shape} of {counts.dtype}",
        )
    return [np.asarray(counts[..., index]) for index in range(len(COLUMNS))]
