"""The compact form: per video one file of JSON lines with COCO run-length text.

    {"format": "interrvos-referee masks", "version": 1, "video": "...", "frames": 3, "size": [480, 640]}
    {"expression": "7", "status": "ok", "sentence": "...", "actor": ["...", null, "..."], "target": null}

A track is a list with one text per frame, `null` for a frame without pixels; instead of a text the usual
object {"size": [H, W], "counts": "..."} may stand. A track that is `null` as a whole is not claimed,
which differs from a list of nulls. `status` and `sentence` may be left out: "ok", and whatever the
dataset says.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote

from benchmark.errors import MaskError
from benchmark.mask_batches import canonical_texts
from benchmark.types import MaskTrack, Status
from submissions.answers import Answer
from submissions.expected import ExpectedVideo
from submissions.limits import LINE_BYTES
from submissions.problems import Findings
from submissions.strict_json import StrictJsonError, loads

FOLDER = "masks/"
SUFFIX = ".jsonl"
FORMAT = "interrvos-referee masks"
VERSION = 1
LINE_KEYS = {"expression", "status", "sentence", "actor", "target"}
_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")


def member_name(video_id: str) -> str:
    """The member that holds a video: its id where that is plain, otherwise quoted and with a digest."""
    if _PLAIN.fullmatch(video_id):
        return f"{FOLDER}{video_id}{SUFFIX}"
    raw = video_id.encode("utf-8", "surrogatepass")
    readable = quote(raw, safe="").replace("%", "+").replace(".", "+")[:80]
    return f"{FOLDER}{readable}.{hashlib.sha256(raw).hexdigest()[:12]}{SUFFIX}"


def write_lines(video: ExpectedVideo, answers: Iterable[Answer]) -> Iterator[bytes]:
    """The lines of a video's file."""
    size = [video.height, video.width]
    head = {"format": FORMAT, "version": VERSION, "video": video.video_id}
    yield _line({**head, "frames": len(video.frame_names), "size": size})
    for answer in answers:
        yield _line(
            {
                "expression": answer.expression_id,
                "status": answer.status.value,
                "sentence": video.sentences[answer.expression_id],
                "actor": _texts(answer.actor),
                "target": _texts(answer.target),
            }
        )


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _texts(track: MaskTrack | None) -> list[str | None] | None:
    if track is None:
        return None
    return [None if text is None else text.decode("ascii") for text in track.counts]


def split_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Lines of a stream, without their ends.

    Raises:
        StrictJsonError: when a line is longer than any answer.
    """
    waiting: list[bytes] = []
    length = 0
    for piece in pieces:
        *whole, rest = piece.split(b"\n")
        for line in whole:
            yield b"".join([*waiting, line])
            waiting, length = [], 0
        waiting.append(rest)
        length += len(rest)
        if length > LINE_BYTES:
            raise StrictJsonError("json-too-large", f"a line of more than {LINE_BYTES} bytes")
    if length:
        yield b"".join(waiting)


def read_lines(
    lines: Iterable[bytes], video: ExpectedVideo, where: str, findings: Findings
) -> Iterator[Answer]:
    """The answers of a video's file; every problem goes to `findings`, and reading goes on after it.

    Raises:
        StrictJsonError: from `split_lines`.
    """
    seen: set[str] = set()
    for number, text in enumerate(lines, 1):
        if not text.strip() and number > 1:
            continue
        place = f"{where}, line {number}"
        try:
            value = loads(text)
        except StrictJsonError as error:
            findings.add(error.code, place, found=str(error))
            continue
        if number == 1:
            _check_head(value, video, place, findings)
            continue
        answer = _read_answer(value, video, place, seen, findings)
        if answer is not None:
            yield answer
    for expression_id in video.sentences:
        if expression_id not in seen:
            findings.add("missing-expression", f"{where}, expression {expression_id}")


def _check_head(value: Any, video: ExpectedVideo, place: str, findings: Findings) -> None:
    wanted = {
        "format": FORMAT,
        "version": VERSION,
        "video": video.video_id,
        "frames": len(video.frame_names),
        "size": [video.height, video.width],
    }
    if not isinstance(value, dict):
        findings.add("masks-head", place, expected=json.dumps(wanted), found=_shown(value))
        return
    for key in wanted.keys() | value.keys():
        if value.get(key) != wanted.get(key):
            findings.add(
                "masks-head",
                f"{place}, {key!r}",
                expected=_shown(wanted[key]) if key in wanted else "no such key",
                found=_shown(value[key]) if key in value else "nothing",
            )


def _read_answer(
    value: Any, video: ExpectedVideo, place: str, seen: set[str], findings: Findings
) -> Answer | None:
    expression_id = value.get("expression") if isinstance(value, dict) else None
    if not isinstance(expression_id, str):
        findings.add("masks-line", place, expected='an object with "expression"', found=_shown(value))
        return None
    place = f"{place}, expression {expression_id}"
    if expression_id not in video.sentences:
        findings.add("unknown-expression", place)
        return None
    if expression_id in seen:
        findings.add("duplicate-expression", place)
        return None
    seen.add(expression_id)
    unknown = value.keys() - LINE_KEYS
    lacking = {"actor", "target"} - value.keys()
    for key in sorted(unknown | lacking):
        fact = "an unknown key" if key in unknown else "nothing"
        findings.add("masks-line", f"{place}, {key!r}", expected=", ".join(sorted(LINE_KEYS)), found=fact)
    status = _status(value.get("status", Status.OK.value), place, findings)
    sentence = value.get("sentence", video.sentences[expression_id])
    if sentence != video.sentences[expression_id]:
        findings.add("other-sentence", place, expected=video.sentences[expression_id], found=_shown(sentence))
    actor, actor_fine = _read_track(value.get("actor"), video, f"{place}, actor", findings)
    target, target_fine = _read_track(value.get("target"), video, f"{place}, target", findings)
    if status is not None and status is not Status.OK and (actor or target):
        findings.add("masks-line", place, expected=f"no tracks with status {status}", found="a track")
    if unknown or lacking or status is None or not (actor_fine and target_fine):
        return None
    return Answer(video.video_id, expression_id, status, actor, target)


def _status(value: Any, place: str, findings: Findings) -> Status | None:
    known = [one.value for one in Status]
    if value in known:
        return Status(value)
    findings.add("masks-line", f"{place}, 'status'", expected=", ".join(known), found=_shown(value))
    return None


def _read_track(
    value: Any, video: ExpectedVideo, place: str, findings: Findings
) -> tuple[MaskTrack | None, bool]:
    """A track (or none), and whether it was fine."""
    if value is None:
        return None, True
    if not isinstance(value, list):
        findings.add("masks-line", place, expected="a list of texts, or null", found=_shown(value))
        return None, False
    if len(value) != len(video.frame_names):
        findings.add("frame-count", place, expected=str(len(video.frame_names)), found=str(len(value)))
        return None, False
    texts, fine = _frame_texts(value, video, place, findings)
    canonical = canonical_texts(texts, video.height, video.width)
    for index, error in canonical.errors.items():
        problem = error.problems[0]
        findings.add(
            _mask_code(error),
            f"{place}, frame {index}",
            expected=problem.expected,
            found=f"{problem.what}: {problem.found}" if problem.found else problem.what,
        )
    track = MaskTrack(video.height, video.width, canonical.texts)
    return track, fine and not canonical.errors


def _mask_code(error: MaskError) -> str:
    return "rle-size" if "does not cover" in error.problems[0].what else "rle-invalid"


def _frame_texts(
    value: Sequence[Any], video: ExpectedVideo, place: str, findings: Findings
) -> tuple[list[bytes | None], bool]:
    """Run-length texts of frames, and whether each of them is a text of the right size at all."""
    longest = video.height * video.width + 8  # a run has at least a pixel, and takes one character then
    texts: list[bytes | None] = []
    fine = True
    for index, item in enumerate(value):
        counts = item
        if isinstance(item, dict):
            counts = item.get("counts")
            if item.get("size") != [video.height, video.width]:
                expected, found = f"[{video.height}, {video.width}]", _shown(item.get("size"))
                findings.add("rle-size", f"{place}, frame {index}", expected=expected, found=found)
                counts, fine = None, False
        if counts is None or (isinstance(counts, str) and counts.isascii() and len(counts) <= longest):
            texts.append(None if counts is None else counts.encode())
            continue
        code = "rle-invalid" if isinstance(counts, str) else "masks-line"
        expected = "run-length text, an object with size and counts, or null"
        findings.add(code, f"{place}, frame {index}", expected=expected, found=_shown(counts))
        texts.append(None)
        fine = False
    return texts, fine


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"{type(value).__name__} of {len(value)}"
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."
