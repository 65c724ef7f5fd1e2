"""J and F of mask pairs: our engines against the DAVIS 2017 code, on the same masks in one run.

    REFEREE_DAVIS2017=CHECKOUT python -m pytest tests/benchmarks/test_metrics_speed.py --benchmark-enable \\
        --benchmark-group-by=group --benchmark-columns=median,rounds

Each row is the time for all pairs of its frame size. Without the checkout a stand-in that does the same
work takes its place. `python -m tests.benchmarks.measure_metrics` prints ratios instead.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from benchmark.metrics import compiled_engine
from tests.benchmarks.dense_peer import davis2017
from tests.benchmarks.metric_cases import (
    SIZES,
    Case,
    make_case,
    our_jobs,
    peer_job,
    peer_of,
    shared_truth,
    shared_truth_jobs,
)

PAIRS = 6
OURS = [
    *(f"text, {level}" for level in compiled_engine.levels()),
    *(f"bytes, {level}" for level in compiled_engine.levels()),
    "text, numpy",
]


@cache
def case_of(size: str) -> Case:
    return make_case(size, PAIRS)


@cache
def expected_scores(size: str) -> Any:
    case = case_of(size)
    return peer_job(case, peer_of(case)[1])()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("engine", OURS)
def test_our_engines(benchmark: Any, engine: str, size: str) -> None:
    benchmark.group = size
    scores = benchmark(our_jobs(case_of(size))[engine])
    assert np.array_equal(scores, expected_scores(size))


@pytest.mark.parametrize("size", SIZES)
def test_davis_2017_code(benchmark: Any, size: str) -> None:
    evaluate, reason = davis2017()
    if evaluate is None:
        pytest.skip(reason)
    benchmark.group = size
    benchmark(peer_job(case_of(size), evaluate))


@pytest.mark.parametrize("size", SIZES)
def test_stand_in_of_the_davis_2017_code(benchmark: Any, size: str) -> None:
    from tests.benchmarks.dense_peer import stand_in

    case = case_of(size)
    benchmark.group = size
    scores = benchmark(peer_job(case, stand_in(*SIZES[size])))
    assert np.array_equal(scores, expected_scores(size))


@pytest.mark.skipif(not compiled_engine.available(), reason="the compiled core was not built")
@pytest.mark.parametrize("way", ["one by one", "together"])
@pytest.mark.parametrize("predictions", [2, 4])
def test_predictions_that_share_their_truth(benchmark: Any, predictions: int, way: str) -> None:
    jobs = shared_truth_jobs(shared_truth("480p", PAIRS, 4), predictions, compiled_engine.levels()[0])
    benchmark.group = f"{predictions} predictions of one truth"
    scores = benchmark(jobs[way])
    assert np.array_equal(scores, jobs["one by one"]())
