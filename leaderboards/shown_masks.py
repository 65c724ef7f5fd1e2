"""Masks and scores of frames beside an entry, where its data may be shown (`receive --with-masks`)."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.errors import ResultError
from benchmark.metrics.scores import boundary_accuracy, region_similarity
from benchmark.results import Result
from benchmark.stored_files import file_digest
from submissions.entries import Entry
from submissions.published_masks import MASKS, Answers, read_masks

FRAMES = "frame_scores.npz"
Track = tuple[str, str, str]  # video, expression, role


@dataclass(frozen=True, slots=True)
class FrameScores:
    """J and F of every frame of one track, 0 to 1."""

    j: tuple[float, ...]
    f: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ShownMasks:
    """What a player shows of one entry."""

    answers: Answers
    frames: Mapping[Track, FrameScores]


def read_shown_masks(place: Path, entry: Entry, result: Result | None) -> ShownMasks | None:
    """The masks beside an entry; `None` where there are none.

    Raises:
        ResultError: when one of the two files is missing, damaged, or not what was scored.
    """
    there = [name for name in (MASKS, FRAMES) if (place / name).is_file()]
    if not there:
        return None
    if len(there) == 1 or result is None:
        raise ResultError(
            "masks go with the scores of their frames and a result",
            where=str(place),
            expected=f"{MASKS}, {FRAMES} and result.json, or neither of the first two",
            found=", ".join(there),
        )
    return ShownMasks(
        read_masks(place / MASKS, entry.predictions_digest), _frame_scores(place / FRAMES, result)
    )


def _frame_scores(path: Path, result: Result) -> dict[Track, FrameScores]:
    if file_digest(path) != result.files.get(path.name):
        raise ResultError("not the scores of frames that this result was written with", where=str(path))
    try:
        with np.load(path, allow_pickle=False) as stored:
            counts = stored["counts"]
            j, f = region_similarity(counts), boundary_accuracy(counts)
            columns = [
                stored[name].tolist() for name in ("video_id", "expression_id", "role", "first", "frames")
            ]
            zeros = stored["zero"].tolist()
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ResultError("not a file of scores of frames", where=str(path), found=str(error)) from error
    found = {}
    for video, expression, role, first, frames, zero in zip(*columns, zeros, strict=True):
        scores = (
            [(0.0,) * frames] * 2 if zero else [tuple(one[first : first + frames].tolist()) for one in (j, f)]
        )
        found[video, expression, role] = FrameScores(*scores)
    return found
