"""Reading a JSON file of any size front to back, one member of a large object at a time.

Only a few megabytes are held: a chunk of text and the one value being handed out. Escapes, whitespace
and key order are left to Python's own JSON scanner; this module finds out where to stop reading, and
says at which byte a file is cut off or malformed.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Callable, Iterator
from json import JSONDecodeError, JSONDecoder
from json.decoder import scanstring  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any, final

from benchmark.errors import DatasetError

CHUNK_BYTES = 4 << 20
MAX_VALUE_CHARACTERS = 512 << 20  # one track of a two-hour clip is far smaller
# A literal or an escape cut by the end of the chunk makes the scanner complain this near to the end.
LONGEST_CUT_TOKEN = 16

_SPACE = re.compile(r"[ \t\n\r]*")

Pairs = tuple[tuple[str, Any], ...]
"""A JSON object as read here: its members in order, duplicates kept. A JSON array is a `list`."""


@final
class JsonStream:
    """A JSON file whose top level is an object, read member by member.

    Objects inside a value come as `Pairs` (tuples), so that duplicate keys stay visible.

    Args:
        path: the file.
        progress: called with the number of bytes of each chunk read.
        chunk_bytes: how much to read at once; `CHUNK_BYTES` unless given.

    Attributes:
        sha256: over the bytes read so far; of the whole file after the last member.
    """

    def __init__(
        self,
        path: Path,
        progress: Callable[[int], object] = lambda _: None,
        chunk_bytes: int | None = None,
    ) -> None:
        self.path = path
        self.sha256 = hashlib.sha256()
        self._progress = progress
        self._chunk_bytes = chunk_bytes or CHUNK_BYTES
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise _unreadable(path, error) from error
        self._decode = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._position = 0
        self._bytes_before = 0  # of the file, before self._text
        self._at_end = False
        scan: Callable[[str, int], tuple[Any, int]] = JSONDecoder(object_pairs_hook=tuple).scan_once  # type: ignore[attr-defined]
        self._scan = scan

    def __enter__(self) -> JsonStream:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def members(self) -> Iterator[str]:
        """The keys of the object that starts here; the consumer must read each one's value.

        Raises:
            DatasetError: naming the byte, when there is no object or it is malformed or cut off.
        """
        self._take("{", "an object")
        if self._peek() == "}":
            self._position += 1
            return
        while True:
            if self._peek() != '"':
                raise self._malformed("a key in double quotes")
            key = self._parsed(lambda text, start: scanstring(text, start + 1))
            self._take(":", "':' after a key")
            yield key
            if self._peek() == "}":
                self._position += 1
                return
            self._take(",", "',' or '}'")

    def value(self) -> Any:
        """The value that starts here.

        Raises:
            DatasetError: naming the byte, when it is malformed, cut off or beyond all bounds.
        """
        self._peek()
        return self._parsed(self._scan)

    @property
    def opens_object(self) -> bool:
        """Whether the value that starts here is an object."""
        return self._peek() == "{"

    def finish(self) -> None:
        """Check that nothing but whitespace follows.

        Raises:
            DatasetError: when something does.
        """
        if self._peek(end_allowed=True):
            raise self._malformed("the end of the file")

    def offset(self, position: int | None = None) -> int:
        """Byte offset in the file of the place being read."""
        end = self._position if position is None else position
        return self._bytes_before + len(self._text[:end].encode())

    def _peek(self, end_allowed: bool = False) -> str:
        while True:
            match = _SPACE.match(self._text, self._position)
            self._position = match.end() if match else self._position
            if self._position < len(self._text):
                return self._text[self._position]
            if not self._read_more():
                if end_allowed:
                    return ""
                raise self._cut_off()

    def _take(self, character: str, expected: str) -> None:
        if self._peek() != character:
            raise self._malformed(expected)
        self._position += 1

    def _parsed(self, scan: Callable[[str, int], tuple[Any, int]]) -> Any:
        while True:
            try:
                value, end = scan(self._text, self._position)
            except StopIteration as stop:
                cause, place = "Expecting value", int(stop.value)
            except JSONDecodeError as error:
                cause, place = error.msg, error.pos
            except RecursionError:
                raise self._malformed("objects and lists nested less deeply") from None
            except ValueError as error:  # a number of thousands of digits
                raise self._malformed("a number of ordinary length", str(error)) from None
            else:
                # A number at the end of the chunk ("-0", "1.", "2e+") may go on in the next one.
                rest = self._text[end : end + LONGEST_CUT_TOKEN]
                if rest.strip(".eE+-") or not self._read_more():
                    self._position = end
                    return value
                continue
            near_end = place >= len(self._text) - LONGEST_CUT_TOKEN or cause.startswith("Unterminated string")
            if not near_end:
                raise self._malformed("valid JSON", cause, place)
            if len(self._text) - self._position > MAX_VALUE_CHARACTERS:
                raise self._malformed(f"one value below {MAX_VALUE_CHARACTERS} characters")
            before = self._position
            if not self._read_more():
                place -= before - self._position  # reading drops what was consumed
                raise self._broken(cause, place)

    def _broken(self, cause: str, place: int) -> DatasetError:
        rest = self._text[place:].rstrip()
        unfinished = any(word.startswith(rest) for word in ("true", "false", "null"))
        if (
            unfinished
            or not rest.strip(".eE+-")
            or cause.startswith("Unterminated string")
            or "escape" in cause
        ):
            return self._cut_off()
        return self._malformed("valid JSON", cause, place)

    def _read_more(self) -> bool:
        if self._at_end:
            return False
        rest = self._text[self._position :]
        # Growing with what is unread keeps the work linear when one value spans many chunks.
        try:
            data = self._file.read(max(self._chunk_bytes, len(rest)))
        except OSError as error:
            raise _unreadable(self.path, error) from error
        self._at_end = not data
        self.sha256.update(data)
        self._progress(len(data))
        self._bytes_before = self.offset()
        try:
            self._text, self._position = rest + self._decode.decode(data, final=self._at_end), 0
        except UnicodeDecodeError as error:
            if self._at_end:
                raise self._cut_off() from error
            raise DatasetError(
                f"not UTF-8 text at or after byte {self._bytes_before}",
                where=str(self.path),
                found=error.reason,
                fix="get the file again; it is damaged",
            ) from error
        return len(self._text) > len(rest) or not self._at_end

    def _malformed(self, expected: str, cause: str = "", place: int | None = None) -> DatasetError:
        position = self._position if place is None else place
        excerpt = self._text[position : position + 24]
        return DatasetError(
            f"malformed JSON at byte {self.offset(position)}" + (f" ({cause})" if cause else ""),
            where=str(self.path),
            expected=expected,
            found=repr(excerpt) if excerpt else "the end of the file",
            fix="get the file again; it is damaged or was edited by hand",
        )

    def _cut_off(self) -> DatasetError:
        return DatasetError(
            "the JSON is cut off",
            where=str(self.path),
            expected="a complete file",
            found=f"its end at byte {self.offset(len(self._text))}",
            fix="get the file again; the copy is incomplete",
        )


def _unreadable(path: Path, error: OSError) -> DatasetError:
    return DatasetError(
        "the file cannot be read",
        where=str(path),
        found=error.strerror or str(error),
        fix="mend its permissions or the disk it lies on",
    )


def json_kind(value: Any) -> str:
    """What a JSON value is, in words."""
    if isinstance(value, bool):
        return "true or false"
    names = {type(None): "null", int: "a number", float: "a number", str: "a text", list: "a list"}
    return names.get(type(value), "an object")
