"""The file an index lives in: named sections behind a checked footer, memory-mapped.

    magic (8) | section | section | ... | footer (JSON) | SHA-256 of the footer (32) |
    modification time of the source in ns (8) | length of the footer (8) | magic (8)

An index is whole when both magics, the SHA-256 of the footer, the place of every section and the SHA-256
of each section agree. Only the large section of masks is left out when opening: it carries a checksum
per track instead, verified whenever a track is read.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, final

import numpy as np
from numpy.typing import NDArray

MAGIC = b"IRVOSIDX"
FORMAT = 1

_TAIL = struct.Struct("<32sqQ8s")


@dataclass(frozen=True)
class SourceFacts:
    """What identifies the file an index was made from."""

    size: int
    modified_ns: int
    sample: str
    sha256: str


class IndexDamaged(Exception):
    """An index that cannot be trusted; always answered by building it anew, never shown to a user."""


@final
class IndexFile:
    """An open index: `facts` as written by the builder, and sections as views of the mapped file."""

    def __init__(self, path: Path, kind: str) -> None:
        """Map and verify; see the module's promise.

        Raises:
            IndexDamaged: when anything does not agree.
            FileNotFoundError: when there is none.
        """
        self.path = path
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < len(MAGIC) + _TAIL.size:
                raise IndexDamaged("too short")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        digest, self.modified_ns, length, magic = _TAIL.unpack(self._map[-_TAIL.size :])
        if magic != MAGIC or self._map[: len(MAGIC)] != MAGIC or length > size - _TAIL.size:
            raise IndexDamaged("magic or length")
        self._end = size - _TAIL.size - length
        raw = self._map[self._end : self._end + length]
        if hashlib.sha256(raw).digest() != digest:
            raise IndexDamaged("footer")
        footer = json.loads(raw)
        if footer["format"] != FORMAT or footer["kind"] != kind:
            raise IndexDamaged("another format or kind")
        self.facts: Mapping[str, Any] = footer["facts"]
        self._source = footer["source"]
        self._sections = footer["sections"]
        for name, section in self._sections.items():
            if section["offset"] + section["length"] > self._end:
                raise IndexDamaged(f"section {name}")
            if section["sha256"] and hashlib.sha256(self.section(name)).hexdigest() != section["sha256"]:
                raise IndexDamaged(f"section {name}")

    @property
    def source(self) -> SourceFacts:
        """What the index was made from."""
        return SourceFacts(modified_ns=self.modified_ns, **self._source)

    def section(self, name: str) -> memoryview:
        """The bytes of a section, without copying them."""
        section = self._sections[name]
        return memoryview(self._map)[section["offset"] : section["offset"] + section["length"]]

    def table(self, name: str) -> NDArray[Any]:
        """A section that was written as an array; read-only."""
        section = self._sections[name]
        dtype = np.dtype([tuple(field) for field in section["dtype"]])
        return np.frombuffer(self.section(name), dtype)


@final
class IndexWriter:
    """Writes sections in order; the footer comes last, when the source is known to be read whole."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sections: dict[str, dict[str, Any]] = {}
        self._file.write(MAGIC)

    def append(self, name: str, data: bytes) -> int:
        """Add bytes to section `name` (the last one begun); returns their offset in it.

        A section written in pieces has no checksum unless `seal` is called with it.
        """
        here = self._file.tell()
        section = self._sections.setdefault(name, {"offset": here, "length": 0, "sha256": None})
        offset: int = section["length"]
        section["length"] += len(data)
        self._file.write(data)
        return offset

    def seal(self, name: str, sha256: str) -> None:
        """Have section `name` verified at every opening."""
        self._sections[name]["sha256"] = sha256

    def table(self, name: str, rows: NDArray[Any]) -> None:
        """Write a section that is a structured array, verified at every opening."""
        data = rows.tobytes()
        self._sections[name] = {
            "offset": self._file.tell(),
            "length": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "dtype": rows.dtype.descr,
        }
        self._file.write(data)

    def finish(self, kind: str, source: SourceFacts, facts: Mapping[str, Any]) -> None:
        """Write footer and tail."""
        footer = {
            "format": FORMAT,
            "kind": kind,
            "source": {"size": source.size, "sample": source.sample, "sha256": source.sha256},
            "sections": self._sections,
            "facts": facts,
        }
        raw = json.dumps(footer).encode()
        self._file.write(raw)
        self._file.write(_TAIL.pack(hashlib.sha256(raw).digest(), source.modified_ns, len(raw), MAGIC))


def write_time(path: Path, modified_ns: int) -> None:
    """Renew the modification time of the source that an index carries.

    In place: should the write be torn, the time is wrong and the source is merely hashed again.
    """
    with path.open("r+b") as file:
        file.seek(-_TAIL.size + 32, os.SEEK_END)
        file.write(struct.pack("<q", modified_ns))
