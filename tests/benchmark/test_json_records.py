"""Dataclasses as JSON: what goes out comes back, and everything wrong is reported at once."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.errors import ProblemCollector
from benchmark.json_records import entry, from_json, schema_of, to_json


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Part:
    """A part of a record."""

    size: float
    name: str | None = None


@dataclass(frozen=True)
class Whole:
    """One of each kind of field. A second sentence."""

    count: int
    share: float = field(metadata=entry("share %", "a share"))
    good: bool
    colour: Colour
    span: tuple[float, float] | None
    parts: tuple[Part, ...]
    by: Mapping[str, Part]
    anything: Any
    kept: str = field(default="in memory", metadata=entry(stored=False))


texts = st.text(max_size=5)
numbers = st.floats(allow_nan=False, allow_infinity=False)
parts = st.builds(Part, numbers, st.none() | texts)
wholes = st.builds(
    Whole,
    st.integers(-(2**60), 2**60),
    numbers,
    st.booleans(),
    st.sampled_from(Colour),
    st.none() | st.tuples(numbers, numbers),
    st.lists(parts, max_size=3).map(tuple),
    st.dictionaries(texts, parts, max_size=2),
    st.none() | st.lists(st.integers(), max_size=2),
)


@given(wholes)
def test_what_is_written_reads_back_equal_and_fits_the_schema(whole: Whole) -> None:
    stored = json.loads(json.dumps(to_json(whole), allow_nan=False))
    problems = ProblemCollector()
    assert from_json(Whole, stored, problems) == whole
    jsonschema.validate(stored, schema_of(Whole, "test"))
    assert "kept" not in stored


GOOD = {
    "count": 1,
    "share %": 0.5,
    "good": True,
    "colour": "red",
    "span": [1, 2],
    "parts": [{"size": 1, "name": None}],
    "by": {},
    "anything": None,
}


@pytest.mark.parametrize(
    ("key", "value", "place", "expected"),
    [
        ("count", 1.5, "/count", "a whole number"),
        ("count", True, "/count", "a whole number"),
        ("good", 1, "/good", "true or false"),
        ("share %", "0.5", "/share %", "a number"),
        ("share %", float("nan"), "/share %", "a number"),
        ("colour", "green", "/colour", "red or blue"),
        ("span", [1], "/span", "a list of 2"),
        ("span", "ab", "/span", "a list"),
        ("parts", [{"size": "x", "name": None}], "/parts/0/size", "a number"),
        ("parts", ["x"], "/parts/0", "an object"),
        ("by", [], "/by", "an object"),
        ("by", {"k": {"size": None, "name": None}}, "/by/k/size", "a number"),
        ("extra", 1, "/extra", "count"),
    ],
)
def test_wrong_values_are_named_with_place_and_expectation(
    key: str, value: Any, place: str, expected: str
) -> None:
    problems = ProblemCollector()
    assert from_json(Whole, {**GOOD, key: value}, problems) is None
    (problem,) = problems.problems
    assert problem.where == place
    assert expected in problem.expected
    if not (isinstance(value, float) and value != value):  # JSON Schema cannot know NaN
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**GOOD, key: value}, schema_of(Whole, "test"))


def test_all_problems_are_collected() -> None:
    problems = ProblemCollector()
    broken = {**GOOD, "count": "x" * 100, "good": None}
    del broken["colour"]
    assert from_json(Whole, broken, problems) is None
    assert [(one.what, one.where) for one in problems.problems] == [
        ("wrong value", "/count"),
        ("wrong value", "/good"),
        ("key is missing", "/colour"),
    ]
    assert len(problems.problems[0].found) == 60
    assert from_json(Whole, [], ProblemCollector()) is None


def test_numbers_that_json_lacks_are_not_written() -> None:
    with pytest.raises(ValueError, match="nan cannot be stored"):
        to_json(Part(float("nan")))


def test_a_kind_without_a_json_form_is_our_own_fault() -> None:
    @dataclass(frozen=True)
    class Odd:
        one: bytes

    with pytest.raises(TypeError, match="no JSON form"):
        schema_of(Odd, "test")


def test_descriptions_reach_the_schema() -> None:
    schema = schema_of(Whole, "test")
    whole = schema["$defs"]["Whole"]
    assert whole["description"] == "One of each kind of field. A second sentence."
    assert whole["properties"]["share %"]["description"] == "a share"
