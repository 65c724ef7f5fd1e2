"""Intervals: what they contain, when they have no width, and what they must not depend on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from benchmark.statistics import (
    DRAWN_AT_ONCE,
    Bootstrap,
    drawn_weights,
    intervals,
    paired_differences,
    sample,
)

QUICK = Bootstrap(resamples=399)


def straightforward_interval(
    videos: np.ndarray, values: np.ndarray, video_count: int, plan: Bootstrap
) -> tuple[float, float]:
    """The same bootstrap as one reads it: draw videos, join their expressions, take the mean."""
    generator = np.random.default_rng(plan.seed)
    means = []
    for drawn in generator.integers(0, video_count, size=(plan.resamples, video_count)):
        joined = np.concatenate([values[videos == video] for video in drawn])
        if joined.size:
            means.append(joined.mean())
    means.sort()
    rank = int((len(means) + 1) * 0.025)
    return means[rank - 1], means[-rank]


@pytest.mark.parametrize("video_count", [2, 9, 40])
def test_the_vectorised_draws_equal_the_straightforward_ones(video_count: int) -> None:
    generator = np.random.default_rng(video_count)
    videos = np.sort(generator.integers(0, video_count, 3 * video_count))
    values = generator.random(videos.size)
    (found,) = intervals([sample(videos.tolist(), values.tolist())], video_count, QUICK)
    assert found == pytest.approx(straightforward_interval(videos, values, video_count, QUICK), abs=1e-7)


@given(
    values=arrays.arrays(float, st.integers(2, 30), elements=st.floats(0, 100)),
    seed=st.integers(0, 5),
)
@settings(max_examples=30, deadline=None)
def test_the_interval_is_ordered_and_within_the_values(values: np.ndarray, seed: int) -> None:
    videos = np.arange(values.size) // 2
    plan = Bootstrap(resamples=199, seed=seed)
    (found,) = intervals([sample(videos.tolist(), values.tolist())], int(videos.max()) + 1, plan)
    if videos.max() == 0:
        assert found is None
    else:
        assert found is not None
        assert values.min() - 1e-6 <= found[0] <= found[1] <= values.max() + 1e-6


@given(constant=st.floats(0, 1), sizes=st.lists(st.integers(1, 5), min_size=2, max_size=9))
@settings(max_examples=40, deadline=None)
def test_without_variance_the_interval_is_the_number_itself(constant: float, sizes: list[int]) -> None:
    videos = np.repeat(np.arange(len(sizes)), sizes)
    one = sample(videos.tolist(), [constant] * videos.size)
    (found,) = intervals([one], len(sizes), QUICK)
    assert found == (one.mean, one.mean)


def test_the_interval_mostly_contains_the_true_mean() -> None:
    """Clustered data with a known mean: a nominal 95% interval covers it in about 95 of 100 repetitions."""
    generator = np.random.default_rng(3)
    covered = 0
    for _ in range(100):
        effects = generator.normal(0, 1, 60)
        videos = np.repeat(np.arange(60), 5)
        values = 50 + effects[videos] + generator.normal(0, 0.5, 300)
        (found,) = intervals([sample(videos.tolist(), values.tolist())], 60, QUICK)
        assert found is not None
        covered += found[0] <= 50 <= found[1]
    assert 88 <= covered <= 100


def test_expressions_of_one_video_do_not_count_as_independent() -> None:
    """Ten copies of every expression must not make the interval narrower."""
    generator = np.random.default_rng(5)
    once = generator.random(30)
    few, many = intervals(
        [
            sample(range(30), once.tolist()),
            sample(np.repeat(range(30), 10).tolist(), np.repeat(once, 10).tolist()),
        ],
        30,
        QUICK,
    )
    assert few == pytest.approx(many, abs=1e-7)


def test_same_seed_same_interval_other_seed_another_one() -> None:
    one = sample(list(range(20)), np.random.default_rng(1).random(20).tolist())
    assert intervals([one], 20, QUICK) == intervals([one], 20, QUICK)
    assert intervals([one], 20, QUICK) != intervals([one], 20, Bootstrap(resamples=399, seed=1))


def test_an_interval_does_not_depend_on_what_else_is_asked() -> None:
    generator = np.random.default_rng(2)
    samples = [
        sample(generator.integers(0, 12, 30).tolist(), generator.random(30).tolist()) for _ in range(5)
    ]
    together = intervals(samples, 12, QUICK)
    assert together == [intervals([one], 12, QUICK)[0] for one in samples]


def test_the_order_of_expressions_inside_a_video_does_not_matter() -> None:
    generator = np.random.default_rng(4)
    videos, values = np.repeat(np.arange(8), 4), generator.random(32)
    order = generator.permutation(32)
    mean = float(np.mean(values))
    straight = sample(videos.tolist(), values.tolist(), mean)
    shuffled = sample(videos[order].tolist(), values[order].tolist(), mean)
    assert intervals([straight], 8, QUICK) == intervals([shuffled], 8, QUICK)


def test_one_video_gives_no_interval_and_a_rare_group_uses_the_draws_that_hold_it() -> None:
    alone = sample([3, 3, 3], [0.1, 0.5, 0.9])
    rare = sample([0, 19], [0.0, 1.0])
    found = intervals([alone, rare], 20, QUICK)
    assert found == [None, (0.0, 1.0)]


def test_too_few_draws_give_no_interval() -> None:
    one = sample([0, 1, 2], [0.1, 0.5, 0.9])
    assert intervals([one], 3, Bootstrap(resamples=20)) == [None]
    assert intervals([], 3, QUICK) == []


def test_draws_do_not_depend_on_how_many_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Bootstrap(resamples=50)
    at_once = np.concatenate(list(drawn_weights(7, plan)))
    monkeypatch.setattr("benchmark.statistics.DRAWN_AT_ONCE", 21)
    in_pieces = np.concatenate(list(drawn_weights(7, plan)))
    assert DRAWN_AT_ONCE > 21
    np.testing.assert_array_equal(at_once, in_pieces)
    assert (at_once.sum(axis=1) == 7).all()


def test_a_result_ties_with_itself() -> None:
    (found,) = paired_differences([sample([0, 1, 2], [0.0, 0.0, 0.0])], 3, QUICK)
    assert (found.difference, found.interval, found.tie, found.detectable_gap) == (0.0, (0.0, 0.0), True, 0.0)


def test_a_constant_lead_is_no_tie_and_a_noisy_one_is() -> None:
    generator = np.random.default_rng(6)
    noise = generator.normal(0, 10, 40)
    videos = list(range(40))
    steady, noisy = paired_differences(
        [sample(videos, [2.0] * 40), sample(videos, (0.5 + noise - noise.mean()).tolist())], 40, QUICK
    )
    assert (steady.tie, steady.interval, steady.share_above) == (False, (2.0, 2.0), 1.0)
    assert noisy.tie is True
    assert noisy.interval is not None
    assert noisy.detectable_gap == pytest.approx((noisy.interval[1] - noisy.interval[0]) / 2)
    assert noisy.share_above is not None
    assert 0.5 < noisy.share_above < 0.9


def test_pairing_sees_a_difference_that_separate_intervals_hide() -> None:
    """Videos differ a lot, the two models differ a little but everywhere."""
    generator = np.random.default_rng(7)
    base = generator.uniform(20, 90, 50)
    better = base + generator.normal(1.0, 0.5, 50)
    videos = list(range(50))
    first, second = intervals([sample(videos, better.tolist()), sample(videos, base.tolist())], 50, QUICK)
    assert first is not None
    assert second is not None
    assert first[0] < second[1]  # they overlap widely
    (found,) = paired_differences([sample(videos, (better - base).tolist())], 50, QUICK)
    assert found.tie is False


def test_one_video_cannot_be_judged() -> None:
    (found,) = paired_differences([sample([0, 0], [1.0, 2.0])], 1, QUICK)
    assert (found.difference, found.interval, found.tie, found.share_above) == (1.5, None, None, None)
    assert paired_differences([], 1, QUICK) == []
