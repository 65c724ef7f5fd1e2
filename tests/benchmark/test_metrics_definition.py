"""The definition of J and F against a slower form written from its words, and against stored peer values."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from benchmark.errors import MaskError, ProtocolError
from benchmark.masks import decode
from benchmark.metrics.definition import COLUMNS, boundary_map, boundary_radius, dilate, frame_counts
from benchmark.metrics.scores import boundary_accuracy, region_similarity

GOLDEN = json.loads((Path(__file__).parent / "golden" / "davis2017.json").read_text())

masks = arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@pytest.mark.parametrize(
    ("height", "width", "radius"),
    [(1, 1, 1), (75, 100, 1), (360, 640, 6), (480, 640, 7), (480, 854, 8), (720, 1280, 12), (1080, 1920, 18)],
)
def test_radius_of_usual_sizes(height: int, width: int, radius: int) -> None:
    assert boundary_radius(height, width) == radius


@given(st.integers(1, 4320), st.integers(1, 8192))
def test_radius_equals_the_float_formula_and_is_the_smallest(height: int, width: int) -> None:
    radius = boundary_radius(height, width)
    assert radius == math.ceil(0.008 * np.linalg.norm((height, width)))
    diagonal = Fraction(height**2 + width**2)
    assert Fraction(125 * radius) ** 2 >= diagonal > Fraction(125 * (radius - 1)) ** 2


@given(masks)
def test_boundary_map_is_the_rule_of_its_docstring(mask: np.ndarray) -> None:
    height, width = mask.shape
    expected = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            south, east = min(y + 1, height - 1), min(x + 1, width - 1)
            neighbours = {mask[y, east], mask[south, x], mask[south, east]}
            expected[y, x] = neighbours != {mask[y, x]}
    assert np.array_equal(boundary_map(mask), expected)


@given(masks, st.integers(0, 20))
def test_dilation_is_all_pixels_within_the_radius(mask: np.ndarray, radius: int) -> None:
    y, x = np.indices(mask.shape)
    expected = np.zeros_like(mask)
    for row, column in np.argwhere(mask):
        expected |= (y - row) ** 2 + (x - column) ** 2 <= radius * radius
    assert np.array_equal(dilate(mask, radius), expected)


@pytest.mark.parametrize("record", GOLDEN["pairs"], ids=lambda record: f"{record['pair']}-{record['family']}")
def test_golden_values_of_the_davis_2017_code(record: dict) -> None:
    height, width = record["size"]
    truth, predicted = (decode(text.encode() if text else None, height, width) for text in record["masks"])
    counts = frame_counts(truth, predicted, record["radius"])
    assert counts.tolist() == record["counts"]
    assert float(region_similarity(counts)).hex() == record["J"]
    assert float(boundary_accuracy(counts)).hex() == record["F"]


def test_golden_values_come_from_a_named_commit() -> None:
    assert GOLDEN["commit"] == "ac7c43fca936f9722837b7fbd337d284ba37004b"
    assert len({record["family"] for record in GOLDEN["pairs"]}) == 11


@pytest.mark.parametrize(
    ("truth", "predicted", "j", "f"),
    [("empty", "empty", 1, 1), ("some", "empty", 0, 0), ("empty", "some", 0, 0), ("full", "empty", 0, 1)],
)
def test_masks_without_pixels(truth: str, predicted: str, j: float, f: float) -> None:
    some = np.zeros((20, 30), bool)
    some[5:9, 5:9] = True
    kinds = {"empty": np.zeros_like(some), "full": np.ones_like(some), "some": some}
    counts = frame_counts(kinds[truth], kinds[predicted], 2)
    assert (region_similarity(counts), boundary_accuracy(counts)) == (j, f)


def test_any_nonzero_value_is_foreground() -> None:
    mask = np.zeros((9, 9), np.uint8)
    mask[2:5, 3:6] = [1, 2, 255]
    assert frame_counts(mask, mask != 0, 1).tolist() == [9, 9, 12, 12, 12, 12]


@given(arrays.arrays(np.int64, (7, 6), elements=st.integers(0, 50)))
def test_scores_of_a_stack_are_those_of_its_frames(counts: np.ndarray) -> None:
    counts[:, 4:] = np.minimum(counts[:, 4:], counts[:, 2:4])
    counts[:, 0] = np.minimum(counts[:, 0], counts[:, 1])
    for score in (region_similarity, boundary_accuracy):
        assert score(counts).tolist() == [float(score(row)) for row in counts]
        assert np.all((score(counts) >= 0) & (score(counts) <= 1))


@settings(max_examples=300)
@given(st.lists(st.integers(0, 40), min_size=6, max_size=6))
def test_boundary_accuracy_is_the_source_formula_to_the_last_bit(numbers: list[int]) -> None:
    counts = np.array(numbers, np.int64)
    _, _, in_truth, in_predicted, truth_matched, predicted_matched = numbers
    if in_truth and in_predicted:
        precision, recall = predicted_matched / in_predicted, truth_matched / in_truth
    else:
        precision, recall = float(not in_predicted), float(not in_truth)
    total = precision + recall
    expected = 2 * precision * recall / total if total else 0.0
    assert float(boundary_accuracy(counts)).hex() == expected.hex()


def test_wrong_arguments_are_named() -> None:
    mask = np.zeros((4, 5), bool)
    with pytest.raises(MaskError, match=r"two \(H, W\) masks of one size.*\(5, 4\)"):
        frame_counts(mask, mask.T, 1)
    with pytest.raises(ProtocolError, match="cannot be negative; found -1 pixels"):
        frame_counts(mask, mask, -1)
    with pytest.raises(MaskError, match="at least one pixel; found 0x5"):
        boundary_radius(0, 5)
    for wrong in (np.zeros((3, 5), np.int64), np.zeros((3, 6))):
        with pytest.raises(MaskError, match="integers with six columns"):
            region_similarity(wrong)
        with pytest.raises(MaskError, match=r"\(..., 6\)"):
            boundary_accuracy(wrong)
    assert len(COLUMNS) == 6
