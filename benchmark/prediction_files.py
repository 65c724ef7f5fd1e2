"""What a prediction folder looks like on disk.

    predictions/
        run.json              what makes a prediction belong to this run (`RunRecord`)
        videos/VIDEO.jsonl    the answers of one video
        sessions/*.json       the circumstances of every process that predicted something
        manifest.json         written last, once every query is there exactly once (`Manifest`)
        unscored              an empty file from the first new answer until a result has been written

A video's file is lines of JSON: a head that lists its queries with their keys and outcomes, one line
per query with its COCO run-length text (`null` for a frame without pixels), and the SHA-256 of all
lines before. The head alone tells what is finished.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from benchmark.errors import PredictionError, ProblemCollector
from benchmark.json_records import from_json, to_json
from benchmark.prediction_records import Manifest, RunRecord, StoredPrediction, VideoHead, VideoPredictions
from benchmark.stored_files import write_atomically
from benchmark.types import MaskTrack, Status

FORMAT = "interrvos-referee predictions"
VERSION = 1
RUN_FILE = "run.json"
MANIFEST_FILE = "manifest.json"
VIDEOS_FOLDER = "videos"
SESSIONS_FOLDER = "sessions"
UNSCORED_FILE = "unscored"
_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)")  # names that Windows keeps for devices


Record = TypeVar("Record", RunRecord, Manifest)
_MEND: Mapping[type[Any], str] = {
    RunRecord: "predict again with --restart",
    Manifest: "run the same evaluation again: it writes the manifest anew",
}


def read_record(kind: type[Record], path: Path) -> Record:
    """`run.json` or `manifest.json`.

    Raises:
        PredictionError: when the file is not what it should be, with all that is wrong.
    """
    problems = ProblemCollector()
    record = None
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise PredictionError(
            "not a readable file of predictions",
            where=str(path),
            found=str(error),
            fix=_MEND[kind],
        ) from error
    if not isinstance(value, dict):
        raise PredictionError(
            "not a readable file of predictions",
            where=str(path),
            expected="a JSON object",
            found=type(value).__name__,
            fix=_MEND[kind],
        )
    if (value.get("format"), value.get("version")) != (FORMAT, VERSION):
        raise PredictionError(
            "not a prediction file of this version",
            where=str(path),
            expected=f"{FORMAT!r} version {VERSION}",
            found=f"{value.get('format')!r} version {value.get('version')!r}",
            fix="predict again with --restart",
        )
    record = from_json(kind, value, problems, str(path))
    problems.raise_if_any(PredictionError, f"{path} is damaged")
    assert record is not None  # from_json reports a problem whenever it returns None
    return record


def video_file_name(video_id: str) -> str:
    """The name of a video's file."""
    return file_name(video_id, ".jsonl")


def file_name(name: str, ending: str) -> str:
    """A file name that is different for different names on every file system."""
    if _PLAIN_NAME.fullmatch(name) and not _RESERVED.fullmatch(name):
        return f"{name}{ending}"
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    readable = quote(name, safe="", errors="replace").replace("%", "+").replace(".", "+")[:80]
    return f"{readable}+{digest}{ending}"  # a plain name has no plus sign


def write_video_file(folder: Path, content: VideoPredictions) -> None:
    """Write a video's file whole, or leave the old one.

    Raises:
        OutputError: when the place cannot be written to.
    """
    lines = [_line(to_json(content.head)), *(_line(_to_line(one)) for one in content.predictions)]
    body = b"".join(lines)
    end = _line({"sha256": hashlib.sha256(body).hexdigest()})
    write_atomically(folder / video_file_name(content.head.video_id), body + end)


def read_video_head(path: Path) -> tuple[VideoHead, str]:
    """The head of a video's file and the digest that ends it, after checking every byte against it.

    Raises:
        PredictionError: when the file is damaged.
    """
    body, digest = _checked(path)
    return _read_head(body[: body.index(b"\n")], path), digest


def read_video_file(path: Path) -> tuple[VideoPredictions, str]:
    """The content of a video's file and the digest that ends it.

    Raises:
        PredictionError: when the file is damaged.
    """
    body, digest = _checked(path)
    lines = body.splitlines()
    head = _read_head(lines[0], path)
    try:
        predictions = tuple(_from_line(json.loads(line), head) for line in lines[1:])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    if [one.expression_id for one in predictions] != [query.expression_id for query in head.queries]:
        raise _damaged(path, "queries that the first line does not list")
    return VideoPredictions(head, predictions), digest


def _checked(path: Path) -> tuple[bytes, str]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _damaged(path, str(error.strerror or error)) from error
    start = content.rfind(b"\n", 0, -1) + 1
    body, end = content[:start], content[start:]
    digest = hashlib.sha256(body).hexdigest()
    if not body or end != _line({"sha256": digest}):
        raise _damaged(path, "bytes that do not match the digest in the last line")
    return body, digest


def _damaged(path: Path, found: str) -> PredictionError:
    return PredictionError(
        "stored predictions are damaged",
        where=str(path),
        found=found,
        fix="delete this file and run the same evaluation again: the other videos are kept",
    )


def _read_head(line: bytes, path: Path) -> VideoHead:
    value = json.loads(line)
    if value.get("format") != FORMAT or value.get("version") != VERSION:
        raise _damaged(path, f"{value.get('format')!r} version {value.get('version')!r}")
    problems = ProblemCollector()
    head = from_json(VideoHead, value, problems, "first line")
    problems.raise_if_any(PredictionError, f"{path} is damaged")
    assert head is not None  # from_json reports a problem whenever it returns None
    return head


def _line(value: Mapping[str, Any]) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass") + b"\n"


_PLAIN_FIELDS = tuple(
    one.name for one in fields(StoredPrediction) if one.name not in ("video_id", "actor", "target")
)

_ADDED_FIELDS = ("gpu_seconds", "peak_gpu_memory_bytes")
"""Files from before these were kept are read, too."""


def _to_line(one: StoredPrediction) -> dict[str, Any]:
    plain = {name: to_json(getattr(one, name)) for name in _PLAIN_FIELDS}
    return {**plain, "actor": _texts(one.actor), "target": _texts(one.target)}


def _texts(track: MaskTrack | None) -> list[str | None] | None:
    return (
        None if track is None else [None if text is None else text.decode("ascii") for text in track.counts]
    )


def _from_line(value: Mapping[str, Any], head: VideoHead) -> StoredPrediction:
    given = {**dict.fromkeys(_ADDED_FIELDS), **value}
    plain = {name: given[name] for name in _PLAIN_FIELDS}
    plain["status"] = Status(plain["status"])
    used = plain["frames_used"]
    plain["frames_used"] = None if used is None else tuple(used)
    actor, target = _track(value["actor"], head), _track(value["target"], head)
    return StoredPrediction(video_id=head.video_id, actor=actor, target=target, **plain)


def _track(texts: list[str | None] | None, head: VideoHead) -> MaskTrack | None:
    if texts is None:
        return None
    if len(texts) != head.frames:
        raise ValueError(f"a track of {len(texts)} frames in a video of {head.frames}")
    counts = tuple(None if text is None else text.encode("ascii") for text in texts)
    return MaskTrack(head.height, head.width, counts)
