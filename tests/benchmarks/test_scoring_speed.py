"""How long the work around the pairs takes, at the size of InterRVOS val: 738 videos, 5,048 expressions.

Run with: python -m pytest tests/benchmarks/test_scoring_speed.py --benchmark-enable
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.aggregate import ExpressionScore, track_score
from benchmark.result_files import expressions_csv
from benchmark.results import ExpressionRow
from benchmark.role_errors import RoleOutcome
from benchmark.statistics import Bootstrap
from benchmark.summaries import summarise

VIDEOS, EXPRESSIONS, FRAMES = 738, 5048, 100
TYPES = ("single", "multi", "bidirectional", "unidirectional")


def expression_score(index: int, counts: Any) -> ExpressionScore:
    return ExpressionScore(
        setting="RVOS",
        video_id=f"video{index % VIDEOS:04d}",
        expression_id=str(index // VIDEOS),
        expression="child handing cup to woman",
        caption_type=TYPES[index % 4],
        target_count=index % 3,
        tags=(f"tag {index % 7}", f"tag {7 + index % 3}"),
        status="ok",
        track=track_score(counts, counts[:, 1], 480 * 854, zero=False),
    )


@pytest.fixture(scope="module")
def scores() -> Sequence[ExpressionScore]:
    generator = np.random.default_rng(0)
    drawn = generator.integers(1, 1000, size=(64, FRAMES, 6))
    drawn.sort(axis=-1)  # the intersection is the smallest
    drawn[..., 4], drawn[..., 5] = drawn[..., 2], drawn[..., 3]
    return [expression_score(index, drawn[index % 64]) for index in range(EXPRESSIONS)]


def test_frames_to_an_expression(benchmark: Any) -> None:
    counts = np.random.default_rng(0).integers(1, 9, size=(FRAMES, 6))
    found = benchmark(track_score, counts, counts[:, 1], 480 * 854, zero=False)
    assert found.frames == FRAMES


def test_expressions_to_a_summary_with_intervals(benchmark: Any, scores: Sequence[ExpressionScore]) -> None:
    outcomes = [(one.video_id, RoleOutcome(True, True, True, swapped=False)) for one in scores]
    settings, _ = benchmark(summarise, {"RVOS": scores}, outcomes, {}, Bootstrap())
    low, high = settings["RVOS"].intervals.jf
    assert low < settings["RVOS"].jf < high


def test_expressions_to_a_table(benchmark: Any, scores: Sequence[ExpressionScore], tmp_path: Path) -> None:
    outcome = RoleOutcome(True, True, True, swapped=False)
    rows = [ExpressionRow(one, outcome, 0.1) for one in scores]
    assert benchmark(expressions_csv, rows).count(b"\n") == EXPRESSIONS + 1
