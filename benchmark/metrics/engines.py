"""Choosing an engine and counting tracks with it.

Every engine returns the same integers for the same masks:

    reference   `definition`, on dense masks; the one to read, and the slowest
    numpy       `packed_engine`, bit-packed lines in NumPy
    cpu         the compiled core; falls back to `numpy` where it could not be built
    auto        the fastest one on this machine
"""

from __future__ import annotations

import numpy as np

from benchmark.errors import MaskError, UsageError
from benchmark.masks import decode_track
from benchmark.metrics import packed_engine
from benchmark.metrics.definition import COLUMNS, Counts, check_radius, frame_counts
from benchmark.types import MaskTrack

ENGINES = ("auto", "reference", "numpy", "cpu")


def track_counts(truth: MaskTrack, predicted: MaskTrack, radius: int, engine: str = "auto") -> Counts:
    """The six integers of every frame of two tracks, shape (T, 6) in the order of `COLUMNS`.

    Args:
        truth, predicted: tracks of one size and length.
        radius: boundary tolerance in pixels, usually `boundary_radius(height, width)`.
        engine: one of `ENGINES`; the result does not depend on it.

    Raises:
        MaskError: when the tracks differ in size or length, or a frame's text does not decode (the
            message names the frame).
        ProtocolError: when the radius is negative.
        UsageError: when there is no such engine.
    """
    if engine not in ENGINES:
        raise UsageError("unknown metric engine", expected=" or ".join(ENGINES), found=engine)
    check_radius(radius)
    _check_alike(truth, predicted)
    if engine == "reference":
        dense = zip(decode_track(truth), decode_track(predicted), strict=True)
        rows = [frame_counts(*pair, radius) for pair in dense]
        return np.array(rows, np.int64).reshape(len(truth), len(COLUMNS))
    return packed_engine.track_counts(truth.counts, predicted.counts, truth.height, truth.width, radius)


def _check_alike(truth: MaskTrack, predicted: MaskTrack) -> None:
    if (truth.height, truth.width) != (predicted.height, predicted.width):
        raise MaskError(
            "prediction and truth differ in frame size",
            expected=f"{truth.height}x{truth.width} as in the truth",
            found=f"{predicted.height}x{predicted.width}",
        )
    if len(truth) != len(predicted):
        raise MaskError(
            "prediction and truth differ in length",
            expected=f"{len(truth)} frames as in the truth",
            found=f"{len(predicted)} frames",
        )
