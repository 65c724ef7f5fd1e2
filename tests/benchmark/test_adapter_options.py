"""Text from the command line as typed keyword arguments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.adapter_options import bind_options, parse_options
from benchmark.errors import AdapterError, UsageError


class Many:
    def __init__(
        self,
        needed: str,
        size: int = 3,
        rate: float | None = None,
        exact: bool = False,
        weights: Path = Path("here"),
        mode: Literal["first", "union"] = "first",
        of_options: Mapping[str, str] | None = None,
        untyped="x",
    ) -> None:
        pass


class Nothing:
    pass


def test_every_kind_of_value() -> None:
    given_texts = {
        "needed": "a=b",
        "size": "-4",
        "rate": "0.5",
        "exact": "Yes",
        "weights": "a/b",
        "mode": "union",
        "of.side": "0.25",
        "of.of.x": "y",
        "untyped": "3",
    }
    assert bind_options(Many, given_texts, "many") == {
        "needed": "a=b",
        "size": -4,
        "rate": 0.5,
        "exact": True,
        "weights": Path("a/b"),
        "mode": "union",
        "of_options": {"side": "0.25", "of.x": "y"},
        "untyped": "3",
    }


def test_defaults_are_part_of_the_choice() -> None:
    chosen = bind_options(Many, {"needed": "x", "rate": "none"}, "many")
    assert (chosen["size"], chosen["rate"], chosen["of_options"]) == (3, None, None)
    assert bind_options(Nothing, {}, "nothing") == {}


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ({}, "adapter 'many' needs option 'needed'"),
        ({"needed": "", "sise": "3"}, "did you mean size"),
        ({"needed": "", "of_options": "3"}, "unknown option of adapter 'many' 'of_options'"),
        ({"needed": "", "size": "3.5"}, "--option size=3.5: the value has the wrong type; expected int"),
        ({"needed": "", "exact": "maybe"}, "not a truth value; expected true or false"),
        ({"needed": "", "mode": "last"}, "not one of the choices; expected first or union"),
    ],
)
def test_wrong_options_are_usage_errors(texts: dict[str, str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        bind_options(Many, texts, "many")


def test_an_adapter_without_options_says_so() -> None:
    with pytest.raises(UsageError, match="adapter 'nothing' has no options"):
        bind_options(Nothing, {"a": "b"}, "nothing")


class Swallowing:
    def __init__(self, **anything: Any) -> None:
        pass


class Odd:
    def __init__(self, when: complex = 1j) -> None:
        pass


class Unreadable:
    def __init__(self, when: NotAType = None) -> None:  # type: ignore[name-defined]  # noqa: F821
        pass


@pytest.mark.parametrize(
    ("adapter_class", "sentence"),
    [
        (Swallowing, "an adapter names its options"),
        (Odd, "this option cannot be given on the command line"),
        (Unreadable, "the types of the adapter's options cannot be read"),
    ],
)
def test_signatures_that_cannot_serve(adapter_class: type, sentence: str) -> None:
    with pytest.raises(AdapterError, match=sentence):
        bind_options(adapter_class, {"when": "1"}, "odd")


@given(st.dictionaries(st.text(min_size=1).filter(lambda key: "=" not in key), st.text()))
def test_options_come_back_as_written(options: dict[str, str]) -> None:
    assert parse_options([f"{key}={value}" for key, value in options.items()]) == options


@pytest.mark.parametrize("texts", [["novalue"], ["=x"], ["a=1", "a=2"]])
def test_texts_that_are_no_options(texts: list[str]) -> None:
    with pytest.raises(UsageError, match="--option"):
        parse_options(texts)
