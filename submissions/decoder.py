"""From the bytes of a zip to findings and answers: all that touches what a stranger wrote.

Runs in a process of its own (`submissions.child`), without a way to open another file; nothing here
writes anything. Members are read by the names that the dataset expects and are never extracted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.mask_batches import texts_from_runs
from benchmark.types import MaskTrack, Role, Status
from submissions.answers import Answer
from submissions.expected import Expected, ExpectedVideo
from submissions.layouts import (
    ANSWERS,
    MODEL,
    Form,
    Layout,
    find_layout,
    report_unexpected,
)
from submissions.limits import ANSWERS_BYTES, MODEL_BYTES, Limits
from submissions.mask_lines import read_lines, split_lines
from submissions.model_card import read_model_card
from submissions.png_masks import PngError, decode_png
from submissions.problems import Findings
from submissions.strict_json import StrictJsonError, loads
from submissions.zip_directory import Directory, FileBytes, Member, read_directory
from submissions.zip_members import MemberError, read_member, stream_member

AnswerSink = Callable[[Answer], None]
PNG_BYTES = 1 << 16  # of a compressed mask, beside one byte per pixel
REMEMBERED = 256  # PNGs that are told apart by their bytes: most black frames are one file
REMEMBERED_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a submission that one process decodes: every `count`-th video from `index`.

    The first share also judges what belongs to no video.
    """

    index: int = 0
    count: int = 1


@dataclass(slots=True)
class Decoded:
    """What is known after decoding besides the answers."""

    layout: Layout | None = None
    model: bytes | None = None
    findings: Findings = field(default_factory=Findings)


@dataclass(frozen=True, slots=True)
class _Zip:
    file: FileBytes
    directory: Directory
    layout: Layout
    findings: Findings
    seen: dict[bytes, NDArray[np.int64]]


def decode(
    file: FileBytes, expected: Expected, limits: Limits, words: str, sink: AnswerSink, share: Share
) -> Decoded:
    """Decode a share of a submission; complete answers go to `sink` as they come.

    Args:
        words: the zip and the flags of its dataset, for commands in messages.
    """
    known = Decoded()
    directory = read_directory(file, limits, known.findings)
    known.layout = find_layout(directory, expected, words, known.findings)
    if share.index == 0:
        report_unexpected(directory, known.layout, expected, known.findings)
        known.model = _read_model(file, directory, known)
    else:
        known.findings = Findings()  # the first share has said it
    if known.layout is None:
        return known
    zipped = _Zip(file, directory, known.layout, known.findings, {})
    videos = expected.videos[share.index :: share.count]
    if known.layout.form is Form.RUN_LENGTH:
        for video in videos:
            _decode_lines(zipped, video, sink)
        return known
    notes = Findings() if share.index else known.findings
    statuses = _read_statuses(file, directory, expected, known.layout, notes)
    for video in videos:
        for answer in _decode_pngs(zipped, video, statuses.get(video.video_id, {})):
            sink(answer)
    return known


def _read_model(file: FileBytes, directory: Directory, known: Decoded) -> bytes | None:
    root = known.layout.root if known.layout else ""
    member = directory.find(MODEL) or directory.find(root + MODEL)
    if member is None:
        if len(directory):
            known.findings.add("model-missing", MODEL)
        return None
    try:
        text = read_member(file, member, MODEL_BYTES)
    except MemberError as error:
        known.findings.add(error.code, MODEL, expected=error.expected, found=error.found)
        return None
    return text if read_model_card(text, known.findings) is not None else None


def _decode_lines(zipped: _Zip, video: ExpectedVideo, sink: AnswerSink) -> None:
    name = zipped.layout.lines_of(video)
    member = zipped.directory.find(name)
    if member is None:
        zipped.findings.add("missing-video", f"video {video.video_id}", expected=name)
        return
    lines = split_lines(stream_member(zipped.file, member))
    try:
        for answer in read_lines(lines, video, name, zipped.findings):
            sink(answer)
    except (MemberError, StrictJsonError) as error:
        expected = error.expected if isinstance(error, MemberError) else ""
        found = error.found if isinstance(error, MemberError) else str(error)
        zipped.findings.add(error.code, name, expected=expected, found=found)


def _read_statuses(
    file: FileBytes, directory: Directory, expected: Expected, layout: Layout, findings: Findings
) -> dict[str, dict[str, Status]]:
    """answers.json of a PNG tree: the status of every expression whose actor is not claimed."""
    member = directory.find(ANSWERS) or directory.find(layout.root + ANSWERS)
    if member is None:
        return {}
    try:
        value = loads(read_member(file, member, ANSWERS_BYTES))
    except (MemberError, StrictJsonError) as error:
        findings.add(error.code, ANSWERS, found=str(error))
        return {}
    statuses: dict[str, dict[str, Status]] = {}
    for video_id, answers in _items(value, ANSWERS, findings):
        video = expected.by_id.get(video_id)
        for expression_id, status in _items(answers, f"{ANSWERS}, {video_id}", findings):
            place = f"{ANSWERS}, video {video_id}, expression {expression_id}"
            if video is None or expression_id not in video.sentences:
                findings.add("answers-file", place, expected="an expression of the dataset", found="none")
            elif status not in [one.value for one in Status]:
                names = ", ".join(one.value for one in Status)
                findings.add("answers-file", place, expected=names, found=repr(status)[:80])
            else:
                statuses.setdefault(video_id, {})[expression_id] = Status(status)
    return statuses


def _items(value: Any, where: str, findings: Findings) -> Sequence[tuple[str, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    findings.add("answers-file", where, expected="an object", found=type(value).__name__)
    return ()


def _decode_pngs(zipped: _Zip, video: ExpectedVideo, statuses: Mapping[str, Status]) -> Iterator[Answer]:
    """The complete answers of a video in a PNG tree."""
    present = {
        expression_id: {
            role: _present_frames(zipped, video, expression_id, role) for role in zipped.layout.roles
        }
        for expression_id in video.sentences
    }
    nothing = [one for one, roles in present.items() if not any(any(frames) for frames in roles.values())]
    if video.sentences and len(nothing) == len(video.sentences) and not statuses:
        example = zipped.layout.folder_of(video, nothing[0], Role.ACTOR) + f"{video.frame_names[0]}.png"
        zipped.findings.add("missing-video", f"video {video.video_id}", expected=example)
        return
    for expression_id, roles in present.items():
        status = statuses.get(expression_id)
        place = f"video {video.video_id}, expression {expression_id}"
        if expression_id in nothing and status is None:
            zipped.findings.add("missing-expression", place)
            continue
        if not _claims_fit(status, roles, place, zipped.findings):
            continue
        tracks = {
            role: _decode_track(zipped, video, expression_id, role, frames) if any(frames) else (None, True)
            for role, frames in roles.items()
        }
        if all(fine for _, fine in tracks.values()):
            actor, target = (tracks.get(role, (None, True))[0] for role in Role)
            yield Answer(video.video_id, expression_id, status or Status.OK, actor, target)


def _present_frames(
    zipped: _Zip, video: ExpectedVideo, expression_id: str, role: Role
) -> list[Member | None]:
    folder = zipped.layout.folder_of(video, expression_id, role)
    return [zipped.directory.find(f"{folder}{frame}.png") for frame in video.frame_names]


def _claims_fit(
    status: Status | None, roles: Mapping[Role, Sequence[Member | None]], place: str, findings: Findings
) -> bool:
    """Whether the PNGs that are there go with what answers.json says of the expression."""
    actor = any(roles[Role.ACTOR])
    target = any(roles.get(Role.TARGET, ()))
    if status is None and not actor:
        findings.add("missing-role", place, expected="PNGs of the actor", found="PNGs of the target alone")
        return False
    if status is not None and (actor or (target and status is not Status.OK)):
        expected = f"no masks of an expression that {ANSWERS} lists as {status}"
        findings.add("answers-file", place, expected=expected, found="PNGs")
        return False
    return True


def _decode_track(
    zipped: _Zip, video: ExpectedVideo, expression_id: str, role: Role, frames: Sequence[Member | None]
) -> tuple[MaskTrack | None, bool]:
    """A track from its PNGs, and whether all of them were fine."""
    runs: list[NDArray[np.int64]] = []
    folder = zipped.layout.folder_of(video, expression_id, role)
    limit = video.height * video.width + PNG_BYTES
    fine = True
    for frame, member in zip(video.frame_names, frames, strict=True):
        name = f"{folder}{frame}.png"
        if member is None:
            zipped.findings.add("missing-frame", name)
            fine = False
            continue
        try:
            png = read_member(zipped.file, member, limit)
            runs.append(_decoded(zipped, png, video))
        except (MemberError, PngError) as error:
            zipped.findings.add(error.code, name, expected=error.expected, found=error.found)
            fine = False
    if not fine:
        return None, False
    return MaskTrack(video.height, video.width, texts_from_runs(runs)), True


def _decoded(zipped: _Zip, png: bytes, video: ExpectedVideo) -> NDArray[np.int64]:
    """Run lengths of a PNG, remembered for small files, whose size is part of their bytes."""
    if len(png) > REMEMBERED_BYTES:
        return decode_png(png, video.height, video.width)
    # The size of the video must be part of the key: a PNG that fits one video does not fit another.
    key = png + f"{video.height} {video.width}".encode()
    if key not in zipped.seen:
        runs = decode_png(png, video.height, video.width)
        if len(zipped.seen) >= REMEMBERED:
            zipped.seen.clear()
        zipped.seen[key] = runs
    return zipped.seen[key]


def findings_to_wire(findings: Findings) -> bytes:
    """Findings as bytes for the parent process."""
    places = [
        [one.code, one.where, one.expected, one.found, one.fix]
        for kept in findings.places.values()
        for one in kept
    ]
    return json.dumps({"counts": findings.counts, "places": places}).encode()
