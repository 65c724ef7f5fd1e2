"""Where the index of a file lies, when it is trusted, and building it anew.

An index is taken without reading its source when it is whole and of the kind asked for
(`benchmark.datasets.index_file`), and belongs to the source as it is now: same size, same modification
time, and the same SHA-256 over `SAMPLE_BLOCKS` evenly spaced blocks of `SAMPLE_BYTES` (files up to their
sum are covered whole).

A source whose time differs but whose size and sample agree (a copy, a `touch`) is hashed once in full;
if that agrees too, only the stored time is renewed. Anything else means building the index anew.
Indexes are written under a temporary name, synced and renamed, so that processes may race.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from benchmark.datasets.index_file import IndexDamaged, IndexFile, IndexWriter, SourceFacts, write_time
from benchmark.errors import DatasetError, OutputError
from benchmark.stored_files import TEMPORARY_PREFIX, file_digest, sync_folder

SAMPLE_BLOCKS = 64
SAMPLE_BYTES = 4096
LEFTOVER_SECONDS = 3600  # a builder writes all the time; what lay still for longer is dead
CACHE_VARIABLE = "INTERRVOS_CACHE"

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
    if not may_write(place.parent):
        return False
    try:
        write_time(place, modified_ns)
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
