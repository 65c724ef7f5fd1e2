"""Opening a dataset of InterRVOS val size: from its indexes, and by reading the JSON as people do.

    pytest tests/benchmarks/test_open_speed.py --benchmark-enable

Runs at a tenth of the size by default; VAL_SCALE=1 is the whole (738 videos, 5,048 expressions, about
3,000 tracks of 100 frames; a minute to generate).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from benchmark.datasets import open_dataset
from benchmark.datasets.mask_index import open_mask_index
from tests.benchmarks.val_sized_dataset import write_dataset

SCALE = float(os.environ.get("VAL_SCALE", "0.1"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    enabled = not request.config.getoption("benchmark_disable") or SCALE != 0.1
    root = tmp_path_factory.mktemp("val-sized") / "val"
    return write_dataset(root, SCALE if enabled else 0.005, images=False)


def test_opening_an_indexed_dataset(folder: Path, benchmark: Any) -> None:
    open_dataset("interrvos", folder)
    dataset = benchmark(open_dataset, "interrvos", folder)
    assert len(dataset.videos) == len(list((folder / "JPEGImages").iterdir()))


def test_loading_all_json(folder: Path, benchmark: Any) -> None:
    """The yardstick: what a script does that holds everything in memory, with no check at all."""

    def load() -> Any:
        files = ("meta_expressions.json", "mask_dict.json")
        return [json.loads((folder / name).read_bytes()) for name in files]

    assert benchmark(load)[1]


def test_indexing_masks(folder: Path, benchmark: Any) -> None:
    index = benchmark.pedantic(
        open_mask_index, (folder / "mask_dict.json",), {"rebuild": True}, rounds=3, iterations=1
    )
    assert not index.faults


def test_reading_the_truth_of_every_expression(folder: Path, benchmark: Any) -> None:
    dataset = open_dataset("interrvos", folder)

    def read() -> int:
        read_tracks = 0
        for video in dataset.videos:
            for expression in video.expressions:
                read_tracks += len(dataset.truth(video, expression.actor_ids)) > 0
        return read_tracks

    assert benchmark.pedantic(read, rounds=1, iterations=1) > 0
