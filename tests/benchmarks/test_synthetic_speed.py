"""How long one synthetic clip takes; a training run renders thousands.

python -m pytest tests/benchmarks/test_synthetic_speed.py --benchmark-enable
"""

from __future__ import annotations

from itertools import count

from pytest_benchmark.fixture import BenchmarkFixture

from benchmark.datasets.synthetic import clip


def test_rendering_a_clip(benchmark: BenchmarkFixture) -> None:
    indices = count()
    shown = benchmark(lambda: clip("train", next(indices)))
    assert shown.expressions
