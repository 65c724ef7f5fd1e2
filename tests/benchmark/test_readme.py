"""The manual of benchmark/: its worked example, its names and its commands are true."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import benchmark
from benchmark.aggregate import headline
from benchmark.json_records import to_json
from benchmark.metrics.definition import boundary_map, boundary_radius, frame_counts
from benchmark.metrics.scores import boundary_accuracy, region_similarity
from tests.benchmark.tiny_clips import empty_answers, scored, tiny_dataset

FOLDER = Path(benchmark.__file__).parent
TEXT = (FOLDER / "README.md").read_text(encoding="utf-8")


def drawings() -> list[NDArray[np.bool_]]:
    block = re.search(r"```\n(truth .*?)```", TEXT, re.DOTALL)
    assert block
    columns = zip(*(line.split() for line in block[1].splitlines()[1:]), strict=True)
    return [np.array([[pixel == "#" for pixel in row] for row in column]) for column in columns]


def test_the_example_by_hand_is_right() -> None:
    truth, predicted, truth_outline, predicted_outline = drawings()
    np.testing.assert_array_equal(boundary_map(truth), truth_outline)
    np.testing.assert_array_equal(boundary_map(predicted), predicted_outline)
    assert boundary_radius(*truth.shape) == 1
    nothing = np.zeros_like(truth)
    counts = np.array([frame_counts(truth, predicted, 1), frame_counts(nothing, nothing, 1)])
    assert counts[0].tolist() == [4, 10, 8, 14, 8, 9]
    j, f = region_similarity(counts), boundary_accuracy(counts)
    assert (j[0], f[0]) == (0.4, pytest.approx(18 / 23))
    top = headline([float(j.mean()), 0.0], [float(f.mean()), 0.0])
    assert top is not None
    said = [f"{f[0]:.4f}", f"{j.mean():.1f}", f"{f.mean():.4f}"]
    said += [f"J = {top.j:.2f}", f"F = {top.f:.2f}", f"J&F = {top.jf:.2f}"]
    assert [one for one in said if one not in TEXT] == []


def test_every_key_of_a_result_that_is_named_exists() -> None:
    dataset = tiny_dataset()
    stored = to_json(scored(dataset, empty_answers(dataset)))
    for path in re.findall(r'result((?:\["[^"]+"\])+)', TEXT):
        value = stored
        for key in re.findall(r'\["([^"]+)"\]', path):
            value = value[key]
    for name in re.findall(r"role_errors/(\w+)", TEXT):
        assert name in stored["role_errors"]
    for name in ("by", "truth_present", "truth_absent", "undefined", "missing", "failed"):
        assert f"`{name}`" in TEXT or f"{name}`" in TEXT
        assert name in stored["settings"]["RVOS"]


def test_every_file_that_is_named_exists() -> None:
    table = TEXT[TEXT.index("## Where to find what") :]
    for name in re.findall(r"`([\w/*.]+\.(?:py|toml|md|json))`", table):
        assert list(FOLDER.glob(name)) or (FOLDER.parent / name).is_file(), name
