"""Files are wholly there or not at all, and a place that cannot be written to is named."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from benchmark.errors import OutputError
from benchmark.stored_files import (
    TEMPORARY_PREFIX,
    file_digest,
    make_folder,
    remove_unfinished,
    write_atomically,
    write_json,
    written_atomically,
)


def test_the_content_is_there_and_nothing_else(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", b"one")
    write_atomically(tmp_path / "file", b"two")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("file", b"two")]
    assert file_digest(tmp_path / "file") == hashlib.sha256(b"two").hexdigest()


def test_an_error_while_writing_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), written_atomically(path) as file:
        file.write(b"half of the n")
        raise KeyboardInterrupt
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("file", b"old")]


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "No space left on device. Fix: free some space"),
        (errno.EROFS, "Read-only file system. Fix: choose a writable place"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_full_or_read_only_disk_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, sentence: str
) -> None:
    def fail(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("benchmark.stored_files.os.fsync", fail)
    with pytest.raises(OutputError, match=sentence):
        write_atomically(tmp_path / "file", b"new")
    assert list(tmp_path.iterdir()) == []


def test_json_keeps_its_order_and_refuses_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"b": "ä", "a": [1]})
    assert (tmp_path / "file.json").read_text(encoding="utf-8") == '{\n  "b": "ä",\n  "a": [\n    1\n  ]\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "other.json", {"a": float("nan")})
    assert not (tmp_path / "other.json").exists()


def test_a_file_where_a_folder_is_needed_is_named(tmp_path: Path) -> None:
    make_folder(tmp_path / "deep" / "folder")
    make_folder(tmp_path / "deep")
    (tmp_path / "file").write_bytes(b"")
    for action in (lambda: make_folder(tmp_path / "file" / "x"), lambda: make_folder(tmp_path / "file")):
        with pytest.raises(OutputError, match="a file where a folder is needed"):
            action()
    with pytest.raises(OutputError, match="cannot write"):
        write_atomically(tmp_path / "nowhere" / "file", b"")


def test_leftovers_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    (tmp_path / f"{TEMPORARY_PREFIX}abc").write_bytes(b"half")
    (tmp_path / "file").write_bytes(b"whole")
    remove_unfinished(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
