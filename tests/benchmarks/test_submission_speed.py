"""Checking a submission: run-length form, mask PNGs of three writers, and the official way of loading.

    pytest tests/benchmarks/test_submission_speed.py --benchmark-enable

Runs at a hundredth of the size of InterRVOS val; `measure_submissions.py` measures the whole.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from submissions.checking import check_submission
from submissions.mask_lines import FOLDER
from submissions.png_masks import decode_png
from submissions.png_writing import write_png
from tests.benchmarks.measure_submissions import WRITERS, eight_bits, make, opened
from tests.benchmarks.val_sized_dataset import HEIGHT, WIDTH, _masks, write_dataset

SCALE = 0.01


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    disabled = request.config.getoption("benchmark_disable")
    root = tmp_path_factory.mktemp("submission")
    write_dataset(root / "val", 0.001 if disabled else SCALE, frames=5 if disabled else 100)
    make(root, 1.0, "rle")
    return root


def test_checking_run_length_form(folder: Path, benchmark: Any) -> None:
    _, expected = opened(folder, 1.0)
    checked = benchmark(check_submission, folder / "rle.zip", expected)
    assert checked.passed


def test_loading_the_same_json_whole(folder: Path, benchmark: Any) -> None:
    """The yardstick: `json.load` of everything, with no check at all."""
    import zipfile

    with zipfile.ZipFile(folder / "rle.zip") as archive:
        names = [name for name in archive.namelist() if name.startswith(FOLDER)]
        lines = [line for name in names for line in archive.read(name).splitlines()]
    text = b"[" + b",".join(lines) + b"]"
    assert benchmark(json.loads, text)


@pytest.mark.parametrize("writer", ["ours", *WRITERS])
def test_decoding_mask_pngs(writer: str, benchmark: Any) -> None:
    texts = [one["counts"].encode() for one in _masks(np.random.default_rng(0), 20) if one]
    pngs = [write_png(text, HEIGHT, WIDTH) for text in texts]
    if writer != "ours":
        pngs = [eight_bits(png, writer) for png in pngs]

    def decode_all() -> int:
        return sum(decode_png(png, HEIGHT, WIDTH).size for png in pngs)

    assert benchmark(decode_all) > len(pngs)
