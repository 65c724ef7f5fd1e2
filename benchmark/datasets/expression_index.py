"""`meta_expressions.json` as random access to videos: one record per video, read when asked for.

A record is a line of compact JSON in one form, `[video id, [frames], [[expression id, text, caption type,
[actor ids], [target ids], [tags]], ...]]`; SHA-256 over all records is the digest of the expressions.
Beside them lies a table of videos in the order of the file, and one of references: which video asks for
which annotation id, so that a mask file can be checked against it without reading a record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final, overload

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.expression_records import VideoFindings, read_video
from benchmark.datasets.index_file import IndexFile, IndexWriter
from benchmark.datasets.index_store import open_index
from benchmark.datasets.json_stream import JsonStream, json_kind
from benchmark.datasets.reading_progress import reading_progress
from benchmark.errors import DatasetError, Problem
from benchmark.types import Expression, Video

KIND = "expressions 1"  # raise the number when a record or a rule of reading changes
MAX_PROBLEMS = 20  # shown when opening; `check` shows all


@dataclass(frozen=True)
class VideoMember:
    """One member of "videos" as met in the file: the video, or `None` with what is wrong."""

    video_id: str
    video: Video | None
    findings: VideoFindings


@final
class IndexedVideos(Sequence[Video]):
    """The videos of a file in its order; each access reads one record.

    Attributes:
        digest: SHA-256 over all records.
        ids: the video ids, in the same order.
        references: table of (video, id): the position of a video and an annotation id it asks for.
        frame_counts: number of frames of each video.
    """

    def __init__(self, file: IndexFile) -> None:
        self.path = file.path
        self.digest: str = file.facts["digest"]
        self.expression_count: int = file.facts["expressions"]
        self._rows = file.table("videos")
        self._records = file.section("records")
        self.ids = [key.decode() for key in self._rows["id"].tolist()]
        self.references: NDArray[Any] = file.table("references")
        self.frame_counts: NDArray[Any] = self._rows["frames"]

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Video: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Video, ...]: ...

    def __getitem__(self, index: int | slice) -> Video | tuple[Video, ...]:
        """One video, or a tuple of them."""
        if isinstance(index, slice):
            return tuple(self[position] for position in range(*index.indices(len(self))))
        row = self._rows[range(len(self))[index]]
        start = int(row["offset"])
        return video_of_record(bytes(self._records[start : start + int(row["size"])]))

    def __iter__(self) -> Iterator[Video]:
        return (self[index] for index in range(len(self)))


def open_expression_index(source: Path, rebuild: bool = False) -> IndexedVideos:
    """The videos of a meta file, indexed if there is no index or the file has changed.

    Raises:
        DatasetError: naming everything (up to `MAX_PROBLEMS`) that cannot be read.
        OutputError: when the index cannot be written anywhere.
    """
    return IndexedVideos(open_index(source, KIND, build_expression_index, rebuild))


def build_expression_index(source: Path, writer: IndexWriter) -> tuple[str, Mapping[str, Any]]:
    """Read a meta file once and write its records; see `benchmark.datasets.index_store.Build`."""
    digest = hashlib.sha256()
    rows: list[tuple[bytes, int, int, int]] = []
    references: list[tuple[int, bytes]] = []
    problems: list[Problem] = []
    expressions = 0
    with reading_progress(source, "indexing expressions") as progress, JsonStream(source, progress) as stream:
        for member in video_members(stream):
            problems.extend(member.findings.problems)
            if problems or member.video is None:
                continue
            record = record_of_video(member.video)
            digest.update(record)
            offset = writer.append("records", record)
            used = dict.fromkeys(
                id for item in member.video.expressions for id in (*item.actor_ids, *item.target_ids)
            )
            references.extend((len(rows), annotation_id.encode()) for annotation_id in used)
            rows.append((member.video_id.encode(), offset, len(record), len(member.video.frame_names)))
            expressions += len(member.video.expressions)
        sha256 = stream.sha256.hexdigest()
    raise_problems(source, problems)
    if not rows:
        raise DatasetError("the file names no video", where=str(source), expected='"videos" with members')
    writer.seal("records", digest.hexdigest())
    longest = max(len(row[0]) for row in rows)
    layout = [("id", f"S{longest}"), ("offset", "<u8"), ("size", "<u4"), ("frames", "<u4")]
    writer.table("videos", np.array(rows, layout))
    longest = max((len(id) for _, id in references), default=1)
    writer.table("references", np.array(references, [("video", "<u4"), ("id", f"S{longest}")]))
    return sha256, {"digest": digest.hexdigest(), "expressions": expressions}


def raise_problems(source: Path, problems: Sequence[Problem]) -> None:
    """Raise one error for everything that cannot be read, or return.

    Raises:
        DatasetError: with the first `MAX_PROBLEMS`.
    """
    if len(problems) == 1:
        raise DatasetError(problems[0])
    if problems:
        more = f", the first {MAX_PROBLEMS} below" if len(problems) > MAX_PROBLEMS else ""
        headline = (
            f"{source}: {len(problems)} problems{more} "
            f"(python -m benchmark.datasets check {source.parent} groups them all)"
        )
        raise DatasetError.from_problems(headline, problems[:MAX_PROBLEMS])


def video_members(stream: JsonStream) -> Iterator[VideoMember]:
    """Every member of the top-level "videos", one at a time; other top-level keys are passed over.

    Raises:
        DatasetError: when the file is not JSON, is cut off, or has no object "videos".
    """
    name = stream.path.name
    seen: set[str] = set()
    found_videos = False
    for key in stream.members():
        if key != "videos":
            stream.value()
            continue
        if found_videos or not stream.opens_object:
            found = '"videos" twice' if found_videos else json_kind(stream.value())
            raise DatasetError(
                '"videos" is wrong', where=str(stream.path), expected="one object of videos", found=found
            )
        found_videos = True
        for video_id in stream.members():
            findings = VideoFindings(name)
            if video_id in seen:
                findings.problem(
                    f"video {video_id}",
                    "the video occurs twice",
                    "each video once",
                    "",
                    "remove one of the two",
                )
            seen.add(video_id)
            yield VideoMember(video_id, read_video(video_id, stream.value(), findings), findings)
    stream.finish()
    if not found_videos:
        raise DatasetError(
            'the file has no "videos"',
            where=str(stream.path),
            expected='{"videos": {...}}, as released in meta_expressions.json',
            fix="point --data-root at the folder of the released files",
        )


def record_of_video(video: Video) -> bytes:
    """The record of a video: one line of JSON, the same for the same content."""
    expressions = [
        [item.expression_id, item.text, item.caption_type, item.actor_ids, item.target_ids, item.tags]
        for item in video.expressions
    ]
    content = [video.video_id, video.frame_names, expressions]
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def video_of_record(record: bytes) -> Video:
    """The video a record was made from."""
    video_id, frames, expressions = json.loads(record)
    return Video(
        video_id,
        tuple(frames),
        tuple(
            Expression(expression_id, text, caption_type, tuple(actors), tuple(targets), tuple(tags))
            for expression_id, text, caption_type, actors, targets, tags in expressions
        ),
    )
