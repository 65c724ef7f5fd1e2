"""Checking a submission: everything that is wrong with it, or everything that scoring needs."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from benchmark.predictions import StoredPrediction
from benchmark.types import AdapterInfo, Role
from submissions.answers import (
    Answer,
    expression_digest,
    submission_digest,
    unpack_answer,
    video_digest,
)
from submissions.expected import Expected
from submissions.layouts import Form, Layout
from submissions.limits import Limits
from submissions.model_card import ModelCard, adapter_facts, read_model_card
from submissions.problems import Findings
from submissions.sandbox import decode_safely


@dataclass(slots=True)
class Tally:
    """What is counted while answers pass by."""

    expressions: int = 0
    failed: int = 0
    actors: int = 0
    targets: int = 0
    masks_with_pixels: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of a check.

    Attributes:
        zip_sha256: of the file itself.
        digest: canonical digest of the decoded masks; `None` unless every expression is answered.
        video_digests: canonical digest of every whole video.
        videos_with_pixels: videos whose digest says something, since not all their masks are empty.
        answers: the decoded masks, on disk; `None` unless they were asked for.
    """

    expected: Expected
    zip_sha256: str
    findings: Findings
    layout: Layout | None
    card: ModelCard | None
    tally: Tally
    digest: str | None
    video_digests: Mapping[str, str]
    videos_with_pixels: frozenset[str]
    answers: Spool | None

    @property
    def passed(self) -> bool:
        """Whether the submission may be scored."""
        return self.findings.errors == 0

    def report(self) -> dict[str, Any]:
        """The outcome as JSON."""
        return {
            "passed": self.passed,
            "zip_sha256": self.zip_sha256,
            "dataset": self.expected.dataset,
            "split": self.expected.split,
            "form": self.layout.form.value if self.layout else None,
            "model": self.card.name if self.card else None,
            "predictions_digest": self.digest,
            "videos": len(self.video_digests),
            "expressions": self.tally.expressions,
            "failed": self.tally.failed,
            "errors": self.findings.errors,
            "warnings": self.findings.warnings,
            "findings": self.findings.as_json(),
        }


class Spool:
    """Decoded answers in a nameless temporary file, found again by video."""

    def __init__(self, folder: Path | None = None) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile(dir=folder, prefix="answers-")  # noqa: SIM115 - see exit
        self.places: dict[str, dict[str, tuple[int, int]]] = {}
        self.end = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def add(self, answer: Answer, data: bytes) -> None:
        """Keep an answer."""
        self.file.seek(self.end)
        self.file.write(data)
        self.places.setdefault(answer.video_id, {})[answer.expression_id] = (self.end, len(data))
        self.end += len(data)

    def answer(self, video_id: str, expression_id: str) -> Answer:
        """One answer back."""
        start, length = self.places[video_id][expression_id]
        self.file.seek(start)
        return unpack_answer(self.file.read(length))


class SubmissionReader:
    """A checked submission in the form that scoring reads: one video at a time."""

    def __init__(self, checked: Checked) -> None:
        if checked.answers is None:
            raise ValueError("the check kept no answers")
        self.expected = checked.expected
        self.spool = checked.answers
        self.card = checked.card
        self.adapter: AdapterInfo | None = adapter_facts(checked.card) if checked.card else None
        self.dataset_name: str | None = checked.expected.dataset
        self.dataset_digest: str | None = None  # a zip names expressions and frames, not a version
        self.run: Mapping[str, Any] = {
            "layout": f"submission ({checked.layout.form.value})" if checked.layout else "submission",
            "zip_sha256": checked.zip_sha256,
            "predictions_digest": checked.digest,
        }
        self.video_ids: Sequence[str] = tuple(self.spool.places)

    def video(self, video_id: str) -> Mapping[str, StoredPrediction]:
        """The answers of a video by expression id."""
        sentences = self.expected.by_id[video_id].sentences
        found = {}
        for expression_id in self.spool.places[video_id]:
            answer = self.spool.answer(video_id, expression_id)
            found[expression_id] = StoredPrediction(
                video_id=video_id,
                expression_id=expression_id,
                expression=sentences[expression_id],
                status=answer.status,
                actor=answer.actor,
                target=answer.target,
            )
        return found


def check_submission(
    path: Path,
    expected: Expected,
    *,
    spool: Spool | None = None,
    limits: Limits | None = None,
    words: str | None = None,
) -> Checked:
    """Check a zip against what a dataset expects.

    Args:
        spool: keeps the decoded masks for scoring, as long as it is open.
        words: the zip and the flags of its dataset as a repair command names them.

    Raises:
        PredictionError: when the file cannot be opened.
    """
    tally = Tally()
    digests: dict[str, dict[str, bytes]] = {}
    pixels: set[str] = set()

    def take(answer: Answer, data: bytes) -> None:
        digests.setdefault(answer.video_id, {})[answer.expression_id] = expression_digest(answer)
        _count(answer, tally, pixels)
        if spool is not None:
            spool.add(answer, data)

    decoded = decode_safely(path, expected, take, limits, words)
    findings = decoded.findings
    card = read_model_card(decoded.model, findings) if decoded.model is not None else None
    whole = {
        video.video_id: video_digest(digests[video.video_id])
        for video in expected.videos
        if video.video_id in digests and digests[video.video_id].keys() == video.sentences.keys()
    }
    complete = len(whole) == sum(bool(video.sentences) for video in expected.videos)
    if not complete and not findings.errors:
        findings.add("decoder-stopped", "decoder", found="answers are missing and nobody said why")
    _look_at_content(decoded.layout, card, tally, findings)
    return Checked(
        expected=expected,
        zip_sha256=_sha256(path),
        findings=findings,
        layout=decoded.layout,
        card=card,
        tally=tally,
        digest=submission_digest(whole) if complete and not findings.errors else None,
        video_digests=whole,
        videos_with_pixels=frozenset(pixels),
        answers=spool,
    )


def _count(answer: Answer, tally: Tally, pixels: set[str]) -> None:
    tally.expressions += 1
    tally.failed += answer.status.failed
    tally.actors += answer.actor is not None
    tally.targets += answer.target is not None
    masks = sum(
        text is not None
        for track in (answer.actor, answer.target)
        if track is not None
        for text in track.counts
    )
    tally.masks_with_pixels += masks
    if masks:
        pixels.add(answer.video_id)


def _look_at_content(layout: Layout | None, card: ModelCard | None, tally: Tally, findings: Findings) -> None:
    """What only the whole tells: roles that were promised or not, and a submission without a pixel."""
    if layout is None or card is None:
        return
    claims_target = Role.TARGET in card.roles
    if claims_target and layout.form is Form.PNG_ACTOR:
        found = "a tree of actor masks alone"
        findings.add("roles-mismatch", "model.json/roles", expected='["actor"]', found=found)
    elif not claims_target and tally.targets:
        found = f"target tracks of {tally.targets} expressions"
        findings.add("roles-mismatch", "model.json/roles", expected='["actor", "target"]', found=found)
    elif claims_target and tally.expressions and not tally.targets:
        findings.add("no-target", "submission", expected="targets, since model.json names the role")
    if tally.expressions and not tally.masks_with_pixels:
        findings.add("all-empty", "submission", found=f"{tally.expressions} expressions without a pixel")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
