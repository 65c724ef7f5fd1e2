"""The CUDA kernels of the metric engine as compiled: what a GPU is asked, without one."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.metrics import score_tracks
from benchmark.metrics.definition import frame_counts
from benchmark.metrics.device_clips import TensorPair
from benchmark.metrics.device_engine import batch_counts
from tests.benchmark.kernel_cases import CASES
from tests.benchmark.mask_generators import Pair, adversarial_pair
from tests.benchmark.ptx.launching import Machine, on_the_machine
from tests.benchmark.ptx.snippets import needs_compiler
from tests.benchmark.test_track_scoring import PREDICTED, TRUTH, WANTED, forms

pytestmark = [
    needs_compiler,
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed"),
    pytest.mark.filterwarnings("ignore:.*TRITON_DEFAULT_FP_FUSION"),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("triton")


@pytest.fixture
def machine(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(cache))
    with on_the_machine(seed=1) as machine:
        yield machine
        assert machine.launches  # the kernels did the counting


def expected(pair: Pair) -> list[int]:
    counts: list[int] = frame_counts(pair.truth, pair.predicted, pair.radius).tolist()
    return counts


def test_pairs_of_all_sizes_and_tolerances_at_once(machine: Machine) -> None:
    rng = np.random.default_rng(9)
    pairs = [adversarial_pair(rng, 400) for _ in range(300)][250:]
    clips = [
        TensorPair(torch.from_numpy(pair.truth)[None], torch.from_numpy(pair.predicted)[None])
        for pair in pairs
    ]
    found = batch_counts(clips, radius=[pair.radius for pair in pairs], form="triton")
    assert found.numpy().tolist() == [expected(pair) for pair in pairs]
    assert found.truth_areas.tolist() == [np.count_nonzero(pair.truth) for pair in pairs]


def test_masks_on_a_device_against_every_form(machine: Machine, tmp_path: Path) -> None:
    """Here every tensor says that it is on a GPU, so that one of them takes the other track there."""
    truths, predictions = forms(TRUTH, tmp_path / "t"), forms(PREDICTED, tmp_path / "p")
    pairs = [(truth, torch.from_numpy(PREDICTED).half() - 0.5) for truth in truths.values()]
    pairs += [(torch.from_numpy(TRUTH), predicted) for predicted in predictions.values()]
    pairs.append((torch.from_numpy(TRUTH[::-1].copy()).flip(0), PREDICTED[:, ::-1][:, ::-1]))
    for truth, predicted in pairs:
        assert score_tracks(truth, predicted).counted.counts.tolist() == WANTED


@pytest.mark.parametrize("case", CASES)
def test_what_a_gpu_is_asked(case: Callable[[torch.device], None], machine: Machine) -> None:
    case(torch.device("cpu"))
