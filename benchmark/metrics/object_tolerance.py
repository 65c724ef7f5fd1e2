"""Counts at a boundary tolerance that follows the object's size: the F of MOSEv2.

The tolerance of a frame is a tenth of the square root of the truth's area, rounded up, but never more than
the frame's own tolerance. The published evaluator compares with the frame's before it is rounded up and,
where that is smaller or the truth is empty, dilates by a "disk" of fractional radius: its grid runs from
minus the radius in steps of one, so that it lies off the pixel that it is meant for (191 instead of 197
pixels at 480x854). `count_at_object_size` does what is meant, or with `as_published` what is published.

Source: henghuiding/MOSE-api, commit 241977a, MOSEv2/sam2_rcms/tools/metricsv2.py: `f_measure_adaptive`.
"""

from __future__ import annotations

from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.definition import BoolMask, Counts, boundary_map, boundary_radius
from benchmark.metrics.engines import mask_counts
from benchmark.metrics.families import CountedTrack

SHARE_OF_OBJECT = 0.1
SHARE_OF_FRAME = 0.008

Chords = list[tuple[int, int, int]]
"""Of a structuring element: row offset, and the first and last column offset that it takes."""


def count_at_object_size(
    truth: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    *,
    as_published: bool = False,
    engine: str = "auto",
) -> CountedTrack:
    """Counts of two (T, H, W) tracks at the object's tolerance, and beside them at the frame's.

    Args:
        as_published: the published evaluator's disk of fractional radius wherever it takes one, for the
            frame's tolerance too.
        engine: one of `engines.ENGINES`; fractional radii are always counted in NumPy.
    """
    height, width = truth.shape[1:]
    areas = np.count_nonzero(truth, axis=(1, 2)).astype(np.int64)
    usual = boundary_radius(height, width)
    at_frame = mask_counts(truth, predicted, usual, engine)
    own = [ceil(SHARE_OF_OBJECT * sqrt(pixels)) for pixels in areas.tolist()]
    radii = np.array([min(radius, usual) for radius in own])
    limit = SHARE_OF_FRAME * float(np.linalg.norm((height, width)))
    fractional = np.array(
        [as_published and (pixels == 0 or radius >= limit) for pixels, radius in zip(areas, own, strict=True)]
    )
    counts: Counts = np.zeros((len(truth), 6), np.int64)
    for radius in np.unique(radii[~fractional]):
        chosen = (radii == radius) & ~fractional
        counts[chosen] = mask_counts(truth[chosen], predicted[chosen], int(radius), engine)
    for frame in np.flatnonzero(fractional):
        counts[frame] = at_frame[frame] = _off_centre_counts(truth[frame], predicted[frame], limit)
    return CountedTrack(counts, areas, height * width, at_frame_tolerance=at_frame)


def off_centre_disk(radius: float) -> Chords:
    """The element that the evaluator dilates by for a radius, as chords around its anchor."""
    grid = np.arange(-radius, radius + 1)
    inside = grid[:, None] ** 2 + grid**2 <= radius**2
    anchor = len(grid) // 2
    chords = []
    for row, taken in enumerate(inside):
        columns = np.flatnonzero(taken)
        if columns.size:
            chords.append((row - anchor, int(columns[0]) - anchor, int(columns[-1]) - anchor))
    # In tiny frames no point of the grid lies inside; OpenCV then dilates by the grid's first.
    return chords or [(-anchor, -anchor, -anchor)]


def _off_centre_counts(truth: BoolMask, predicted: BoolMask, radius: float) -> Counts:
    element = off_centre_disk(radius)
    of_truth, of_predicted = boundary_map(truth), boundary_map(predicted)
    numbers = (
        truth & predicted,
        truth | predicted,
        of_truth,
        of_predicted,
        of_truth & _dilated(of_predicted, element),
        of_predicted & _dilated(of_truth, element),
    )
    return np.array([np.count_nonzero(pixels) for pixels in numbers], np.int64)


def _dilated(mask: BoolMask, element: Chords) -> BoolMask:
    """Pixels that see a set pixel at one of the element's offsets, none being set outside of the frame."""
    height, width = mask.shape
    before = np.zeros((height, width + 1), np.int64)  # set pixels of a row left of each column
    np.cumsum(mask, axis=1, out=before[:, 1:])
    columns = np.arange(width)
    result = np.zeros_like(mask)
    for row, first, last in element:
        left, right = np.clip(columns + first, 0, width), np.clip(columns + last + 1, 0, width)
        seen = before[:, right] > before[:, left]
        if row >= 0:
            result[: max(height - row, 0)] |= seen[row:]
        else:
            result[-row:] |= seen[:row]
    return result
