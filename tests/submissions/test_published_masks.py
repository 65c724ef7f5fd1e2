"""Masks beside an entry: the same bytes again, and nothing but what was scored."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from benchmark.errors import ResultError, UsageError
from submissions import receive
from submissions.entries import read_entry
from submissions.published_masks import MASKS, read_masks


@pytest.fixture
def entry(passing: Path, on_data: list[str], tmp_path: Path, in_process: None) -> Path:
    """The folder of an entry that was received with its masks."""
    words = ["--entries", str(tmp_path / "entries"), "--work", str(tmp_path / "work"), "--with-masks"]
    assert receive.main([str(passing), *on_data, *words]) == 0
    (found,) = (tmp_path / "entries").glob("*/*")
    return found


def digest_of(entry: Path) -> str:
    return read_entry(entry / "entry.json").predictions_digest


def test_masks_and_scores_of_frames_lie_in_the_entry(entry: Path) -> None:
    answers = read_masks(entry / MASKS, digest_of(entry))
    assert sum(len(of_video) for of_video in answers.values()) == 4
    assert (entry / "frame_scores.npz").is_file()


def test_other_masks_are_refused(entry: Path) -> None:
    lines = [json.loads(line) for line in gzip.decompress((entry / MASKS).read_bytes()).splitlines()]
    lines[0]["actor"][0] = None
    (entry / MASKS).write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    with pytest.raises(ResultError, match="not the masks that were scored"):
        read_masks(entry / MASKS, digest_of(entry))


@pytest.mark.parametrize(
    "content", [b"no gzip", gzip.compress(b"no json"), gzip.compress(b'{"video": 1}'), gzip.compress(b"[]")]
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MASKS).write_bytes(content)
    with pytest.raises(ResultError, match="not a file of masks"):
        read_masks(tmp_path / MASKS, "")


def test_files_of_too_much_text_are_refused(entry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("submissions.published_masks.LARGEST", 100)
    with pytest.raises(ResultError, match="more than 100 bytes"):
        read_masks(entry / MASKS, digest_of(entry))


@pytest.mark.parametrize("other", ["--public-report", "--check-only"])
def test_masks_of_what_is_held_back_are_not_shown(passing: Path, other: str) -> None:
    with pytest.raises(UsageError, match="hold back"):
        receive.main([str(passing), "--with-masks", other])
