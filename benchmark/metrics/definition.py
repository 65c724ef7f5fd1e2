"""What region similarity (J) and boundary accuracy (F) count on one frame, in plain NumPy.

This is the text to read and to trust; the fast engines return the same six integers. It works on
dense masks and takes milliseconds a frame.

Source: davis2017-evaluation (github.com/davisvideochallenge/davis2017-evaluation), commit ac7c43f,
davis2017/metrics.py: `db_eval_iou`, `f_measure`, `_seg2bmap`; the measures are those of Perazzi et
al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016, as
used by the DAVIS 2017 challenge.
"""

from __future__ import annotations

from math import isqrt
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import MaskError, ProtocolError

COLUMNS = (
    "intersection",
    "union",
    "truth_boundary",
    "predicted_boundary",
    "truth_matched",
    "predicted_matched",
)
"""The six integers of a frame, in the order of every counts array."""

Counts = NDArray[np.int64]
"""Shape (..., 6); the last axis follows `COLUMNS`."""

BoolMask = NDArray[np.bool_]


def boundary_radius(height: int, width: int) -> int:
    """Tolerance of the boundary measure in pixels: 0.8% of the frame diagonal, rounded up.

    Computed in integers as the smallest r with (125 r)^2 >= height^2 + width^2, which equals the
    float formula ceil(0.008 * sqrt(height^2 + width^2)) of the source on all real frame sizes.

    Raises:
        MaskError: when a side is shorter than one pixel.
    """
    if height < 1 or width < 1:
        raise MaskError("a frame needs at least one pixel", found=f"{height}x{width}")
    squared_diagonal = height * height + width * width
    radius = isqrt(squared_diagonal) // 125
    while (125 * radius) ** 2 < squared_diagonal:
        radius += 1
    return radius


def boundary_map(mask: BoolMask) -> BoolMask:
    """Pixels of an (H, W) mask that differ from their east, south or south-east neighbour.

    Beyond the last row and column the mask is continued by repetition, so the image border is no
    boundary: a full mask has none, and the bottom right pixel never is one.
    """
    continued = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    east, south, south_east = continued[:-1, 1:], continued[1:, :-1], continued[1:, 1:]
    result: BoolMask = (mask != east) | (mask != south) | (mask != south_east)
    return result


def dilate(mask: BoolMask, radius: int) -> BoolMask:
    """Pixels of an (H, W) mask's frame that lie within `radius` of a set pixel (dx^2 + dy^2 <= r^2)."""
    height, width = mask.shape
    result = np.zeros_like(mask)
    set_before = np.zeros((height, width + 1), np.int64)  # set pixels of a row left of each column
    np.cumsum(mask, axis=1, out=set_before[:, 1:])
    columns = np.arange(width)
    for shift in range(min(radius, height - 1) + 1):
        half = isqrt(radius * radius - shift * shift)  # half a chord of the disk
        first, last = np.maximum(columns - half, 0), np.minimum(columns + half + 1, width)
        widened = set_before[:, last] > set_before[:, first]
        result[shift:] |= widened[: height - shift]
        result[: height - shift] |= widened[shift:]
    return result


def frame_counts(truth: NDArray[Any], predicted: NDArray[Any], radius: int) -> Counts:
    """The six integers of one frame (`COLUMNS`); any non-zero pixel is foreground.

    Args:
        truth, predicted: (H, W) masks.
        radius: boundary tolerance in pixels, usually `boundary_radius(H, W)`.

    Raises:
        MaskError: when the masks are not two-dimensional or differ in shape.
        ProtocolError: when the radius is negative.
    """
    if truth.ndim != 2 or truth.shape != predicted.shape:
        raise MaskError(
            "truth and prediction must be two (H, W) masks of one size",
            expected=f"shape {truth.shape}",
            found=f"shape {predicted.shape}",
        )
    check_radius(radius)
    truth, predicted = truth != 0, predicted != 0
    truth_boundary, predicted_boundary = boundary_map(truth), boundary_map(predicted)
    numbers = (
        truth & predicted,
        truth | predicted,
        truth_boundary,
        predicted_boundary,
        truth_boundary & dilate(predicted_boundary, radius),
        predicted_boundary & dilate(truth_boundary, radius),
    )
    return np.array([np.count_nonzero(pixels) for pixels in numbers], np.int64)


def check_radius(radius: int) -> None:
    """Refuse a tolerance that is negative or no whole number.

    Raises:
        ProtocolError: when it is.
    """
    if not isinstance(radius, Integral):
        raise ProtocolError("a boundary tolerance is a whole number of pixels", found=repr(radius))
    if radius < 0:
        raise ProtocolError("a boundary tolerance cannot be negative", found=f"{radius} pixels")
