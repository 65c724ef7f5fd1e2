"""The six integers of run-length text on a device: borders of runs travel, lines of bits are made there.

The decoding of the text stays on the host and is most of the work, so that the compiled engine is the one
to take unless the masks are wanted on the device anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import MaskError
from benchmark.metrics import device_clips, packed_tensors
from benchmark.metrics.definition import COLUMNS, Counts
from benchmark.metrics.device_clips import Size
from benchmark.metrics.device_engine import require_device
from benchmark.metrics.device_launches import count_words
from benchmark.metrics.device_plans import upload
from benchmark.run_lengths import runs_from_text

if TYPE_CHECKING:
    from torch import Tensor, device


def group_counts(
    truth: Sequence[bytes | None],
    predictions: Sequence[Sequence[bytes | None]],
    height: int,
    width: int,
    radius: int,
    *,
    on: device | None = None,
    form: str = "auto",
) -> Counts:
    """Counts (N, T, 6) of N predicted tracks against one true one, all of T frames.

    A frame is COCO text, or `None` for a mask without pixels. Borders of runs travel to the device; lines
    of bits are made there, those of the truth once.

    Args:
        on: where to count; the CUDA device by default.

    Raises:
        MaskError: when a text does not decode to `height * width` pixels.
        EnvironmentProblem: when no device is given and there is no CUDA device.
    """
    where = on or require_device()
    size = Size(width, height, radius)
    step = device_clips.frames_at_once(size)
    counts = np.zeros((len(predictions), len(truth), len(COLUMNS)), np.int64)
    for first in range(0, len(truth), step):
        part = slice(first, first + step)
        true_lines = _upload_lines(truth[part], size, "truth", first, where)
        lines = (_upload_lines(texts[part], size, "prediction", first, where) for texts in predictions)
        for index, columns in enumerate(count_words(true_lines, lines, size, form)):
            counts[index, part] = columns.cpu().numpy()
    return counts


def track_counts(
    truth: Sequence[bytes | None],
    predicted: Sequence[bytes | None],
    height: int,
    width: int,
    radius: int,
    *,
    on: device | None = None,
    form: str = "auto",
) -> Counts:
    """Counts (T, 6) of one prediction; see `group_counts`."""
    counts: Counts = group_counts(truth, (predicted,), height, width, radius, on=on, form=form)[0]
    return counts


def _upload_lines(texts: Sequence[bytes | None], size: Size, side: str, first: int, where: device) -> Tensor:
    borders, owners = _borders(texts, size.bits, size.lines, side, first)
    places, masks = upload(borders, where), upload(owners, where)
    return packed_tensors.lines_from_borders(places, masks, len(texts), size.lines, size.bits)


def _borders(
    texts: Sequence[bytes | None], height: int, width: int, side: str, first: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Borders of the runs of every text, and the index of the text each belongs to."""
    parts: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    lengths = []
    for index, text in enumerate(texts):
        borders = np.zeros(0, np.int64)
        if text is not None:
            try:
                runs = runs_from_text(text, height, width)
            except MaskError as error:
                problem = replace(error.problems[0], where=f"frame {first + index} of the {side}")
                raise MaskError(problem) from error
            borders = np.cumsum(runs)[:-1]
            if np.any(runs[1:] == 0):  # valid text that is not canonical: a border twice is none
                places, times = np.unique(borders, return_counts=True)
                borders = places[times % 2 == 1]
            borders = borders[borders < height * width]
        parts.append(borders)
        lengths.append(borders.size)
    return np.concatenate(parts), np.repeat(np.arange(len(texts)), lengths)
