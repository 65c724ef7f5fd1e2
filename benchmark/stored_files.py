"""Files that are either wholly there or not at all, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from benchmark.command_line import is_output_failure, output_error
from benchmark.errors import OutputError

TEMPORARY_PREFIX = ".unfinished-"


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path` so that a crash leaves the old file or the new one, never a part.

    Raises:
        OutputError: when the place is missing, read-only or full; the old file is untouched then.
    """
    with written_atomically(path) as file:
        file.write(content)


@contextlib.contextmanager
def written_atomically(path: Path) -> Iterator[IO[bytes]]:
    """A file to write piece by piece that appears at `path` only when the block ends without an error.

    The bytes go to a temporary name in the same folder, reach the disk, and are renamed.

    Raises:
        OutputError: when the place is missing, read-only or full; the old file is untouched then.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
    try:
        try:
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise as_output_error(error, path) from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object atomically: indented, keys in the given order, no NaN.

    Raises:
        OutputError: when the place cannot be written to.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())


def make_folder(path: Path) -> None:
    """Create a folder and its parents unless it is there.

    Raises:
        OutputError: when it cannot be made, or a file has its name.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise as_output_error(error, path) from error


def as_output_error(error: OSError, path: Path) -> OutputError:
    """The sentence for an `OSError` met while writing `path`."""
    if is_output_failure(error):
        return output_error(error, str(path))
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return OutputError(
            "cannot write",
            where=str(path),
            found="a file where a folder is needed",
            fix="choose another --output",
        )
    return OutputError(
        "cannot write", where=str(path), found=str(error.strerror or error), fix="choose another --output"
    )


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk, where the system can."""
    if os.name == "nt":  # folders cannot be opened there; the rename itself is journaled
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems refuse to sync a folder; the file itself has been synced.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed process left half-written in a folder."""
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        leftover.unlink(missing_ok=True)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
