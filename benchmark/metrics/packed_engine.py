"""The six integers from run-length text with NumPy alone: bit-packed lines, no compiler needed.

The fallback of `compiled_engine`; it returns the same integers and is some 40 times slower than it.

COCO text runs down the columns, and neither the boundary rule nor the disk changes when a frame is
transposed, so a *line* here is an image column: its pixels are the bits of a few 64-bit words. The truth
of a frame and its predictions are cropped to their common box and handled in one array of stacked maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import MaskError
from benchmark.masks import runs_from_text
from benchmark.metrics.definition import COLUMNS, Counts
from benchmark.run_lengths import MAX_DIGITS, MAX_PIXELS

Words = NDArray[np.uint64]
Edges = NDArray[np.int64]
"""Alternating starts and ends of the foreground runs, as positions in the column-major frame."""


@dataclass(frozen=True)
class Box:
    """The part of a frame that holds all foreground, and one pixel more to the north and west.

    Lines and rows are half-open ranges; `touches_east` and `touches_south` say that the box ends where
    the frame ends, where the boundary rule repeats the last line and row.
    """

    first_line: int
    line_count: int
    first_row: int
    row_count: int
    touches_east: bool
    touches_south: bool


def group_counts(
    truth: Sequence[bytes | None],
    predictions: Sequence[Sequence[bytes | None]],
    height: int,
    width: int,
    radius: int,
) -> Counts:
    """Counts (N, T, 6) of N predicted tracks against one true one, all of T frames.

    A frame is COCO text, or `None` for a mask without pixels. The truth of a frame is decoded, bounded and
    dilated once for all predictions.

    Raises:
        MaskError: when a text does not decode to `height * width` pixels.
    """
    result = np.zeros((len(predictions), len(truth), len(COLUMNS)), np.int64)
    tracks = [_edges_of_track(track, height, width) for track in (truth, *predictions)]
    for index, text in enumerate(truth):
        read = [track[index] for track in tracks if track is not None]
        if len(read) < len(tracks):
            read = check_frame(text, [track[index] for track in predictions], index, height, width)
        if any(part.size for part in read):
            result[:, index] = _frame_counts(read, height, width, radius)
    return result


def track_counts(
    truth: Sequence[bytes | None], predicted: Sequence[bytes | None], height: int, width: int, radius: int
) -> Counts:
    """Counts (T, 6) of one prediction; see `group_counts`."""
    counts: Counts = group_counts(truth, (predicted,), height, width, radius)[0]
    return counts


def check_frame(
    truth: bytes | None, predicted: Sequence[bytes | None], frame: int, height: int, width: int
) -> list[Edges]:
    """Foreground runs of the truth of a frame and of its predictions.

    Raises:
        MaskError: naming the frame, when a text does not decode to `height * width` pixels.
    """
    edges = []
    for side, text in (("truth", truth), *(("prediction", text) for text in predicted)):
        try:
            edges.append(_edges(text, height, width))
        except MaskError as error:
            problem = replace(error.problems[0], where=f"frame {frame} of the {side}")
            raise MaskError(problem) from error
    return edges


def _edges_of_track(texts: Sequence[bytes | None], height: int, width: int) -> list[Edges] | None:
    """Foreground runs of every frame, all texts read at once; `None` where a text needs a closer look.

    That is one which is not a mask of this size, or has a run of no pixel behind its first.
    """
    shown = [text for text in texts if text is not None]
    joined = np.frombuffer(b"".join(shown), np.uint8)
    digits = joined - np.uint8(48)  # characters below '0' become large
    behind = np.cumsum([len(text) for text in shown])  # where the next text starts
    if not all(shown) or (digits.size and int(digits.max()) > 63) or height * width > MAX_PIXELS:
        return None
    last = np.flatnonzero(digits < 32)
    lengths = np.diff(last, prepend=-1)
    if shown and (not last.size or int(lengths.max()) > MAX_DIGITS):
        return None
    if not np.array_equal(last[np.searchsorted(last, behind) - 1], behind - 1):
        return None
    digits &= 31
    numbers = (digits[last].astype(np.int64) ^ 16) - 16  # the last digit's top bit is the sign
    longer = np.arange(numbers.size)
    place = 0
    while longer.size:
        place += 1
        longer = longer[lengths[longer] > place]
        numbers[longer] = (numbers[longer] << 5) + digits[last[longer] - place]
    edges: list[Edges] = []
    start = 0
    for end in np.searchsorted(last, behind).tolist():
        runs = numbers[start:end]
        np.add.accumulate(runs[1::2], out=runs[1::2])
        np.add.accumulate(runs[2::2], out=runs[2::2])
        if not runs.size or runs[1:].min(initial=1) < 1 or runs[0] < 0:
            return None
        borders = np.add.accumulate(runs)
        if borders[-1] != height * width:
            return None
        edges.append(borders[: borders.size // 2 * 2])
        start = end
    found = iter(edges)
    return [np.zeros(0, np.int64) if text is None else next(found) for text in texts]


def _edges(text: bytes | None, height: int, width: int) -> Edges:
    if text is None:
        return np.zeros(0, np.int64)
    borders = np.cumsum(runs_from_text(text, height, width))
    starts, ends = borders[0:-1:2], borders[1::2]
    if starts.size and not np.all(starts < ends):  # text that is valid but not canonical: runs of length zero
        solid = starts < ends
        starts, ends = starts[solid], ends[solid]
    return np.column_stack((starts, ends)).ravel()


def _frame_counts(edges: Sequence[Edges], height: int, width: int, radius: int) -> Counts:
    """Counts (N, 6) of the predictions behind the truth in `edges`."""
    everything = np.concatenate(edges)
    box = _common_box(everything, height, width)
    # At least a radius of empty bits behind every line: a bit that leaves its line reaches no other.
    words = (box.row_count + max(radius, 1) + 63) // 64
    maps = _lines(edges, everything, box, height, words)
    borders = _boundaries(maps, box, radius)
    inner = borders[:, radius : radius + box.line_count]
    reached = _dilate(borders, box.line_count, radius)
    areas = np.array([int((part[1::2] - part[0::2]).sum()) for part in edges])
    common, border_bits = _bits(maps[0] & maps[1:]), _bits(inner)
    columns = (
        common,
        areas[0] + areas[1:] - common,
        np.broadcast_to(border_bits[:1], len(edges) - 1),  # the same for all predictions
        border_bits[1:],
        _bits(inner[0] & reached[1:]),
        _bits(inner[1:] & reached[0]),
    )
    return np.stack(columns, axis=1)


def _common_box(edges: Edges, height: int, width: int) -> Box:
    lines = edges // height
    rows = edges - lines * height
    # An edge behind a run that ends its line is the first pixel of the next.
    ends_line = rows[1::2] == 0
    rows[1::2][ends_line] = height
    lines[1::2] -= ends_line
    first_line, last_line = int(lines[0::2].min()), int(lines[1::2].max())
    if np.array_equal(lines[0::2], lines[1::2]):
        first_row, last_row = int(rows[0::2].min()), int(rows[1::2].max()) - 1
    else:
        first_row, last_row = 0, height - 1
    first_line, first_row = max(first_line - 1, 0), max(first_row - 1, 0)
    return Box(
        first_line,
        last_line - first_line + 1,
        first_row,
        last_row - first_row + 1,
        last_line == width - 1,
        last_row == height - 1,
    )


def _lines(edges: Sequence[Edges], everything: Edges, box: Box, height: int, words: int) -> Words:
    """The bits of all maps in the box, (N + 1, lines, words)."""
    length = box.line_count * height
    offsets = np.repeat(np.arange(len(edges)) * length, [part.size for part in edges])
    borders = np.empty(everything.size + 2, np.int64)
    borders[0], borders[-1] = 0, len(edges) * length
    np.add(everything, offsets - box.first_line * height, out=borders[1:-1])
    values = np.zeros(borders.size - 1, bool)
    values[1::2] = True
    pixels = np.repeat(values, np.diff(borders)).reshape(len(edges), box.line_count, height)
    pixels = pixels[..., box.first_row : box.first_row + box.row_count]
    packed = np.packbits(pixels, axis=2, bitorder="little")
    # Bytes of a word are least significant first on every machine ("<u8").
    as_bytes = np.zeros((len(edges), box.line_count, words * 8), np.uint8)
    as_bytes[..., : packed.shape[2]] = packed
    return as_bytes.view("<u8")


def _boundaries(maps: Words, box: Box, radius: int) -> Words:
    """Boundary bits of all maps, with `radius` empty lines before and behind each."""
    count = box.line_count
    following = np.zeros_like(maps)
    following[:, :-1] = maps[:, 1:]
    if box.touches_east:
        following[:, -1] = maps[:, -1]
    borders = maps ^ following
    borders |= maps ^ _one_row_down(maps, box)
    borders |= maps ^ _one_row_down(following, box)
    borders[..., -1] &= np.uint64(2**63 - 1)  # what looks like a pixel north of the next line's first
    result = np.zeros((len(maps), count + 2 * radius, maps.shape[2]), np.uint64)
    result[:, radius : radius + count] = borders
    return result


def _one_row_down(maps: Words, box: Box) -> Words:
    """Each pixel's southern neighbour; the empty bits catch what crosses from line to line."""
    shifted = maps >> np.uint64(1)
    shifted.reshape(-1)[:-1] |= maps.reshape(-1)[1:] << np.uint64(63)
    if box.touches_south:
        word, bit = divmod(box.row_count - 1, 64)
        shifted[..., word] |= maps[..., word] & np.uint64(1 << bit)
    return shifted


def _dilate(borders: Words, line_count: int, radius: int) -> Words:
    """Pixels within the disk of a boundary pixel, for all maps.

    A Horner scheme: chords grow towards the middle of the disk, so the outermost lines are taken first
    and everything gathered so far is widened by the difference of two chords.
    """
    maps, _, words = borders.shape
    guard = radius // 64 + 1  # also before the first line: bits that leave it must be able to come back
    flat = np.zeros(guard + maps * line_count * words, np.uint64)
    reached = flat[guard:].reshape(maps, line_count, words)
    reached[:] = borders[:, radius : radius + line_count]
    moved = np.empty_like(flat)
    carried = np.empty_like(flat)
    for shift, steps in enumerate(widening_steps(radius)):
        if shift:
            reached |= borders[:, radius + shift : radius + shift + line_count]
            reached |= borders[:, radius - shift : radius - shift + line_count]
        for step in steps:
            _widen(flat, np.uint64(step), moved, carried)
    return reached


def _widen(flat: Words, step: np.uint64, moved: Words, carried: Words) -> None:
    """OR every bit into the places `step` to the left and to the right of it."""
    back = np.uint64(64) - step
    np.left_shift(flat, step, out=moved)
    np.right_shift(flat[:-1], back, out=carried[1:])
    moved[1:] |= carried[1:]
    np.left_shift(flat[1:], back, out=carried[1:])
    moved |= flat
    np.right_shift(flat, step, out=flat)
    flat[:-1] |= carried[1:]
    flat |= moved


@cache
def widening_steps(radius: int) -> tuple[tuple[int, ...], ...]:
    """For each line distance 0..radius: by how much to widen after taking the lines at that distance.

    Widening by g happens in steps; a strip that was widened by a may take a step of 2a + 1 without a
    gap, as long as bits that leave the line can come back from the empty bits around it.
    """
    half = [isqrt(radius * radius - shift * shift) for shift in range(radius + 1)] + [0]
    return tuple(_steps(wide - narrow) for wide, narrow in pairwise(half))


def _steps(growth: int) -> tuple[int, ...]:
    steps: list[int] = []
    while sum(steps) < growth:
        done = sum(steps)
        steps.append(min(2 * done + 1, growth - done, 63))
    return tuple(steps)


def _bits(maps: Words) -> NDArray[np.int64]:
    flat = np.bitwise_count(maps).reshape(len(maps), maps.shape[1] * maps.shape[2])
    counts: NDArray[np.int64] = flat.sum(axis=1, dtype=np.int64)
    return counts
