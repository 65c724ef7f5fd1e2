"""The ablation's numbers: differences by seed and expression, and an interval for each kind of chance."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.errors import CheckpointError
from reference_model.ablation_table import (
    ACTOR,
    RVOS,
    SETTINGS,
    TARGET,
    Scored,
    ablation_summary,
    difference,
    format_ablation,
    over_seeds,
    over_videos,
    read_scores,
)

KEYS = tuple((f"video{number // 2}", str(number % 2)) for number in range(12))


def runs_of(**gains: list[float]):
    """Runs of one setting for all: each row's score is that of a base, raised by the gain of the seed."""
    base = np.random.default_rng(0).uniform(20, 60, len(KEYS))
    return {
        (row, seed): {setting: Scored(KEYS, base + gain + seed) for setting in SETTINGS}
        for row, by_seed in gains.items()
        for seed, gain in enumerate(by_seed)
    }


def test_difference_is_taken_within_each_seed():
    runs = runs_of(baseline=[0, 0, 0], aml=[1, 2, 3])
    found = difference(RVOS, "aml", "baseline", runs)
    assert found is not None
    assert found.by_seed == pytest.approx((1, 2, 3))
    assert found.mean == pytest.approx(2)
    # Student's t: 4.303 times 1 over the root of 3.
    assert found.over_seeds == pytest.approx((2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5))
    # All videos gain alike, so drawing others changes nothing.
    assert found.over_videos == pytest.approx((2, 2))
    assert not found.holds


def test_difference_holds_beyond_both_intervals_only():
    steady = difference(RVOS, "both", "baseline", runs_of(baseline=[0, 0, 0], both=[5, 5.1, 4.9]))
    assert steady is not None and steady.holds
    one_seed = difference(RVOS, "both", "baseline", runs_of(baseline=[0], both=[5]))
    assert one_seed is not None and one_seed.over_seeds is None and not one_seed.holds


def test_only_common_seeds_are_compared():
    runs = runs_of(baseline=[0, 0], aml=[1, 1, 9])
    found = difference(RVOS, "aml", "baseline", runs)
    assert found is not None and found.seeds == (0, 1)
    assert difference(RVOS, "both", "baseline", runs) is None


def test_runs_on_other_expressions_are_refused():
    runs = runs_of(baseline=[0], aml=[1])
    runs["aml", 0] = {setting: Scored(KEYS[:-1], np.zeros(11)) for setting in SETTINGS}
    with pytest.raises(CheckpointError, match="different expressions"):
        difference(RVOS, "aml", "baseline", runs)


def test_interval_over_videos_matches_theory():
    rng = np.random.default_rng(3)
    videos = [f"{number:03}" for number in range(200) for _ in range(3)]
    effect = np.repeat(rng.normal(0, 5, 200), 3)  # expressions of a video are no independent draws
    low, high = over_videos(effect + 1, videos)
    half = 1.96 * effect.std() / 200**0.5
    assert low == pytest.approx(effect.mean() + 1 - half, abs=0.15)
    assert high == pytest.approx(effect.mean() + 1 + half, abs=0.15)
    assert over_videos(np.ones(4), ["a"] * 4) is None


def test_student_quantiles():
    # Two values: t with one degree of freedom, 12.706 times half their distance.
    assert over_seeds(np.array([0.0, 2.0])) == pytest.approx((1 - 12.706, 1 + 12.706))


def test_table_has_every_row_and_no_target_for_rows_with_one_token():
    runs = runs_of(baseline=[0, 0], aml=[1, 2], tokens=[3, 3], both=[4, 6])
    summary = ablation_summary(runs)
    assert {(one["setting"], one["row"], one["against"]) for one in summary["differences"]} == {
        *((setting, row, "baseline") for setting in (ACTOR, RVOS) for row in ("aml", "tokens", "both")),
        *((setting, "both", "tokens") for setting in SETTINGS),
    }
    lines = format_ablation(summary, ["baseline", "aml", "tokens", "both"]).splitlines()
    rows = {line.split(" | ")[0].strip("| "): line for line in lines}
    assert rows["baseline"].split(" | ")[3] == "-"
    assert rows["both"].split(" | ")[3] != "-"
    assert f"| {TARGET} | both - tokens | +2.0 |" in "\n".join(lines)


def test_unreadable_scores_are_named(tmp_path):
    path = tmp_path / "expressions.csv"
    path.write_text("setting,video_id\nRVOS,1\n")
    with pytest.raises(CheckpointError, match=r"expressions\.csv"):
        read_scores(path)
