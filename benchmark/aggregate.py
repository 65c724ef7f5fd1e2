"""From the counts of frames to the score of an expression, and from expressions to the headline.

The order of the operations is that of the official scripts, in float64: J and F of every frame, a
plain mean over all frames of the clip, a plain mean over expressions, times 100; J&F is 100 times the
mean of the two means. Nothing is rounded here: tables show two decimals, files keep all digits.

Source: cvlab-kaist/InterRVOS eval_interrvos.py (commit 885a1cbc), itself MeViS's procedure.

A failed or missing prediction scores 0 on every frame, also on frames whose truth is empty; the
official scripts leave such items out of the mean instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.definition import Counts
from benchmark.metrics.scores import boundary_accuracy, region_similarity

MISSING = "missing"
"""Status of an expression that was asked for and never answered; beside those of `types.Status`."""

FrameScores = NDArray[np.float64]  # (T,)


@dataclass(frozen=True, slots=True)
class TrackScore:
    """J and F (0 to 1) of one predicted track: over all frames, and over two kinds of frames apart.

    `present` frames have truth pixels, `absent` frames have none; a mean over no frame is `None`.
    `size` is the truth's share of the frame area, averaged over present frames.
    """

    j: float
    f: float
    frames: int
    absent_frames: int
    present_j: float | None
    present_f: float | None
    absent_j: float | None
    absent_f: float | None
    size: float | None


@dataclass(frozen=True, slots=True)
class ExpressionScore:
    """One expression under one protocol: what was asked, how it ended, what it scored."""

    setting: str  # name of the protocol
    video_id: str
    expression_id: str
    expression: str
    caption_type: str
    target_count: int
    tags: tuple[str, ...]
    status: str  # a `types.Status` value or MISSING
    track: TrackScore

    @property
    def failed(self) -> bool:
        """Whether the expression got 0 by rule: the prediction failed or is missing."""
        return self.status not in ("ok", "abstain", "no_mask")


@dataclass(frozen=True, slots=True)
class Headline:
    """J, F and J&F in percent, before rounding."""

    j: float
    f: float
    jf: float


def track_score(counts: Counts, truth_areas: NDArray[np.int64], pixels: int, *, zero: bool) -> TrackScore:
    """The score of one track of a clip.

    Args:
        counts: (T, 6) integers as in `metrics.definition.COLUMNS`.
        truth_areas: (T,) pixels of the truth in each frame.
        pixels: height x width of the frames.
        zero: the prediction failed or is missing: 0 on every frame, whatever the counts say.
    """
    length = len(counts)
    j = np.zeros(length) if zero else region_similarity(counts)
    f = np.zeros(length) if zero else boundary_accuracy(counts)
    present = truth_areas > 0
    return TrackScore(
        j=float(np.mean(j)),
        f=float(np.mean(f)),
        frames=length,
        absent_frames=length - int(np.count_nonzero(present)),
        present_j=_mean(j[present]),
        present_f=_mean(f[present]),
        absent_j=_mean(j[~present]),
        absent_f=_mean(f[~present]),
        size=_mean(truth_areas[present] / pixels),
    )


def headline(j: Sequence[float] | FrameScores, f: Sequence[float] | FrameScores) -> Headline | None:
    """Percentages over expressions, each weighing the same; `None` when there is no expression.

    Args:
        j, f: scores of expressions, 0 to 1, in the order of the dataset file.
    """
    if len(j) == 0:
        return None
    mean_j, mean_f = np.mean(j), np.mean(f)
    return Headline(100 * float(mean_j), 100 * float(mean_f), 100 * float((mean_j + mean_f) / 2))


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(np.mean(values)) if values.size else None
