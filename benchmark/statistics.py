"""How sure a number is: intervals from redrawing videos, and paired differences.

Expressions of one video stand and fall together, so the thing redrawn is the video with all its
expressions (a cluster bootstrap): as many videos as there are, with replacement, and the mean over the
drawn expressions. The 95% interval runs between the order statistics 250 and 9750 of 9999 such means
(percentile method). All cells of a result, and all results on one dataset, see the same seeded draws.

Two results are compared on the differences of their expressions, in the same draws. They are *tied*
when the 95% interval of the mean difference contains 0. Half the width of that interval is the
*detectable gap*: a smaller difference would have been a tie.

The sums of a draw are taken over integers (deviations from the mean in units of 2^-30, exact in
float64 in any order), so equal scores give equal bytes on every machine, and scores without variance
give an interval of no width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import UsageError

Interval = tuple[float, float]
"""(low, high), in the unit of the number it belongs to."""

DRAWN_AT_ONCE = 1 << 20  # entries of one block of draws: bounds the memory, not the result


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How often and from which seed videos are redrawn."""

    resamples: int = 9999
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """Values of expressions with the positions of their videos; `mean` is what the interval is for."""

    videos: NDArray[np.int64]  # (E,)
    values: NDArray[np.float64]  # (E,)
    mean: float


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Mean difference of two results over the same expressions (first minus second).

    `share_above` is the share of draws in which the first is ahead. What needs an interval is `None`
    when all expressions are of one video.
    """

    difference: float
    interval: Interval | None
    tie: bool | None
    detectable_gap: float | None
    share_above: float | None
    expressions: int
    videos: int


def check_seed(seed: int) -> None:
    """Refuse a seed that no generator takes.

    Raises:
        UsageError: when it is negative.
    """
    if seed < 0:
        raise UsageError("a seed cannot be negative", where="--seed", expected="0 or more", found=str(seed))


def sample(videos: Sequence[int], values: Sequence[float], mean: float | None = None) -> Sample:
    """A `Sample`; without `mean` that of the values.

    Pass the mean when the reported number is computed in another order of operations: the interval is
    laid around exactly that number.
    """
    array = np.asarray(values, np.float64)
    centre = float(np.mean(array)) if mean is None else mean
    return Sample(np.asarray(videos, np.int64), array, centre)


def intervals(samples: Sequence[Sample], video_count: int, plan: Bootstrap) -> list[Interval | None]:
    """One interval for the mean of each sample, all from the same draws.

    `None` where fewer than two videos contribute (nothing can be said from one), or where the plan has
    too few draws for its confidence.

    Args:
        samples: values of expressions; their videos are positions below `video_count`.
        video_count: how many videos there are to draw from, those without values included.
    """
    if not samples:
        return []
    deviations = resampled_deviations(samples, video_count, plan)
    return [_interval(one, column, plan) for one, column in zip(samples, deviations, strict=True)]


def paired_differences(
    differences: Sequence[Sample], video_count: int, plan: Bootstrap
) -> list[PairedDifference]:
    """Judge differences between results, expression by expression, all in the same draws of videos.

    Args:
        differences: first minus second of the same expressions, with the positions of their videos in
            an order that does not depend on the results; `mean` is the difference that is reported.
        video_count: how many videos there are to draw from.
    """
    if not differences:
        return []
    drawn = resampled_deviations(differences, video_count, plan)
    return [_judged(one, column, plan) for one, column in zip(differences, drawn, strict=True)]


def _judged(one: Sample, deviations: NDArray[np.float64], plan: Bootstrap) -> PairedDifference:
    interval = _interval(one, deviations, plan)
    drawn = deviations[~np.isnan(deviations)] + one.mean
    return PairedDifference(
        difference=one.mean,
        interval=interval,
        tie=None if interval is None else interval[0] <= 0 <= interval[1],
        detectable_gap=None if interval is None else (interval[1] - interval[0]) / 2,
        share_above=None if interval is None else float(np.mean(drawn > 0)),
        expressions=int(one.values.size),
        videos=int(np.unique(one.videos).size),
    )


def resampled_deviations(samples: Sequence[Sample], video_count: int, plan: Bootstrap) -> NDArray[np.float64]:
    """(samples, resamples) mean of each draw minus the sample's own mean; NaN where a draw misses it.

    NaN stays inside this module: a draw that holds none of a small group's videos says nothing about it.
    """
    totals = np.zeros((len(samples), video_count))
    sizes = np.zeros((len(samples), video_count))
    for index, one in enumerate(samples):
        sizes[index] = np.bincount(one.videos, minlength=video_count)
    # Every partial sum of a draw must stay below 2^53 to be exact; one video may be drawn every time.
    farthest = max(float(np.abs(one.values - one.mean).max(initial=0.0)) for one in samples)
    largest = (int(farthest) + 1) * video_count * int(sizes.max())
    unit = 2.0 ** -min(30, 52 - largest.bit_length())
    for index, one in enumerate(samples):
        steps = np.rint((one.values - one.mean) / unit)
        totals[index] = np.bincount(one.videos, weights=steps, minlength=video_count)
    result = np.full((len(samples), plan.resamples), np.nan)
    done = 0
    for weights in drawn_weights(video_count, plan):
        counted = sizes @ weights.T
        block = result[:, done : done + len(weights)]
        np.divide((totals @ weights.T) * unit, counted, out=block, where=counted > 0)
        done += len(weights)
    return result


def drawn_weights(video_count: int, plan: Bootstrap) -> Iterator[NDArray[np.float64]]:
    """Blocks of (draws, videos): how often each video was drawn; `plan.resamples` rows in all."""
    generator = np.random.default_rng(plan.seed)
    rows = max(1, DRAWN_AT_ONCE // video_count)
    for start in range(0, plan.resamples, rows):
        draws = min(rows, plan.resamples - start)
        chosen = generator.integers(0, video_count, size=(draws, video_count))
        chosen += np.arange(draws)[:, None] * video_count
        counts = np.bincount(chosen.ravel(), minlength=draws * video_count)
        yield counts.reshape(draws, video_count).astype(np.float64)


def _interval(one: Sample, deviations: NDArray[np.float64], plan: Bootstrap) -> Interval | None:
    drawn = deviations[~np.isnan(deviations)]
    rank = int(round((drawn.size + 1) * (1 - plan.confidence) / 2, 6))
    if rank < 1 or np.unique(one.videos).size < 2:
        return None
    ordered = np.partition(drawn, (rank - 1, drawn.size - rank))
    # A mean cannot leave the range of its values; only the rounding of deviations to steps does.
    lowest = min(float(one.values.min()), one.mean)
    highest = max(float(one.values.max()), one.mean)
    low = max(one.mean + float(ordered[rank - 1]), lowest)
    high = min(one.mean + float(ordered[ordered.size - rank]), highest)
    return low, high
