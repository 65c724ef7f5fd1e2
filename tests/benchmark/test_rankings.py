"""Places: order of means, tie groups as paired differences say, ranks over draws."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from benchmark.rankings import against_each_other, difference, places
from benchmark.statistics import Bootstrap, Sample, paired_differences, sample

PLAN = Bootstrap(resamples=999)
VIDEOS = np.repeat(np.arange(12), 3)


def shifted(by: float, noise: float, seed: int) -> Sample:
    generator = np.random.default_rng(seed)
    base = np.random.default_rng(99).normal(50, 10, VIDEOS.size)
    return sample(VIDEOS.tolist(), (base + by + generator.normal(0, noise, VIDEOS.size)).tolist())


def test_groups_begin_where_the_leader_is_not_tied() -> None:
    samples = [shifted(0, 1, 1), shifted(20, 1, 2), shifted(20.05, 1, 3), shifted(0.05, 1, 4)]
    found = places(samples, 12, PLAN)
    assert sorted(one.position for one in found) == [1, 2, 3, 4]
    assert [one.group for one in found] == [2, 1, 1, 2]
    assert all(one.ranks is not None and one.ranks[0] <= one.position <= one.ranks[1] for one in found)
    assert {found[1].ranks, found[2].ranks} <= {(1, 2), (1, 1), (2, 2)}


def test_groups_are_what_paired_differences_say() -> None:
    samples = [shifted(0.4 * index, 3, index) for index in range(40)]
    found = places(samples, 12, PLAN)
    order = sorted(range(40), key=lambda index: found[index].position)
    leader = order[0]
    for before, index in pairwise(order):
        judged = paired_differences([difference(samples[leader], samples[index])], 12, PLAN)[0]
        if found[index].group == found[before].group:
            assert judged.tie
        else:
            assert judged.tie is False
            leader = index


def test_equal_means_share_their_place() -> None:
    samples = [shifted(0, 1, 1)] * 3
    found = places(samples, 12, PLAN)
    assert [(one.position, one.group, one.ranks) for one in found] == [
        (1, 1, (1, 1)),
        (1, 1, (1, 1)),
        (1, 1, (1, 1)),
    ]


def test_one_video_says_nothing_and_ties_all() -> None:
    samples = [sample([0, 0], [1.0, 2.0]), sample([0, 0], [90.0, 91.0])]
    found = places(samples, 1, PLAN)
    assert [(one.position, one.group, one.ranks) for one in found] == [(2, 1, None), (1, 1, None)]


def test_nothing_has_no_places() -> None:
    assert places([], 0, PLAN) == []


def test_pairs_are_first_minus_second() -> None:
    samples = [shifted(0, 1, 1), shifted(5, 1, 2), shifted(9, 1, 3)]
    found = against_each_other(samples, 12, PLAN)
    assert set(found) == {(0, 1), (0, 2), (1, 2)}
    assert found[0, 2].difference == samples[0].mean - samples[2].mean


def test_other_expressions_are_refused() -> None:
    with pytest.raises(ValueError, match="different expressions"):
        places([sample([0, 1], [1.0, 2.0]), sample([0, 0], [1.0, 2.0])], 2, PLAN)
    with pytest.raises(ValueError, match="different expressions"):
        difference(sample([0], [1.0]), sample([0, 1], [1.0, 2.0]))
