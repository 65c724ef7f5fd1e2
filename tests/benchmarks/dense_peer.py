"""The dense algorithm that other evaluators run on a pair of masks, to measure against.

`davis2017()` imports the DAVIS 2017 code itself from the checkout that REFEREE_DAVIS2017 names. Where there
is none, `stand_in()` does the same work in the same way, written anew: whole-frame boolean maps, one
`cv2.dilate` with the disk for each mask. It is somewhat faster than the original, so ratios to it are low.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

PEER_VARIABLE = "REFEREE_DAVIS2017"

Mask = NDArray[np.bool_]
Evaluator = Callable[[Mask, Mask], tuple[float, float]]
"""Truth and prediction to J and F."""


def davis2017() -> tuple[Evaluator | None, str]:
    """J and F by the DAVIS 2017 code on one thread, or `None` and the reason why it is not there."""
    folder = os.environ.get(PEER_VARIABLE)
    if not folder:
        return None, f"{PEER_VARIABLE} names no checkout of davis2017-evaluation"
    sys.path.insert(0, folder)
    try:
        metrics: Any = importlib.import_module("davis2017.metrics")
        importlib.import_module("skimage.morphology")
    except ImportError as error:
        return None, f"the checkout at {folder} cannot be imported: {error}"
    finally:
        sys.path.remove(folder)
    _one_thread()

    def evaluate(truth: Mask, predicted: Mask) -> tuple[float, float]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # 0 / 0 where both masks are empty
            return float(metrics.db_eval_iou(truth, predicted)), metrics.db_eval_boundary(truth, predicted)

    return evaluate, ""


def stand_in(height: int, width: int) -> Evaluator:
    """The same algorithm, written anew, for frames of one size."""
    import cv2

    _one_thread()
    radius = int(np.ceil(0.008 * np.hypot(height, width)))
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x * x + y * y <= radius * radius).astype(np.uint8)

    def border(mask: Mask) -> Mask:
        found = np.zeros_like(mask)
        found[:, :-1] |= mask[:, :-1] != mask[:, 1:]
        found[:-1] |= mask[:-1] != mask[1:]
        found[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
        return found

    def share(part: Mask, near: NDArray[np.uint8], other_is_empty: bool) -> float:
        total = np.count_nonzero(part)
        if not total:
            return 1.0
        return 0.0 if other_is_empty else np.count_nonzero(part & (near > 0)) / total

    def evaluate(truth: Mask, predicted: Mask) -> tuple[float, float]:
        union = np.count_nonzero(truth | predicted)
        j = np.count_nonzero(truth & predicted) / union if union else 1.0
        in_truth, in_predicted = border(truth), border(predicted)
        near_truth = cv2.dilate(in_truth.astype(np.uint8), disk)
        near_predicted = cv2.dilate(in_predicted.astype(np.uint8), disk)
        precision = share(in_predicted, near_truth, not in_truth.any())
        recall = share(in_truth, near_predicted, not in_predicted.any())
        total = precision + recall
        return j, 2 * precision * recall / total if total else 0.0

    return evaluate


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)
