"""The ablation in numbers: scores of every row, and differences between rows with two intervals.

Rows are compared seed by seed and expression by expression. Chance enters twice, and each of the two
intervals looks at one part: *over seeds* is Student's t on the differences of the seeds (another training,
the same clips), *over videos* a bootstrap of whole clips with the differences averaged over seeds (these
trainings, other clips). A difference that holds lies beyond both.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import CheckpointError

ACTOR, TARGET, RVOS = SETTINGS = ("InterRVOS-Actor", "InterRVOS-Target", "RVOS")
ONE_TOKEN = ("baseline", "aml")  # rows that never claim a target
COMPARED = (("aml", "baseline"), ("tokens", "baseline"), ("both", "baseline"), ("both", "tokens"))
RESAMPLES = 9999
# 97.5% quantiles of Student's t for 1, 2, ... degrees of freedom.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160)

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scored:
    """J&F, in percent, of every expression that counts in a setting, in one run.

    Attributes:
        keys: (video, expression) of each value.
    """

    keys: tuple[tuple[str, str], ...]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """One row minus another in one setting; intervals are `None` where one seed or video cannot give any."""

    setting: str
    row: str
    against: str
    seeds: tuple[int, ...]
    by_seed: tuple[float, ...]
    mean: float
    over_seeds: Interval | None
    over_videos: Interval | None

    @property
    def holds(self) -> bool:
        """Whether zero lies outside both intervals."""
        pair = (self.over_seeds, self.over_videos)
        return all(one is not None and (one[0] > 0 or one[1] < 0) for one in pair)


def read_scores(path: Path) -> dict[str, Scored]:
    """The scores of a run by setting, from its `expressions.csv`.

    Raises:
        CheckpointError: when it is missing or lacks a column.
    """
    rows: dict[str, list[tuple[tuple[str, str], float]]] = {setting: [] for setting in SETTINGS}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                key = (row["video_id"], row["expression_id"])
                rows[row["setting"]].append((key, 50 * (float(row["J"]) + float(row["F"]))))
    except (OSError, KeyError, ValueError) as error:
        raise CheckpointError(
            "scores of a run cannot be read",
            where=str(path),
            found=repr(error),
            fix="delete the folder with them and run again",
        ) from error
    return {
        setting: Scored(tuple(key for key, _ in found), np.array([value for _, value in found]))
        for setting, found in rows.items()
    }


def difference(
    setting: str, row: str, against: str, runs: Mapping[tuple[str, int], Mapping[str, Scored]]
) -> Difference | None:
    """One row minus another over the seeds that both have; `None` when there is none."""
    seeds = sorted({seed for name, seed in runs if name == row} & {s for name, s in runs if name == against})
    if not seeds:
        return None
    pairs = [(runs[row, seed][setting], runs[against, seed][setting]) for seed in seeds]
    keys = pairs[0][0].keys
    if any(one.keys != keys for pair in pairs for one in pair):
        raise CheckpointError("runs were scored on different expressions", where=f"{row} and {against}")
    each = np.stack([mine.values - its.values for mine, its in pairs])
    by_seed = each.mean(1)
    return Difference(
        setting,
        row,
        against,
        tuple(seeds),
        tuple(float(one) for one in by_seed),
        float(by_seed.mean()),
        over_seeds(by_seed),
        over_videos(each.mean(0), [video for video, _ in keys]),
    )


def over_seeds(values: NDArray[np.float64]) -> Interval | None:
    """95% interval of the mean by Student's t; `None` for a single value."""
    degrees = len(values) - 1
    if degrees < 1:
        return None
    half = STUDENT[min(degrees, len(STUDENT)) - 1] * float(values.std(ddof=1)) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def over_videos(values: NDArray[np.float64], videos: Sequence[str], seed: int = 0) -> Interval | None:
    """95% percentile interval of the mean, drawing whole videos again; `None` for a single video."""
    _, index = np.unique(np.array(videos), return_inverse=True)
    count = int(index.max()) + 1
    if count < 2:
        return None
    totals, sizes = np.bincount(index, values), np.bincount(index)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    low, high = np.quantile(draws @ totals / (draws @ sizes), (0.025, 0.975))
    return float(low), float(high)


def ablation_summary(runs: Mapping[tuple[str, int], Mapping[str, Scored]]) -> dict[str, Any]:
    """Every score and difference, to be stored as JSON."""
    compared = [
        one
        for setting in SETTINGS
        for row, against in COMPARED
        if not (setting == TARGET and against in ONE_TOKEN)
        if (one := difference(setting, row, against, runs)) is not None
    ]
    return {
        "runs": [
            {"row": row, "seed": seed} | {setting: float(one.values.mean()) for setting, one in found.items()}
            for (row, seed), found in sorted(runs.items())
        ],
        "differences": [
            {
                "setting": one.setting,
                "row": one.row,
                "against": one.against,
                "seeds": list(one.seeds),
                "by_seed": list(one.by_seed),
                "mean": one.mean,
                "over_seeds": one.over_seeds,
                "over_videos": one.over_videos,
                "holds": one.holds,
            }
            for one in compared
        ],
    }


def format_ablation(summary: Mapping[str, Any], rows: Sequence[str]) -> str:
    """Two Markdown tables: scores by row, and differences."""
    lines = ["| row | seeds | Actor J&F | Target J&F | RVOS J&F |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        found = [one for one in summary["runs"] if one["row"] == row]
        if not found:
            continue
        cells = [
            "-" if setting == TARGET and row in ONE_TOKEN else _spread([one[setting] for one in found])
            for setting in SETTINGS
        ]
        lines.append(f"| {row} | {len(found)} | {' | '.join(cells)} |")
    lines += ["", "| setting | difference | J&F | over seeds | over videos | beyond both |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for one in summary["differences"]:
        intervals = (_bracketed(one[name]) for name in ("over_seeds", "over_videos"))
        lines.append(
            f"| {one['setting']} | {one['row']} - {one['against']} | {one['mean']:+.1f} | "
            f"{' | '.join(intervals)} | {'yes' if one['holds'] else 'no'} |"
        )
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    mean = f"{np.mean(values):.1f}"
    return mean if len(values) < 2 else f"{mean} ({min(values):.1f} to {max(values):.1f})"


def _bracketed(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval[0]:+.1f} to {interval[1]:+.1f}"
