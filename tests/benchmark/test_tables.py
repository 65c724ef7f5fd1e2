"""The final table: readable, narrow, rounded as the official scripts round, honest about what is absent."""

from __future__ import annotations

import dataclasses
import re

import pytest

from benchmark.tables import aligned, format_table, shortened, shown, shown_interval, two_digits
from benchmark.types import AdapterInfo, Status
from tests.benchmark.tiny_clips import (
    ACTOR_ONLY,
    empty_answers,
    oracle_answers,
    random_answers,
    scored,
    tiny_dataset,
)


def test_the_table_shows_the_numbers_of_the_result_rounded_to_two_decimals() -> None:
    dataset = tiny_dataset()
    result = scored(dataset, random_answers(dataset))
    text = format_table(result)
    for name, one in result.settings.items():
        row = next(line for line in text.splitlines() if line.startswith(name))
        low, high = one.intervals.jf or (None, None)
        numbers = [f"{round(value, 2):.2f}" for value in (one.j, one.f, one.jf, low, high)]  # type: ignore[arg-type]
        assert re.findall(r"\d+\.\d\d", row) == numbers
        assert row.split()[-3:] == [str(one.expressions), "0", "0"]


def test_failures_and_missing_expressions_are_counted_in_the_table() -> None:
    dataset = tiny_dataset()
    stored = oracle_answers(dataset)
    del stored["clip0"]
    stored["clip1"]["0"] = dataclasses.replace(stored["clip1"]["0"], status=Status.TIMEOUT)
    row = next(line for line in format_table(scored(dataset, stored)).splitlines() if line.startswith("RVOS"))
    assert row.split()[-3:] == ["23", "1", "5"]


def test_a_model_without_targets_gets_dashes_and_the_reason() -> None:
    dataset = tiny_dataset()
    text = format_table(scored(dataset, oracle_answers(dataset), adapter=ACTOR_ONLY), breakdown=True)
    row = next(line for line in text.splitlines() if line.startswith("InterRVOS-Target"))
    assert row.split() == ["InterRVOS-Target", "-", "-", "-", "-", "10", "0", "0"]
    assert "InterRVOS-Target: the model never predicts targets" in text
    assert "roles swapped" not in text


def test_marks_of_partial_results_and_of_adapters_that_see_the_truth() -> None:
    dataset = tiny_dataset()
    oracle = AdapterInfo("oracle", "1", uses_truth=True)
    text = format_table(scored(dataset, oracle_answers(dataset), adapter=oracle, run={"limit": 4}))
    assert "PARTIAL (limited to 4 expressions): 4 of 23 expressions" in text
    assert "may look at the annotation" in text
    assert "oracle 1 on tiny val: 1 video, 4 expressions" in text


def test_everything_fits_100_columns() -> None:
    dataset = tiny_dataset()
    long = AdapterInfo("a-model-with-a-very-long-name-" * 4, "1.0", parameters=123_456_789)
    for stored in (oracle_answers(dataset), random_answers(dataset), empty_answers(dataset)):
        text = format_table(scored(dataset, stored, adapter=long), breakdown=True)
        assert max(len(line) for line in text.splitlines()) <= 100
        assert "123,456,789 parameters" in text
        for grouping in ("caption type", "targets", "object size", "clip length", "tag"):
            assert any(line.startswith(grouping) for line in text.splitlines())


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0734, "0.073"), (0.44, "0.44"), (4.04, "4"), (9.96, "10"), (158.4, "160"), (12345.0, "12,000")],
)
def test_measured_values_have_two_digits_and_no_exponent(value: float, text: str) -> None:
    assert two_digits(value) == text


def test_cost_is_shown_where_it_is_known() -> None:
    dataset = tiny_dataset(videos=2)
    stored = {
        video: {name: dataclasses.replace(one, peak_memory_bytes=3 * 2**30) for name, one in answers.items()}
        for video, answers in empty_answers(dataset).items()
    }
    text = format_table(scored(dataset, stored))
    assert (
        "cost: 0.5 s per expression, 2.2 s per video, 7.8 answered frames per second, 3.00 GiB of memory"
        in text
    )
    untimed = {
        video: {name: dataclasses.replace(one, seconds=None) for name, one in answers.items()}
        for video, answers in empty_answers(dataset).items()
    }
    assert "cost" not in format_table(scored(dataset, untimed))


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.0, "0.00"), (12.345678, "12.35"), (100.0, "100.00")]
)
def test_numbers(value: float | None, text: str) -> None:
    assert shown(value) == text


def test_columns_and_long_names() -> None:
    assert aligned([["name", "x"], ["a", "10.00"]]) == "name      x\na     10.00"
    assert shortened("abcdefgh", 6) == "abc..."
    assert shown_interval((1.0, 2.5)) == "1.00 to 2.50"
    assert shown_interval(None) == "-"
