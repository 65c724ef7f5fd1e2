"""The decoded masks of a submission as a file beside its entry, for data whose masks may be shown.

    masks.jsonl.gz   one line per expression: {"video": ..., "expression": ..., "status": ...,
                     "actor": [text, null, ...] or null, "target": ...}, "size": [H, W] in each

The texts are those that were scored: a reader computes the digest of the submission from them again, and
takes nothing that does not give the digest of the entry.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.errors import ResultError
from benchmark.stored_files import write_atomically
from benchmark.types import MaskTrack, Status
from submissions.answers import Answer, expression_digest, submission_digest, video_digest
from submissions.checking import Checked

MASKS = "masks.jsonl.gz"
LARGEST = 256 << 20  # bytes of text

Answers = Mapping[str, Mapping[str, Answer]]


def write_masks(checked: Checked, path: Path) -> None:
    """Write the masks of a submission whose answers were kept; the same masks give the same bytes.

    Raises:
        OutputError: when the place cannot be written to.
    """
    if checked.answers is None:
        raise ValueError("the check kept no answers")
    lines = [
        _line(checked.answers.answer(video, expression))
        for video in sorted(checked.answers.places)
        for expression in sorted(checked.answers.places[video])
    ]
    write_atomically(path, gzip.compress("".join(lines).encode(), mtime=0))


def read_masks(path: Path, digest: str) -> Answers:
    """The answers by video and expression.

    Args:
        digest: of the predictions of the entry.

    Raises:
        ResultError: when the file is damaged, or holds other masks than those that were scored.
    """
    try:
        with gzip.open(path) as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes of text")
        answers = [_answer(json.loads(line)) for line in text.splitlines()]
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultError("not a file of masks", where=str(path), found=str(error)) from error
    found: dict[str, dict[str, Answer]] = {}
    for one in answers:
        found.setdefault(one.video_id, {})[one.expression_id] = one
    videos = {
        video: video_digest({name: expression_digest(one) for name, one in of_video.items()})
        for video, of_video in found.items()
    }
    if submission_digest(videos) != digest:
        raise ResultError(
            "these are not the masks that were scored", where=str(path), expected=f"digest {digest}"
        )
    return found


def _line(answer: Answer) -> str:
    tracks = [track for track in (answer.actor, answer.target) if track is not None]
    value = {
        "video": answer.video_id,
        "expression": answer.expression_id,
        "status": answer.status.value,
        "size": [tracks[0].height, tracks[0].width] if tracks else None,
        "actor": _texts(answer.actor),
        "target": _texts(answer.target),
    }
    return f"{json.dumps(value, separators=(',', ':'))}\n"


def _texts(track: MaskTrack | None) -> list[str | None] | None:
    if track is None:
        return None
    return [None if text is None else text.decode("ascii") for text in track.counts]


def _answer(value: Any) -> Answer:
    def track(texts: list[str | None] | None) -> MaskTrack | None:
        if texts is None:
            return None
        height, width = value["size"]
        counts = tuple(None if text is None else text.encode("ascii") for text in texts)
        return MaskTrack(int(height), int(width), counts)

    return Answer(
        *(str(value["video"]), str(value["expression"]), Status(value["status"])),
        *(track(value["actor"]), track(value["target"])),
    )
