"""Leaderboard entries: folders that are written once and never changed.

    ENTRIES/DATASET-SPLIT/MODEL-ID/entry.json     what the board shows, and its status
                                   receipt.json   the receipt, where the submission was scored
                                   result.json, expressions.csv     unless hidden

ID is taken from what the entry is about (dataset, protocols, facts of the model, decoded masks, status,
what it supersedes), so the same submission twice is one entry, in whichever container it came. A folder
is filled under another name and renamed, so it is there wholly or not at all. A correction is a new entry
that names the one it supersedes, with reason, author and date; the old one stays as it is.
"""

from __future__ import annotations

import enum
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.errors import ProblemCollector, ResultError, UsageError
from benchmark.json_records import entry as described
from benchmark.json_records import from_json, to_json
from benchmark.stored_files import TEMPORARY_PREFIX, as_output_error, make_folder, sync_folder, write_json
from submissions.model_card import ModelCard
from submissions.receipt import ProtocolVersion, Receipt, ScoredData, Scores, read_receipt
from submissions.strict_json import StrictJsonError, loads

FORMAT = "interrvos-referee entry"
VERSION = 1
ENTRY = "entry.json"
RECEIPT = "receipt.json"
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")


class Standing(enum.StrEnum):
    """The ladder of status, from a claim to a proof."""

    SELF_REPORTED = "self-reported"
    FILES_CHECKED = "files checked"
    RESCORED = "re-scored by us"
    RERUN = "re-run by us"


@dataclass(frozen=True, slots=True)
class Supersedes:
    """Why an entry takes the place of another."""

    entry: str
    reason: str
    author: str
    date: str


@dataclass(frozen=True, slots=True)
class Shared:
    """Videos whose masks are exactly those of another entry; videos without a pixel are not counted."""

    entry: str
    videos: int
    of: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where a zip came from: a file, or a revision of a Hub repository."""

    kind: str
    name: str
    repository: str | None
    revision: str | None
    pull_request: int | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a board."""

    format: str
    version: int
    id: str
    status: Standing
    model: ModelCard
    dataset: ScoredData
    protocols: Mapping[str, ProtocolVersion]
    predictions_digest: str
    zip_sha256: str
    source: Source
    scores: Mapping[str, Scores] | None = field(metadata=described(doc="null where nothing was scored"))
    rounded: bool
    shares: tuple[Shared, ...]
    supersedes: Supersedes | None
    received_at: str


def entry_id(
    model: ModelCard,
    dataset: ScoredData,
    protocols: Mapping[str, ProtocolVersion],
    predictions_digest: str,
    status: Standing,
    supersedes: str | None,
) -> str:
    """The name of an entry, which is the same whenever it is about the same thing."""
    about = [
        to_json(model),
        dataset.digest,
        {name: one.digest for name, one in protocols.items()},
        predictions_digest,
        status.value,
        supersedes,
    ]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
    readable = _NOT_PLAIN.sub("-", f"{model.name} {model.version}".lower()).strip("-")[:60] or "model"
    return f"{readable}-{digest}"


class EntryFolder:
    """The entries of one dataset and split."""

    def __init__(self, root: Path, dataset: str, split: str) -> None:
        self.path = root / f"{_NOT_PLAIN.sub('-', dataset.lower())}-{_NOT_PLAIN.sub('-', split.lower())}"

    def all(self) -> Iterator[Entry]:
        """Every entry, by name.

        Raises:
            ResultError: when one is damaged.
        """
        if self.path.is_dir():
            for folder in sorted(self.path.iterdir()):
                if (folder / ENTRY).is_file() and not folder.name.startswith(TEMPORARY_PREFIX):
                    yield read_entry(folder / ENTRY)

    def receipt(self, one: Entry) -> Receipt | None:
        """The receipt of an entry, where it has one."""
        path = self.path / one.id / RECEIPT
        return read_receipt(path) if path.is_file() else None

    def find(self, name: str) -> Entry:
        """The entry of that id.

        Raises:
            UsageError: when there is none.
        """
        path = self.path / name / ENTRY
        if "/" in name or not path.is_file():
            raise UsageError(
                "no such entry", where=f"--supersedes {name}", expected=f"a folder of {self.path}"
            )
        return read_entry(path)

    def add(self, one: Entry, fill: Callable[[Path], None]) -> bool:
        """Write an entry's folder, or leave the one that is there; True when it is new.

        Args:
            fill: writes what belongs beside entry.json into the folder it is given.

        Raises:
            OutputError: when the place cannot be written to.
        """
        final = self.path / one.id
        if (final / ENTRY).is_file():
            return False
        make_folder(self.path)
        unfinished = self.path / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        make_folder(unfinished)
        try:
            fill(unfinished)
            write_json(unfinished / ENTRY, to_json(one))
            os.rename(unfinished, final)
        except OSError as error:
            raise as_output_error(error, final) from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)  # gone already when it was renamed
        sync_folder(self.path)
        return True

    def remove_unfinished(self) -> None:
        """Remove what a killed process left half-written."""
        if self.path.is_dir():
            for leftover in self.path.glob(f"{TEMPORARY_PREFIX}*"):
                shutil.rmtree(leftover)


def read_entry(path: Path) -> Entry:
    """An entry, every field checked.

    Raises:
        ResultError: with everything that is wrong with the file.
    """
    problems = ProblemCollector()
    try:
        value = loads(path.read_bytes())
    except (OSError, StrictJsonError) as error:
        raise ResultError("not a readable entry", where=str(path), found=str(error)) from error
    read = from_json(Entry, value, problems, str(path))
    problems.raise_if_any(ResultError, f"{path} is not an entry")
    assert read is not None  # no problem means a record
    if read.id != path.parent.name or (read.format, read.version) != (FORMAT, VERSION):
        raise ResultError(
            "an entry of another name or version",
            where=str(path),
            expected=f"{path.parent.name}, {FORMAT} {VERSION}",
            found=f"{read.id}, {read.format} {read.version}",
        )
    return read


def shared_videos(
    mine: Mapping[str, str], counted: frozenset[str], folder: EntryFolder, own_id: str
) -> tuple[Shared, ...]:
    """The entries that share masks with a submission, told from the digests of videos.

    Args:
        mine: digest of every video of the submission.
        counted: its videos with pixels; those without are alike in every submission.
    """
    found = []
    for other in folder.all():
        receipt = folder.receipt(other)
        if receipt is None or other.id == own_id:
            continue
        theirs = receipt.statement.predictions.videos
        same = sum(theirs.get(video) == mine[video] for video in counted)
        if same:
            found.append(Shared(other.id, same, len(counted)))
    return tuple(found)
