"""The file an index lives in: named sections behind a checked footer, memory-mapped, next to its source.

    magic (8) | section | section | ... | footer (JSON) | SHA-256 of the footer (32) |
    modification time of the source in ns (8) | length of the footer (8) | magic (8)

What is verified when an index is opened, without reading the source:

1. The index is whole: both magics, the footer's SHA-256, every section inside the file, the SHA-256 of
   each section. Only the large section of masks is left out: it carries a checksum per track instead,
   verified whenever a track is read.
2. It was built by this format version and is of the kind asked for.
3. It belongs to the source as it is now: same size, same modification time, and the same SHA-256 over
   `SAMPLE_BLOCKS` evenly spaced blocks of `SAMPLE_BYTES` (files up to their sum are covered whole).

A source whose time differs but whose size and sample agree (a copy, a `touch`) is hashed once in full;
if that agrees too, only the stored time is renewed. Anything else means building the index anew.
Indexes are written under a temporary name, synced and renamed, so that two processes may race.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import mmap
import os
import secrets
import stat
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, final

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import DatasetError, OutputError
from benchmark.stored_files import TEMPORARY_PREFIX, file_digest, sync_folder

MAGIC = b"IRVOSIDX"
FORMAT = 1
SAMPLE_BLOCKS = 64
SAMPLE_BYTES = 4096
LEFTOVER_SECONDS = 3600  # a builder writes all the time; what lay still for longer is dead
CACHE_VARIABLE = "INTERRVOS_CACHE"

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
        """Map and verify (points 1 and 2 of the module's promise).

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


Build = Callable[[Path, IndexWriter], tuple[str, Mapping[str, Any]]]
"""Reads a source file, writes sections, returns the source's SHA-256 and the facts."""


def open_index(source: Path, kind: str, build: Build, rebuild: bool = False) -> IndexFile:
    """The index of `source`: found beside it or in the cache folder, or built now.

    Raises:
        OutputError: when there is no place to write it to.
        DatasetError: when the source cannot be read; raised by `build` when it is malformed.
    """
    if not os.access(source, os.R_OK):
        raise DatasetError("the file cannot be read", where=str(source), fix="mend its permissions")
    places = index_places(source)
    if not rebuild:
        for renew in (False, True):
            for place in places:
                index = _current(place, source, kind, renew)
                if index:
                    return index
    for place in places if may_write(source.parent) else places[1:]:
        try:
            _write(place, source, kind, build)
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM) or place == places[-1]:
                raise OutputError(
                    "the index of a dataset file cannot be written",
                    where=str(place),
                    found=os.strerror(error.errno or 0),
                    fix=f"make room or set {CACHE_VARIABLE} to a folder that can be written to",
                ) from error
        else:
            return IndexFile(place, kind)
    raise AssertionError("the loop above returns or raises")


def index_places(source: Path) -> tuple[Path, Path]:
    """Where the index of a file may lie: beside it, and in the cache folder."""
    name = f"{source.stem}.index"
    key = hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:16]
    return source.with_name(name), cache_folder() / "indexes" / key / name


def cache_folder() -> Path:
    """$INTERRVOS_CACHE, or ~/.cache/interrvos-referee."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else Path.home() / ".cache" / "interrvos-referee"


def may_write(folder: Path) -> bool:
    """Whether we may write into a data folder; one that is marked read-only is respected even by root."""
    return bool(folder.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)) and os.access(
        folder, os.W_OK
    )


def sample_digest(path: Path) -> str:
    """SHA-256 over evenly spaced blocks of a file, first and last included."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    last = max(0, size - SAMPLE_BYTES)
    with path.open("rb") as file:
        if size <= SAMPLE_BLOCKS * SAMPLE_BYTES:
            digest.update(file.read())
        else:
            for block in range(SAMPLE_BLOCKS):
                file.seek(last * block // (SAMPLE_BLOCKS - 1))
                digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


def _current(place: Path, source: Path, kind: str, renew: bool) -> IndexFile | None:
    """The index at `place` if it is whole and belongs to the source as it is now."""
    try:
        index = IndexFile(place, kind)
    except (IndexDamaged, OSError, ValueError, KeyError):
        return None
    now = source.stat()
    if index.source.size != now.st_size or index.source.sample != sample_digest(source):
        return None
    if index.modified_ns == now.st_mtime_ns:
        return index
    if renew and index.source.sha256 == file_digest(source) and _renew_time(place, now.st_mtime_ns):
        return index
    return None


def _renew_time(place: Path, modified_ns: int) -> bool:
    # In place: should the write be torn, the time is wrong and the source is merely hashed again.
    if not may_write(place.parent):
        return False
    try:
        with place.open("r+b") as file:
            file.seek(-_TAIL.size + 32, os.SEEK_END)
            file.write(struct.pack("<q", modified_ns))
    except OSError:
        return False
    return True


def _write(place: Path, source: Path, kind: str, build: Build) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(place)
    with _replacing(place) as file:
        while True:
            file.seek(0)
            file.truncate()
            before = source.stat()
            sample = sample_digest(source)
            writer = IndexWriter(file)
            sha256, facts = build(source, writer)
            after = source.stat()
            if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                break
        writer.finish(kind, SourceFacts(before.st_size, before.st_mtime_ns, sample, sha256), facts)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` once it is complete and on disk."""
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{path.name}-{secrets.token_hex(8)}")
    try:
        with temporary.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Remove what killed processes left half-written; one that was written to lately may be alive."""
    for leftover in path.parent.glob(f"{TEMPORARY_PREFIX}{path.name}-*"):
        with contextlib.suppress(FileNotFoundError):  # another process removed it first
            if time.time() - leftover.stat().st_mtime > LEFTOVER_SECONDS:
                leftover.unlink()
