"""JSON found in what language models write: every spelling, every cut, any text at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.parts.tolerant_json import MAX_DEPTH, Found, json_values

LEAVES = st.none() | st.booleans() | st.integers(-9999, 9999).map(float) | st.text(max_size=8)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)
CONTAINERS = st.lists(VALUES, max_size=4) | st.dictionaries(st.text(max_size=5), VALUES, max_size=4)


def only(text: str) -> Any:
    (found,) = json_values(text)
    assert found.complete
    return found.value


@given(CONTAINERS, st.sampled_from([None, 2]), st.booleans())
def test_real_json_is_read_as_json(value: Any, indent: int | None, ascii_only: bool) -> None:
    assert only(json.dumps(value, indent=indent, ensure_ascii=ascii_only)) == value


@given(CONTAINERS, st.text("abc .,:\n`", max_size=20), st.text("abc .,:\n`", max_size=20))
def test_prose_around_it_does_not_matter(value: Any, before: str, after: str) -> None:
    assert only(f"{before}{json.dumps(value)}{after}") == value


@given(st.text() | st.text("[]{}\"',:/*\\ 1a"))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert all(isinstance(found.value, dict | list) for found in json_values(text))


@given(st.lists(st.lists(st.integers(-9999, 9999), min_size=4, max_size=4), max_size=4), st.data())
def test_a_cut_list_keeps_its_whole_numbers_and_invents_none(
    boxes: list[list[int]], data: st.DataObject
) -> None:
    text = json.dumps(boxes)
    cut = data.draw(st.integers(1, len(text)))
    (found,) = json_values(text[:cut])
    assert found.complete == (cut == len(text))
    for read, written in zip(found.value, boxes, strict=False):
        assert read == written[: len(read)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': 'it is', 'b': None, }", {"a": "it is", "b": None}),
        ("{'a': 'the man's hat', 'b': 1}", {"a": "the man's hat", "b": 1.0}),
        ("{frame: 2, actor: undefined}", {"frame": 2.0, "actor": None}),
        ("[True, FALSE, .5, +1, -2e1, 3.]", [True, False, 0.5, 1.0, -20.0, 3.0]),
        ('{"a": 1, // the first\n "b": /* two */ 2}', {"a": 1.0, "b": 2.0}),
        (r'["\u0041\n\"\\ \ud83d\ude00 \ud83d"]', ['A\n"\\ \U0001f600 \ufffd']),
        ("see [the man] and [1, 2]", [1.0, 2.0]),
    ],
)
def test_spellings(text: str, value: Any) -> None:
    assert only(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2], "b": [3, 4', {"a": [1.0, 2.0], "b": [3.0]}),  # the 4 may have been 42
        ('{"a": nul', {}),
        ('{"a": "x", "b": "unfin\\', {"a": "x"}),
        ('{"a": 1, "b', {"a": 1.0}),
        ('{"a"', {}),
        ("[", []),
        ("[1, -", [1.0]),
        ("[1, 2e", [1.0]),
    ],
)
def test_cut_off(text: str, value: Any) -> None:
    assert list(json_values(text)) == [Found(value, complete=False)]


def test_depth_and_work_are_bounded() -> None:
    assert only("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert list(json_values("[" * 3000)) != []
    assert list(json_values("[/*" * 3000)) == []
    assert list(json_values("{'" * 3000)) == [Found({}, complete=False)]
