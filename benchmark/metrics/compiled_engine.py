"""The six integers from run-length text or byte masks by the compiled core (`core/`, built as `_core`).

The core is optional: where it was not built, `available()` is false and `engines` takes
`packed_engine`. Which instruction set it uses is chosen at run time, the fastest this machine has;
the environment variable REFEREE_METRICS_LEVEL forces another one, for tests and measurements.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import EnvironmentProblem, MaskError
from benchmark.metrics import packed_engine
from benchmark.metrics.definition import COLUMNS, Counts

try:
    from benchmark.metrics import _core
except ImportError as error:  # not built: no compiler at installation, or the sources are used uninstalled
    _CORE = None
    MISSING_REASON = str(error)
else:
    _CORE = _core
    MISSING_REASON = ""

LEVEL_VARIABLE = "REFEREE_METRICS_LEVEL"


def available() -> bool:
    """Whether the compiled core was built."""
    return _CORE is not None


def levels() -> tuple[str, ...]:
    """Instruction sets that the core can use on this machine, fastest first; empty without the core."""
    return _CORE.levels() if _CORE else ()


def chosen_level() -> str:
    """The instruction set in use: the fastest, or the one that REFEREE_METRICS_LEVEL names.

    Raises:
        EnvironmentProblem: when the core was not built, or the variable names a level that this machine
            cannot run.
    """
    possible = levels()
    if not possible:
        raise EnvironmentProblem(
            "the compiled metric core was not built",
            found=MISSING_REASON,
            fix="install a C compiler and reinstall, or use --metric-engine numpy",
        )
    wanted = os.environ.get(LEVEL_VARIABLE)
    if not wanted:
        return possible[0]
    if wanted not in possible:
        raise EnvironmentProblem(
            f"{LEVEL_VARIABLE} names an instruction set that this machine cannot run",
            expected=" or ".join(possible),
            found=wanted,
            fix=f"unset {LEVEL_VARIABLE}",
        )
    return wanted


def group_counts(
    truth: Sequence[bytes | None],
    predictions: Sequence[Sequence[bytes | None]],
    height: int,
    width: int,
    radius: int,
    level: str | None = None,
) -> Counts:
    """Counts (N, T, 6) of N predicted tracks against one true one, all of T frames.

    A frame is COCO text, or `None` for a mask without pixels. The truth of a frame is decoded, bounded and
    dilated once for all predictions. Disks wider than the core's limit and frames of 2^31 pixels are
    counted by `packed_engine`.

    Raises:
        MaskError: when a text does not decode to `height * width` pixels, or the frame needs more memory
            than there is.
        EnvironmentProblem: as `chosen_level` says.
    """
    level = level or chosen_level()
    assert _CORE is not None
    if radius > _CORE.MAX_RADIUS or height * width > _CORE.MAX_PIXELS or min(height, width) < 1:
        return packed_engine.group_counts(truth, predictions, height, width, radius)
    counts = np.empty((len(predictions), len(truth), len(COLUMNS)), np.int64)
    tracks = tuple(tuple(texts) for texts in predictions)
    try:
        malformed = _CORE.count_texts(tuple(truth), tracks, height, width, radius, counts, level)
    except MemoryError as error:
        raise _too_large(height, width) from error
    if malformed is not None:
        frame, side = malformed
        packed_engine.check_frame(truth[frame], [texts[frame] for texts in tracks], frame, height, width)
        raise RuntimeError(f"core and decoder disagree about frame {frame}, side {side}")
    return counts


def track_counts(
    truth: Sequence[bytes | None],
    predicted: Sequence[bytes | None],
    height: int,
    width: int,
    radius: int,
    level: str | None = None,
) -> Counts:
    """Counts (T, 6) of one prediction; see `group_counts`."""
    counts: Counts = group_counts(truth, (predicted,), height, width, radius, level)[0]
    return counts


def mask_counts(
    truth: NDArray[Any], predicted: NDArray[Any], radius: int, level: str | None = None
) -> Counts:
    """Counts (T, 6) of two (T, H, W) arrays of one-byte items; any non-zero byte is foreground.

    Raises:
        MaskError: when the frame needs more memory than there is.
        EnvironmentProblem: as `chosen_level` says.
    """
    level = level or chosen_level()
    assert _CORE is not None
    frames, height, width = truth.shape
    counts = np.empty((frames, len(COLUMNS)), np.int64)
    try:
        _CORE.count_masks(_with_rows(truth), _with_rows(predicted), radius, counts, level)
    except MemoryError as error:
        raise _too_large(height, width) from error
    return counts


def can_count_masks(height: int, width: int, radius: int) -> bool:
    """Whether byte masks of this size and tolerance are within the core's limits."""
    return _CORE is not None and radius <= _CORE.MAX_RADIUS and height * width <= _CORE.MAX_PIXELS


def _with_rows(masks: NDArray[Any]) -> NDArray[Any]:
    return masks if masks.strides[2] == 1 or masks.shape[2] == 1 else np.ascontiguousarray(masks)


def _too_large(height: int, width: int) -> MaskError:
    return MaskError(
        "a frame is too large to be counted in memory",
        found=f"{height}x{width}",
        fix="score at a smaller frame size",
    )
