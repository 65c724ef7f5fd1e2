"""Receiving one zip: check, score, receipt, entry, report, log, in an order that may break anywhere.

The entry is the only thing that counts, and it appears at once and whole. The report of a zip is written
after its entry; a zip without a report is simply received again, which finds the entry that is there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.datasets import Dataset
from benchmark.json_records import to_json
from benchmark.protocol import load_protocols
from benchmark.provenance import collect, timestamp
from benchmark.results import Result
from benchmark.score import write_result
from benchmark.stored_files import (
    as_output_error,
    make_folder,
    remove_unfinished,
    write_atomically,
    write_json,
)
from submissions.check import format_check
from submissions.checking import Checked, Spool, check_submission
from submissions.choices import remote_words
from submissions.entries import (
    FORMAT,
    RECEIPT,
    VERSION,
    Entry,
    EntryFolder,
    Source,
    Standing,
    Supersedes,
    entry_id,
    shared_videos,
)
from submissions.expected import Expected
from submissions.outcome import format_scores, score_checked, statement
from submissions.published_masks import MASKS, write_masks
from submissions.receipt import ProtocolVersion, Receipt, ScoredData, make_receipt, write_receipt

REPORTS = "reports"
PRIVATE = "private"
PUBLIC_FILES = ("result.json", "expressions.csv")
FRAMES_FILE = "frame_scores.npz"
LOG = "log.jsonl"


@dataclass(frozen=True, slots=True)
class Correction:
    """Which entry a submission takes the place of, why, and who says so."""

    entry: str
    reason: str
    author: str


@dataclass(frozen=True)
class Office:
    """Everything that receiving needs besides the zip.

    Attributes:
        standing: the status that new entries get.
        hidden: whether the truth is hidden, so that only rounded aggregates may leave.
        key: private key that receipts are signed with, or none.
        arguments: the command line, for provenance.
        with_masks: whether masks and scores of frames belong to the entry, for pages that show them.
    """

    dataset: Dataset
    expected: Expected
    entries: Path
    work: Path
    standing: Standing
    hidden: bool
    key: Path | None
    correction: Correction | None
    arguments: tuple[str, ...]
    with_masks: bool = False

    @property
    def folder(self) -> EntryFolder:
        """The entries of this dataset."""
        return EntryFolder(self.entries, self.dataset.name, self.dataset.split)

    def report_path(self, zip_sha256: str) -> Path:
        """Where the report of a zip lies."""
        on = f"{self.folder.path.name}-{self.standing.value.replace(' ', '-')}"
        return self.work / REPORTS / on / f"{zip_sha256}.json"

    def was_received(self, zip_sha256: str) -> bool:
        """Whether there is a report about a zip of these bytes already."""
        return self.report_path(zip_sha256).is_file()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How receiving a zip ended; `before` when its entry was there already."""

    accepted: bool
    entry: Entry | None
    report: str
    before: bool = False

    @property
    def text(self) -> str:
        """What to tell whoever runs the command."""
        return f"received before; nothing is added\n{self.report}" if self.before else self.report


def receive_zip(path: Path, source: Source, office: Office) -> Outcome:
    """Receive one zip; repeating it changes nothing.

    Raises:
        InputError: when the file cannot be opened, or what it would supersede does not exist.
        OutputError: when entries or reports cannot be written.
    """
    make_folder(office.work)
    folder = office.folder
    folder.remove_unfinished()
    if office.correction is not None:
        folder.find(office.correction.entry)
    with Spool(office.work) as spool:
        words = remote_words(source.name, office.dataset)
        checked = check_submission(path, office.expected, spool=spool, words=words)
        if checked.passed:
            outcome = _accept(checked, source, office, folder)
        else:
            outcome = Outcome(False, None, format_check(checked, source.name))
    _report(checked, source, outcome, office)
    return outcome


def _accept(checked: Checked, source: Source, office: Office, folder: EntryFolder) -> Outcome:
    """The entry of a submission that passed: the one that is there, or a new one."""
    assert checked.card is not None and checked.digest is not None  # it passed
    protocols = {one.name: ProtocolVersion(one.version, one.digest) for one in load_protocols()}
    data = _data_facts(office.dataset)
    corrected = office.correction
    name = entry_id(
        *(checked.card, data, protocols, checked.digest, office.standing),
        corrected.entry if corrected else None,
    )
    there = next((one for one in folder.all() if one.id == name), None)
    if there is not None:
        report = _announced(there, folder, folder.receipt(there), checked, source)
        return Outcome(True, there, report, before=True)
    result, receipt = _scored(checked, office)
    now = timestamp()
    entry = Entry(
        format=FORMAT,
        version=VERSION,
        id=name,
        status=office.standing,
        model=checked.card,
        dataset=data,
        protocols=protocols,
        predictions_digest=checked.digest,
        zip_sha256=checked.zip_sha256,
        source=source,
        scores=receipt.statement.scores if receipt else None,
        rounded=office.hidden,
        shares=shared_videos(checked.video_digests, checked.videos_with_pixels, folder, name),
        supersedes=Supersedes(*_values(corrected), now) if corrected else None,
        received_at=now,
    )

    private = office.work / PRIVATE / name

    def fill(place: Path) -> None:
        if receipt is not None:
            write_receipt(receipt, place / RECEIPT)
        if result is not None and not office.hidden:
            for public in PUBLIC_FILES:  # the scores of frames are too large for git, and stay here
                write_atomically(place / public, (private / public).read_bytes())
        if office.with_masks:
            write_atomically(place / FRAMES_FILE, (private / FRAMES_FILE).read_bytes())
            write_masks(checked, place / MASKS)

    if result is not None:
        write_result(result, private, replace=True)
    folder.add(entry, fill)
    return Outcome(True, entry, _announced(entry, folder, receipt, checked, source))


def _values(corrected: Correction) -> tuple[str, str, str]:
    return corrected.entry, corrected.reason, corrected.author


def _data_facts(dataset: Dataset) -> ScoredData:
    expressions = sum(len(video.expressions) for video in dataset.videos)
    return ScoredData(dataset.name, dataset.split, dataset.digest, len(dataset.videos), expressions)


def _scored(checked: Checked, office: Office) -> tuple[Result | None, Receipt | None]:
    if office.standing is Standing.FILES_CHECKED:
        return None, None
    made = collect("submissions.receive", office.arguments, {"bootstrap": 0})
    result = score_checked(checked, office.dataset, made)
    return result, make_receipt(statement(checked, result, rounded=office.hidden), office.key)


def _announced(
    entry: Entry, folder: EntryFolder, receipt: Receipt | None, checked: Checked, source: Source
) -> str:
    lines = [format_check(checked, source.name)]
    if receipt is not None:
        lines += ["", format_scores(receipt.statement.scores), "", f"receipt: {receipt.note}"]
    lines += [f"shares the masks of {one.videos} of {one.of} videos with {one.entry}" for one in entry.shares]
    if entry.supersedes is not None:
        lines.append(f"supersedes {entry.supersedes.entry}: {entry.supersedes.reason}")
    return "\n".join([*lines, f"entry ({entry.status}): {folder.path / entry.id}"])


def _report(checked: Checked, source: Source, outcome: Outcome, office: Office) -> None:
    """The report file of a zip, and a line in the log."""
    entry = outcome.entry.id if outcome.entry else None
    report: Mapping[str, Any] = {
        "source": to_json(source),
        "accepted": outcome.accepted,
        "entry": entry,
        **checked.report(),
    }
    path = office.report_path(checked.zip_sha256)
    make_folder(path.parent)
    remove_unfinished(path.parent)
    write_atomically(path.with_suffix(".txt"), f"{outcome.report}\n".encode("utf-8", "replace"))
    write_json(path, report)  # last: it says that this zip is done
    line = json.dumps(
        {
            "at": timestamp(),
            "source": to_json(source),
            "zip_sha256": checked.zip_sha256,
            "accepted": outcome.accepted,
            "entry": entry,
            "errors": list(checked.findings.codes),
        }
    )
    try:
        # One write of one line: lines of a killed process are whole or not there.
        handle = os.open(office.work / LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, f"{line}\n".encode())
        finally:
            os.close(handle)
    except OSError as error:
        raise as_output_error(error, office.work / LOG) from error
