"""The CUDA kernels of the metric engine as compiled: what `test_device_engine` asks of a GPU, without one."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.errors import MaskError
from benchmark.masks import encode
from benchmark.metrics import device_texts
from benchmark.metrics.definition import frame_counts
from benchmark.metrics.device_clips import TensorPair
from benchmark.metrics.device_engine import batch_counts, tensor_counts
from tests.benchmark.mask_generators import FAMILIES, Pair, adversarial_pair
from tests.benchmark.ptx.launching import Machine, on_the_machine
from tests.benchmark.ptx.snippets import needs_compiler

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


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_masks_of_every_kind(machine: Machine, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    smooth = torch.randn(2, 3, 10, 18, generator=generator)
    truth, values = torch.nn.functional.interpolate(smooth, (61, 107), mode="bilinear")
    truth = truth > 0.3
    if dtype is torch.uint8:
        predicted = (values > 0).to(dtype) * 200
        counts = tensor_counts(truth, predicted, form="triton").numpy()
        assert counts.tolist() == tensor_counts(truth, values > 0, form="torch").numpy().tolist()
        return
    logits = values.to(dtype)
    logits[0, 0, :5] = torch.tensor([torch.inf, -torch.inf, 0.0, -0.0, 0.3], dtype=dtype)
    for threshold in (0.0, 0.3, -0.3):
        counts = tensor_counts(truth, logits, threshold=threshold, form="triton").numpy()
        wanted = tensor_counts(truth, logits, threshold=threshold, form="torch").numpy()
        assert np.array_equal(counts, wanted)
    logits[2, 60, 106] = torch.nan
    with pytest.raises(MaskError, match="frame 2 of the prediction"):
        tensor_counts(truth, logits, form="triton").numpy()
    unclear = tensor_counts(logits, truth, form="triton").unclear
    assert unclear.tolist() == [[False, False], [False, False], [True, False]]


def test_run_lengths(machine: Machine) -> None:
    rng = np.random.default_rng(3)
    height, width, radius = 65, 127, 7
    truth, predicted = (
        [FAMILIES[family](rng, height, width, radius) for family in sorted(FAMILIES)] for _ in range(2)
    )
    ours, theirs = ([encode(mask) for mask in side] for side in (truth, predicted))
    on = torch.device("cpu")
    found = device_texts.track_counts(ours, theirs, height, width, radius, on=on, form="triton")
    wanted = [frame_counts(a, b, radius).tolist() for a, b in zip(truth, predicted, strict=True)]
    assert found.tolist() == wanted
