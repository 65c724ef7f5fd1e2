"""JSON as language models write it: in prose and code fences, with single quotes, cut off in the middle."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 32
"""Containers inside one another. Bounds the work on answers like `[[[[...`."""

_SPACE = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?")
_PART_OF_NUMBER = re.compile(r"[-+]?\d*\.?\d*(?:[eE][-+]?\d*)?\Z")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_AFTER_TEXT = re.compile(r"\s*(?:[,:}\]]|$)")  # tells a closing quote from the apostrophe of 'man's hat'
_WORDS = {"null": None, "none": None, "undefined": None, "true": True, "false": False}
_HALF_LETTERS = re.compile("[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


@dataclass(frozen=True, slots=True)
class Found:
    """One JSON value found in a text.

    Attributes:
        value: dictionaries, lists, texts, floats, booleans and `None`; of a cut-off text, its whole parts.
        complete: whether every bracket was closed.
    """

    value: Any
    complete: bool


class _NotJson(Exception):
    """The text at this place is something else."""


class _CutOff(Exception):
    """The text ended before a value was whole."""


def json_values(text: str) -> Iterator[Found]:
    """The objects and lists in a text, in order; what is not JSON is passed over.

    Read as meant: single quotes, names without quotes, `None`, trailing commas, comments. Of a text
    that ends early, whole members are kept; a number that touches the end may lack digits and is not whole.
    """
    place = 0
    while (start := _next_bracket(text, place)) is not None:
        reader = _Reader(text, start)
        try:
            value = reader.container(0)
        except _NotJson:
            place = start + 1
        else:
            yield Found(value, not reader.cut_off)
            place = reader.place


def _next_bracket(text: str, place: int) -> int | None:
    found = re.compile(r"[\[{]").search(text, place)
    return found.start() if found else None


class _Reader:
    """A recursive descent over one value."""

    def __init__(self, text: str, place: int) -> None:
        self.text, self.place, self.cut_off = text, place, False

    def container(self, depth: int) -> Any:
        if depth >= MAX_DEPTH:
            raise _NotJson
        is_object = self.text[self.place] == "{"
        self.place += 1
        members: dict[str, Any] = {}
        items: list[Any] = []
        while not self.cut_off:
            try:
                if self._ends("}" if is_object else "]"):
                    break
                if is_object:
                    name = self._name()
                    members[name] = self._value(depth)
                else:
                    items.append(self._value(depth))
                self._separator("}" if is_object else "]")
            except _CutOff:
                self.cut_off = True
        return members if is_object else items

    def _ends(self, bracket: str) -> bool:
        if self._peek() != bracket:
            return False
        self.place += 1
        return True

    def _separator(self, bracket: str) -> None:
        """A comma, or the closing bracket left in place. A text that ends here has lost no member's part."""
        if self.cut_off:
            return
        following = self._peek()
        if following == ",":
            self.place += 1
        elif following != bracket:
            raise _NotJson

    def _peek(self) -> str:
        self._skip_space()
        if self.place >= len(self.text):
            raise _CutOff
        return self.text[self.place]

    def _skip_space(self) -> None:
        found = _SPACE.match(self.text, self.place)
        assert found is not None  # the pattern matches nothing, too
        self.place = found.end()

    def _name(self) -> str:
        first = self._peek()
        if first in "\"'":
            name = self._quoted(first)
        else:
            found = _WORD.match(self.text, self.place)
            if not found:
                raise _NotJson
            name, self.place = found.group(), found.end()
        if self._peek() != ":":
            raise _NotJson
        self.place += 1
        return name

    def _value(self, depth: int) -> Any:
        first = self._peek()
        if first in "[{":
            return self.container(depth + 1)
        if first in "\"'":
            return self._quoted(first)
        found = _NUMBER.match(self.text, self.place) or _WORD.match(self.text, self.place)
        if _PART_OF_NUMBER.match(self.text, self.place):
            raise _CutOff
        if not found:
            raise _NotJson
        self.place = found.end()
        if self.place >= len(self.text):
            raise _CutOff
        word = found.group()
        if word[0].isalpha() or word[0] == "_":
            if word.lower() not in _WORDS:
                raise _NotJson
            return _WORDS[word.lower()]
        return float(word)

    def _quoted(self, quote: str) -> str:
        self.place += 1
        letters: list[str] = []
        while self.place < len(self.text):
            letter = self.text[self.place]
            self.place += 1
            if letter == quote and (quote == '"' or _AFTER_TEXT.match(self.text, self.place)):
                return _HALF_LETTERS.sub(_whole_letter, "".join(letters))
            if letter == "\\":
                letter = self._escaped()
            letters.append(letter)
        raise _CutOff

    def _escaped(self) -> str:
        if self.place >= len(self.text):
            raise _CutOff
        letter = self.text[self.place]
        self.place += 1
        digits = self.text[self.place : self.place + 4]
        if letter == "u" and re.fullmatch(r"[0-9a-fA-F]{4}", digits):
            self.place += 4
            return chr(int(digits, 16))
        return _ESCAPES.get(letter, letter)


def _whole_letter(halves: re.Match[str]) -> str:
    """Two escapes that are one letter beyond 16 bits; a half alone is no letter."""
    return halves.group().encode("utf-16", "surrogatepass").decode("utf-16", "replace")
