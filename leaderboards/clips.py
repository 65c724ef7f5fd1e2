"""Clips with truth and answers for the mask player: one page per clip, and a picture of its frames.

A page holds the true masks; those of a model come as a script per clip, which the page asks for when the
model is chosen, so a board may have any number of models to watch.
Only data that is built into this project comes with its frames; those are ours to publish. Of other data
outlines alone are shown, where `leaderboards.outlines` kept the true ones; frames are the reader's own.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmark.datasets import DATASETS, Dataset, open_dataset
from benchmark.types import Role, Video
from leaderboards.boards import Board, Row
from leaderboards.charts import row_name
from leaderboards.clip_truth import ClipTruth, StoredTruth, mask_texts, truth_of
from leaderboards.downloads import Download, download
from leaderboards.safe_text import file_name, visible
from leaderboards.shown_masks import ShownMasks

WEBP_QUALITY = 85


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip; `data` is the JSON that the player reads.

    Attributes:
        answers: a script per model.
        strip: its frames side by side; `None` where they are not ours to publish.
    """

    video: str
    page: str
    sentences: tuple[str, ...]
    frames: int
    data: str
    answers: tuple[Download, ...]
    strip: Download | None


def clips_of(board: Board, truths: Mapping[str, StoredTruth]) -> Iterator[Clip]:
    """The clips of a board with masks to show; none where nobody kept their truth, or their data changed.

    Args:
        truths: what is kept of data that is not built in, by folder of entries.
    """
    rows = _shown_rows(board)
    if not rows:
        return
    known = DATASETS.get(board.dataset)
    if known is not None and not known.needs_data_root:
        dataset = open_dataset(board.dataset, None, board.split)
        if dataset.digest == board.digest:
            for video in dataset.videos:
                yield _clip(truth_of(dataset, video), rows, _strip(dataset, video))
        return
    stored = truths.get(rows[0].one.folder)
    if stored is not None and stored.about.digest == board.digest:
        for clip in stored.clips:
            yield _clip(clip, rows, None)


def shown_entries(board: Board) -> list[str]:
    """The entries that the clips of a board show."""
    return [row.one.entry.id for row in _shown_rows(board)]


def _shown_rows(board: Board) -> list[Row]:
    return [row for row in board.rows if row.one.shown is not None]


def _clip(clip: ClipTruth, rows: Sequence[Row], strip: Download | None) -> Clip:
    sentences = tuple(one.text for one in clip.sentences)
    page = file_name(clip.video)
    answers = tuple(_answers(clip, page, row) for row in rows)
    data = _embedded(_data(clip, rows, answers))
    return Clip(clip.video, page, sentences, len(clip.frames), data, answers, strip)


def _strip(dataset: Dataset, video: Video) -> Download:
    """All frames of a clip from left to right."""
    from PIL import Image

    pixels = np.concatenate(list(dataset.frames(video).frames()), axis=1)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=WEBP_QUALITY, method=4)
    return download(f"{file_name(video.video_id)}.webp", "frames", file.getvalue())


def _data(clip: ClipTruth, rows: Sequence[Row], answers: Sequence[Download]) -> Mapping[str, Any]:
    return {
        "video": clip.video,
        "height": clip.height,
        "width": clip.width,
        "frames": clip.frames,
        "models": [
            {
                "id": row.one.entry.id,
                "name": row_name(row),
                "sanity": row.sanity is not None,
                "source": script.path,
            }
            for row, script in zip(rows, answers, strict=True)
        ],
        "expressions": [
            {
                "id": one.id,
                "text": visible(one.text),
                "type": visible(one.type),
                "truth": {"actor": one.actor, "target": one.target},
            }
            for one in clip.sentences
        ],
    }


def _answers(clip: ClipTruth, page: str, row: Row) -> Download:
    """What a model answered in a clip, as the script that `assets/player.js` asks for."""
    shown, entry = row.one.shown, row.one.entry.id
    assert shown is not None  # rows without masks are not shown
    found = {one.id: answer for one in clip.sentences if (answer := _answer(shown, clip.video, one.id))}
    parts = (json.dumps(part, separators=(",", ":")) for part in (entry, found))
    return download(f"{page}--{entry}.js", "masks", f"clipAnswers({','.join(parts)});\n".encode())


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
        "actor": None if one.actor is None else mask_texts(one.actor),
        "target": None if one.target is None else mask_texts(one.target),
        "scores": scores,
    }


def _embedded(value: Mapping[str, Any]) -> str:
    """JSON that can stand inside a page: no character of it can end the element."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
