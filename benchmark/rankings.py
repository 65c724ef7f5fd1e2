"""An order of many results that says where it is not sure: tie groups, and how far each rank could be off.

All results are over the same expressions, and everything is judged in the same draws of videos
(`benchmark.statistics`). Results stand in the order of their means. A *tie group* begins with the best
result that is in none yet and takes in those that follow, up to the first that is not tied with that
leader; "tied" is what `paired_differences` says, and results that nothing can be said about (all
expressions are of one video) are tied. The *rank interval* of a result runs between the same order
statistics as every interval, of its rank in each draw (1 + how many are ahead).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.statistics import Bootstrap, PairedDifference, Sample, paired_differences, resampled_deviations

COMPARED_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Place:
    """Where one result stands.

    Attributes:
        position: 1 + how many have a greater mean; equal means share it.
        group: number of its tie group, from 1.
        ranks: lowest and highest rank in 95% of the draws; `None` where nothing can be said.
    """

    position: int
    group: int
    ranks: tuple[int, int] | None


def places(samples: Sequence[Sample], video_count: int, plan: Bootstrap) -> list[Place]:
    """The place of every sample, in the order they were given in; a greater mean is better.

    Raises:
        ValueError: when the samples are not over the same expressions.
    """
    if not samples:
        return []
    _refuse_other_expressions(samples)
    order = sorted(range(len(samples)), key=lambda index: (-samples[index].mean, index))
    groups = _groups([samples[index] for index in order], video_count, plan)
    ranks = _rank_intervals(samples, video_count, plan)
    placed = {
        index: Place(_ahead(samples[index], samples) + 1, group, ranks[index])
        for index, group in zip(order, groups, strict=True)
    }
    return [placed[index] for index in range(len(samples))]


def _ahead(one: Sample, samples: Sequence[Sample]) -> int:
    return sum(other.mean > one.mean for other in samples)


def difference(first: Sample, second: Sample) -> Sample:
    """First minus second, expression by expression.

    Raises:
        ValueError: when they are not over the same expressions.
    """
    _refuse_other_expressions((first, second))
    return Sample(first.videos, first.values - second.values, first.mean - second.mean)


def against_each_other(
    samples: Sequence[Sample], video_count: int, plan: Bootstrap
) -> dict[tuple[int, int], PairedDifference]:
    """First minus second for every pair of positions with first below second."""
    pairs = [(one, two) for one in range(len(samples)) for two in range(one + 1, len(samples))]
    found: dict[tuple[int, int], PairedDifference] = {}
    for start in range(0, len(pairs), COMPARED_AT_ONCE):
        some = pairs[start : start + COMPARED_AT_ONCE]
        differences = [difference(samples[one], samples[two]) for one, two in some]
        found.update(zip(some, paired_differences(differences, video_count, plan), strict=True))
    return found


def _refuse_other_expressions(samples: Sequence[Sample]) -> None:
    if any(not np.array_equal(one.videos, samples[0].videos) for one in samples[1:]):
        raise ValueError("samples over different expressions have no common order")


def _groups(ordered: Sequence[Sample], video_count: int, plan: Bootstrap) -> list[int]:
    groups: list[int] = []
    while len(groups) < len(ordered):
        start, number = len(groups), (groups[-1] + 1 if groups else 1)
        size = 1 + _tied_with_leader(ordered[start], ordered[start + 1 :], video_count, plan)
        groups += [number] * size
    return groups


def _tied_with_leader(leader: Sample, others: Sequence[Sample], video_count: int, plan: Bootstrap) -> int:
    """How many of the others, from the first on, are tied with the leader."""
    for start in range(0, len(others), COMPARED_AT_ONCE):
        some = others[start : start + COMPARED_AT_ONCE]
        judged = paired_differences([difference(leader, one) for one in some], video_count, plan)
        for offset, one in enumerate(judged):
            if one.tie is False:
                return start + offset
    return len(others)


def _rank_intervals(
    samples: Sequence[Sample], video_count: int, plan: Bootstrap
) -> list[tuple[int, int] | None]:
    rank = int(round((plan.resamples + 1) * (1 - plan.confidence) / 2, 6))
    if rank < 1 or np.unique(samples[0].videos).size < 2:
        return [None] * len(samples)
    means = resampled_deviations(samples, video_count, plan) + np.array([[one.mean] for one in samples])
    drawn = means[:, ~np.isnan(means[0])]
    return [_between(row, rank) for row in _ranks(drawn)]


def _ranks(drawn: NDArray[np.float64]) -> NDArray[np.int64]:
    """(results, draws) one more than the number of results that are ahead in a draw."""
    ordered = np.sort(-drawn, axis=0)
    ranks = np.empty(drawn.shape, np.int64)
    for column in range(drawn.shape[1]):
        ranks[:, column] = np.searchsorted(ordered[:, column], -drawn[:, column], side="left") + 1
    return ranks


def _between(row: NDArray[np.int64], rank: int) -> tuple[int, int]:
    ordered = np.partition(row, (rank - 1, row.size - rank))
    return int(ordered[rank - 1]), int(ordered[ordered.size - rank])
