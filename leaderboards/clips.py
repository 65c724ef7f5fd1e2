"""Clips with truth and answers for the mask player: one page and one picture of all frames per clip.

Only datasets that are built into this project are shown: their frames are ours to publish.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmark.datasets import DATASETS, Dataset, open_dataset
from benchmark.types import Expression, MaskTrack, Role, Video
from leaderboards.boards import Board, Row
from leaderboards.charts import row_name
from leaderboards.downloads import Download, download
from leaderboards.safe_text import file_name
from leaderboards.shown_masks import ShownMasks

MOST_SHOWN = 8  # rows with masks on one page
WEBP_QUALITY = 85


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip; `data` is the JSON that the player reads, `strip` its frames side by side."""

    video: str
    page: str
    sentences: tuple[str, ...]
    frames: int
    data: str
    strip: Download


def clips_of(board: Board) -> Iterator[Clip]:
    """The clips of a board with masks to show; none where its frames are not ours or are others by now."""
    rows = _shown_rows(board)
    known = DATASETS.get(board.dataset)
    if not rows or known is None or known.needs_data_root:
        return
    dataset = open_dataset(board.dataset, None, board.split)
    if dataset.digest != board.digest:
        return
    for video in dataset.videos:
        strip = _strip(dataset, video)
        sentences = tuple(one.text for one in video.expressions)
        yield Clip(
            video.video_id,
            file_name(video.video_id),
            sentences,
            len(video.frame_names),
            _embedded(_data(dataset, video, rows)),
            strip,
        )


def shown_entries(board: Board) -> list[str]:
    """The entries that the clips of a board show."""
    return [row.one.entry.id for row in _shown_rows(board)]


def _shown_rows(board: Board) -> list[Row]:
    return [row for row in board.rows if row.one.shown is not None][:MOST_SHOWN]


def _strip(dataset: Dataset, video: Video) -> Download:
    """All frames of a clip from left to right."""
    from PIL import Image

    pixels = np.concatenate(list(dataset.frames(video).frames()), axis=1)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=WEBP_QUALITY, method=4)
    return download(f"{file_name(video.video_id)}.webp", "frames", file.getvalue())


def _data(dataset: Dataset, video: Video, rows: Sequence[Row]) -> Mapping[str, Any]:
    height, width = dataset.frame_size(video)
    return {
        "video": video.video_id,
        "height": height,
        "width": width,
        "frames": len(video.frame_names),
        "models": [
            {"id": row.one.entry.id, "name": row_name(row), "sanity": row.sanity is not None} for row in rows
        ],
        "expressions": [_expression(dataset, video, one, rows) for one in video.expressions],
    }


def _expression(
    dataset: Dataset, video: Video, expression: Expression, rows: Sequence[Row]
) -> Mapping[str, Any]:
    truth = {"actor": _texts(dataset.truth(video, expression.actor_ids))}
    truth["target"] = _texts(dataset.truth(video, expression.target_ids)) if expression.target_ids else None
    answers = {
        row.one.entry.id: answer
        for row in rows
        if row.one.shown is not None
        and (answer := _answer(row.one.shown, video.video_id, expression.expression_id)) is not None
    }
    return {
        "id": expression.expression_id,
        "text": expression.text,
        "type": expression.caption_type,
        "truth": truth,
        "answers": answers,
    }


def _answer(shown: ShownMasks, video: str, expression: str) -> Mapping[str, Any] | None:
    one = shown.answers.get(video, {}).get(expression)
    if one is None:
        return None
    scores = {}
    for role in Role:
        found = shown.frames.get((video, expression, role.value))
        if found is not None:
            scores[role.value] = [[round(100 * value) for value in part] for part in (found.j, found.f)]
    return {
        "status": one.status.value,
        "actor": _texts(one.actor),
        "target": _texts(one.target),
        "scores": scores,
    }


def _texts(track: MaskTrack | None) -> list[str | None] | None:
    if track is None:
        return None
    return [None if text is None else text.decode("ascii") for text in track.counts]


def _embedded(value: Mapping[str, Any]) -> str:
    """JSON that can stand inside a page: no character of it can end the element."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
