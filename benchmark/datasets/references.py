"""Where expressions and masks meet: does every annotation id that is used have a fitting track?"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.expression_index import IndexedVideos
from benchmark.datasets.mask_index import MEND_RLE, MaskIndex
from benchmark.errors import Problem
from benchmark.types import Video


def all_reference_problems(videos: IndexedVideos, masks: MaskIndex) -> list[Problem]:
    """Everything that is wrong with the tracks expressions use, found by array operations.

    Costs a few milliseconds for thousands of tracks where all is well.
    """
    references = videos.references
    rows = masks.find(references["id"])
    known = rows < len(masks)
    suspicious = ~known
    if len(masks):
        entries = masks.rows[np.minimum(rows, len(masks) - 1)]
        wrong_length = entries["frames"] != videos.frame_counts[references["video"]]
        suspicious |= wrong_length | (entries["faults"] > 0)
        suspicious |= _other_size(references["video"], entries["height"], entries["width"], known)
    problems: list[Problem] = []
    cached: tuple[int, Video] | None = None
    for place in np.flatnonzero(suspicious).tolist():
        position = int(references["video"][place])
        if cached is None or cached[0] != position:
            cached = (position, videos[position])
        problems.extend(track_problems(masks, cached[1], references["id"][place].decode()))
    return problems


def track_problems(masks: MaskIndex, video: Video, annotation_id: str) -> list[Problem]:
    """What is wrong with one track as part of one video."""
    where = f"{masks.source}: video {video.video_id}, {users(video, annotation_id)}"
    row = masks.row(annotation_id)
    if row is None:
        return [
            Problem(
                "an annotation id has no track",
                where,
                f"the key {annotation_id!r}",
                f"{len(masks)} other keys",
                "take expressions and masks from one release",
            )
        ]
    where = f"{where}, annotation {annotation_id}"
    entry = masks.rows[row]
    faults = masks.faults_of(annotation_id)
    problems = [
        _fault_problem(masks, video, where, fault.frame, fault.what, fault.expected, fault.found)
        for fault in faults
    ]
    if int(entry["faults"]) > len(faults):
        left = int(entry["faults"]) - len(faults)
        problems.append(Problem("more masks of a track are wrong", where, found=f"{left} more", fix=MEND_RLE))
    if int(entry["frames"]) != len(video.frame_names) and not any(fault.frame is None for fault in faults):
        problems.append(
            Problem(
                "the track has another length than the video",
                where,
                f"{len(video.frame_names)} masks or nulls, one per frame",
                str(int(entry["frames"])),
                "take expressions and masks from one release",
            )
        )
    size, usual = masks.size(row), video_size(masks, video)
    if size and usual and size != usual:
        problems.append(
            Problem(
                "tracks of one video differ in size",
                where,
                f"{usual[0]}x{usual[1]} as the tracks before",
                f"{size[0]}x{size[1]}",
                "make all masks of a video the size of its frames",
            )
        )
    return problems


def video_size(masks: MaskIndex, video: Video) -> tuple[int, int] | None:
    """(height, width) of the first track of a video that has a mask."""
    for expression in video.expressions:
        for annotation_id in (*expression.actor_ids, *expression.target_ids):
            row = masks.row(annotation_id)
            size = None if row is None else masks.size(row)
            if size:
                return size
    return None


def users(video: Video, annotation_id: str) -> str:
    """The expressions that use a track, in words."""
    ids = [
        expression.expression_id
        for expression in video.expressions
        if annotation_id in expression.actor_ids or annotation_id in expression.target_ids
    ]
    if not ids:
        return "no expression"
    shown = ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
    return f"expression{'s' if len(ids) > 1 else ''} {shown}"


def content_digest(videos: IndexedVideos, masks: MaskIndex) -> str:
    """SHA-256 over the expressions and the masks they use; see `InterrvosDataset.digest`."""
    digest = hashlib.sha256(f"interrvos 1\n{videos.digest}\n".encode())
    used = np.unique(videos.references["id"])
    rows = masks.find(used)
    present = rows[rows < len(masks)]
    digest.update(b"\n".join(used.tolist()) + b"\n")
    digest.update(np.flatnonzero(rows == len(masks)).astype("<u8").tobytes() + b"\n")
    for column in ("frames", "digest"):
        digest.update(np.ascontiguousarray(masks.rows[column][present]).tobytes())
    return digest.hexdigest()


def _fault_problem(
    masks: MaskIndex, video: Video, where: str, frame: int | None, what: str, expected: str, found: str
) -> Problem:
    if frame is not None:
        inside = frame < len(video.frame_names)
        where = f"{where}, frame {video.frame_names[frame] if inside else frame}"
    return Problem(what, where, expected, found, MEND_RLE)


def _other_size(
    video: NDArray[np.uint32], height: NDArray[np.uint32], width: NDArray[np.uint32], known: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Tracks whose size is not that of the first sized track of their video."""
    sized = np.flatnonzero(known & (height > 0))
    result = np.zeros(len(video), dtype=bool)
    size = (height.astype(np.int64) << 32) | width
    _, first, inverse = np.unique(video[sized], return_index=True, return_inverse=True)
    result[sized] = size[sized] != size[sized[first]][inverse]
    return result
