"""`score_tracks`: J and F of two mask tracks, in whatever form they come.

    from benchmark.metrics import score_tracks

    scores = score_tracks(truth, predicted)
    print(scores.j_mean, scores.f_mean, scores.jf_mean)

A track may be

    a `MaskTrack`
    a sequence of run-length masks, one for each frame: COCO dicts ({"size", "counts"}), compressed counts
        as bytes or str, or `None` for a frame without pixels; where no mask says its size, the other track
        must, or `size`
    a (T, H, W) array, NumPy or torch, on the CPU or a CUDA device: bool, uint8 (non-zero is foreground)
        or floating point (above `threshold` is foreground)
    a folder of PNG files, one for each frame, in alphabetical order; any non-zero pixel is foreground

Truth and prediction need not come in the same form. Two CUDA tensors are scored where they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import MaskError
from benchmark.mask_batches import canonical_texts
from benchmark.masks import area, decode_track, encode_track
from benchmark.metrics import engines
from benchmark.metrics.definition import Counts, boundary_radius, check_radius
from benchmark.metrics.device_clips import check_tensor, check_threshold
from benchmark.metrics.families import Areas, CountedTrack, absence_accuracy
from benchmark.metrics.scores import Scores, boundary_accuracy, region_similarity
from benchmark.png_masks import frame_names, image_size, read_folder
from benchmark.run_lengths import MAX_PIXELS, text_from_runs
from benchmark.types import MaskTrack

if TYPE_CHECKING:
    from torch import Tensor

RunLength: TypeAlias = "Mapping[str, Any] | bytes | str | None"
Track: TypeAlias = "MaskTrack | Sequence[RunLength] | NDArray[Any] | Tensor | Path | str"

CHUNK_PIXELS = 1 << 20
"""Pixels of one side that are read from PNG files before they are counted."""


@dataclass(frozen=True)
class TrackScores:
    """Scores (0 to 1) of one track: `counted` holds the integers, everything else follows from them."""

    counted: CountedTrack

    def __str__(self) -> str:
        frames, absent = len(self.counted.counts), int(np.count_nonzero(self.absent))
        line = f"J {self.j_mean:.4f}  F {self.f_mean:.4f}  J&F {self.jf_mean:.4f}  ({frames} frames)"
        if self.absence_accuracy is None:
            return line
        left_empty = round(self.absence_accuracy * absent)
        return f"{line}; {left_empty} of {absent} frames without truth left empty"

    @cached_property
    def j(self) -> Scores:
        """Region similarity J of each frame, (T,)."""
        return region_similarity(self.counted.counts)

    @cached_property
    def f(self) -> Scores:
        """Boundary accuracy F of each frame, (T,)."""
        return boundary_accuracy(self.counted.counts)

    @property
    def j_mean(self) -> float:
        """J averaged over frames."""
        return float(np.mean(self.j))

    @property
    def f_mean(self) -> float:
        """F averaged over frames."""
        return float(np.mean(self.f))

    @property
    def jf_mean(self) -> float:
        """J&F: the mean of both."""
        return float((np.mean(self.j) + np.mean(self.f)) / 2)

    @property
    def absent(self) -> NDArray[np.bool_]:
        """Frames whose truth has no pixel, (T,)."""
        frames: NDArray[np.bool_] = self.counted.truth_areas == 0
        return frames

    @property
    def absence_accuracy(self) -> float | None:
        """Share of `absent` that the prediction left empty: what F does not say of a frame that it fills."""
        return absence_accuracy(self.counted)


def score_tracks(
    truth: Track,
    predicted: Track,
    *,
    size: tuple[int, int] | None = None,
    radius: int | None = None,
    threshold: float = 0.0,
    engine: str = "auto",
) -> TrackScores:
    """J and F of every frame of two tracks; see the module for the forms they may come in.

    Args:
        size: (height, width), needed when run-length masks are all there is and do not say it.
        radius: boundary tolerance in pixels; by default 0.8% of the frame diagonal, rounded up.
        threshold: of floating-point masks: 0 for logits, 0.5 for probabilities.
        engine: one of `engines.ENGINES`; the numbers do not depend on it. CUDA tensors are counted on
            their device whatever it is.

    Raises:
        MaskError: when a track is none of these forms, does not decode, holds NaN, or the two differ in
            size or length, or have no frame.
        EnvironmentProblem, UsageError, ProtocolError: as `engines.track_counts`.
    """
    if radius is not None:
        check_radius(radius)
    check_threshold(threshold)
    if isinstance(truth, (str, Path)) and isinstance(predicted, (str, Path)):
        return TrackScores(_count_folders(Path(truth), Path(predicted), radius, engine))
    size = None if size is None else _frame_size(size, "size")
    known = size or _said_size(truth, "truth") or _said_size(predicted, "prediction")
    sides = []
    for track, name in ((truth, "truth"), (predicted, "prediction")):
        side = _dense_or_track(track, name, size, known)
        sides.append(side if _is_on_device(side) else _on_host(side, name, threshold))
    if any(_is_on_device(side) for side in sides):
        return TrackScores(_count_on_device(sides, radius, threshold))
    return TrackScores(_count_on_host(sides, radius, engine))


def _frame_size(size: Any, where: str) -> tuple[int, int]:
    if isinstance(size, Sequence | np.ndarray) and len(size) == 2:
        height, width = size
        if isinstance(height, Integral) and isinstance(width, Integral):
            return int(height), int(width)
    raise MaskError(
        "a frame size is two whole numbers", where=where, expected="(height, width)", found=repr(size)
    )


def _said_size(track: Any, name: str) -> tuple[int, int] | None:
    """The frame size that a track says, if it does."""
    if isinstance(track, MaskTrack):
        return track.height, track.width
    if isinstance(track, str | Path):
        folder = Path(track)
        return image_size(folder / f"{frame_names(folder)[0]}.png")
    if isinstance(track, Sequence):
        for index, mask in enumerate(track):
            if isinstance(mask, Mapping):
                return _frame_size(mask.get("size"), f"frame {index} of the {name}")
    shape: tuple[Any, ...] = tuple(getattr(track, "shape", ()))
    return (int(shape[1]), int(shape[2])) if len(shape) == 3 else None


def _dense_or_track(
    track: Track, name: str, size: tuple[int, int] | None, known: tuple[int, int] | None
) -> Any:
    """A `MaskTrack`, a NumPy array or a torch tensor.

    Args:
        size: that was asked for.
        known: what is taken where the track says none.
    """
    if isinstance(track, (str, Path)):
        folder = Path(track)
        names = frame_names(folder)
        return next(read_folder(folder, names, len(names)))
    if isinstance(track, MaskTrack) or hasattr(track, "dtype"):
        return track
    if isinstance(track, Sequence):
        return _track_of_texts(track, name, size, known)
    raise MaskError(
        f"the {name} is no track", expected="run-length masks, an array or a folder", found=str(type(track))
    )


def _track_of_texts(
    masks: Sequence[RunLength], name: str, size: tuple[int, int] | None, known: tuple[int, int] | None
) -> MaskTrack:
    texts = []
    for index, mask in enumerate(masks):
        where = f"frame {index} of the {name}"
        texts.append(_text(mask, where))
        if isinstance(mask, Mapping):
            size = _checked_size(mask, size, where)
    if (size := size or known) is None:
        raise MaskError(
            f"the {name} must have one frame size",
            expected="COCO masks of one size, or `size=(height, width)`",
            found="none",
        )
    height, width = size
    tidy = canonical_texts(texts, height, width)
    for index, error in tidy.errors.items():
        problem = error.problems[0]
        raise MaskError(
            problem.what,
            where=f"frame {index} of the {name}",
            expected=problem.expected,
            found=problem.found,
        ) from error
    return MaskTrack(height, width, tidy.texts)


def _checked_size(mask: Mapping[str, Any], wanted: tuple[int, int] | None, where: str) -> tuple[int, int]:
    """The size of a COCO mask, which must be that of the frames before."""
    found = _frame_size(mask.get("size"), where)
    if wanted is not None and found != wanted:
        raise MaskError(
            "frames of one track differ in size",
            where=where,
            expected=f"{wanted[0]}x{wanted[1]}",
            found=f"{found[0]}x{found[1]}",
        )
    return found


def _text(mask: RunLength, where: str) -> bytes | None:
    counts = mask.get("counts") if isinstance(mask, Mapping) else mask
    if mask is not None and counts is None:
        raise MaskError("not a run-length mask", where=where, expected="COCO counts", found="none")
    if isinstance(counts, str):
        return counts.encode("latin-1", "replace")
    if counts is None or isinstance(counts, bytes):
        return counts
    if isinstance(counts, Sequence) and all(isinstance(run, int) for run in counts):
        runs = [int(run) for run in counts]
        if any(abs(run) > MAX_PIXELS for run in runs):
            raise MaskError(
                "a run is longer than a frame can be", where=where, expected="at most 2^31 pixels"
            )
        return text_from_runs(np.array(runs, np.int64))
    raise MaskError(
        "not a run-length mask",
        where=where,
        expected="COCO counts",
        found=type(counts).__name__,
        fix="stack frames to one (T, H, W) array" if hasattr(mask, "shape") else "",
    )


def _is_on_device(side: Any) -> bool:
    return bool(getattr(side, "is_cuda", False))


def _on_host(side: Any, name: str, threshold: float) -> Any:
    """A `MaskTrack` or a (T, H, W) NumPy array of bool or uint8."""
    if isinstance(side, MaskTrack):
        return side
    if side.ndim != 3 or 0 in side.shape[1:]:
        raise MaskError(
            f"the {name} must be a (T, H, W) array of masks",
            found=f"shape {tuple(side.shape)} of {side.dtype}",
        )
    if not hasattr(side, "is_cuda"):
        side = np.asarray(side)
    if not isinstance(side, np.ndarray):  # a torch tensor: its own comparison knows every dtype
        check_tensor(side, name, "")
        if side.device.type != "cpu":
            raise MaskError(
                f"the {name} is on a device that masks are not read from",
                expected="the CPU or a CUDA device",
                found=str(side.device),
            )
        if side.dtype.is_floating_point:
            unclear, side = side.isnan().flatten(1).any(dim=1).numpy(), side > threshold
            _refuse_unclear(unclear, name)
        side = side.detach().numpy()
    elif side.dtype.kind == "f":
        _refuse_unclear(np.asarray(np.isnan(side).any(axis=(1, 2))), name)
        side = side > threshold
    if side.dtype not in (np.bool_, np.uint8):
        raise MaskError(
            f"the {name} has a dtype that masks do not come in",
            expected="bool, uint8 or floating point",
            found=str(side.dtype),
        )
    return side


def _refuse_unclear(frames: NDArray[np.bool_], name: str) -> None:
    if frames.any():
        where = f"frame {int(np.argmax(frames))} of the {name}"
        raise MaskError("a mask holds values that are not numbers", where=where, found="NaN")


def _count_on_host(sides: list[Any], radius: int | None, engine: str) -> CountedTrack:
    truth, predicted = sides
    if isinstance(truth, MaskTrack) != isinstance(predicted, MaskTrack):
        truth, predicted = (side if isinstance(side, MaskTrack) else encode_track(side) for side in sides)
    if isinstance(truth, MaskTrack):
        height, width = truth.height, truth.width
        areas = np.array([area(text, height, width) for text in truth.counts], np.int64)
        tolerance = boundary_radius(height, width) if radius is None else radius
        counts = engines.track_counts(truth, predicted, tolerance, engine)
    else:
        counts, areas = _count_arrays(truth, predicted, radius, engine)
        height, width = truth.shape[1:]
    return _checked(counts, areas, height * width)


def _count_arrays(
    truth: NDArray[Any], predicted: NDArray[Any], radius: int | None, engine: str
) -> tuple[Counts, Areas]:
    usual = boundary_radius(*truth.shape[1:]) if truth.ndim == 3 and 0 not in truth.shape[1:] else 0
    counts = engines.mask_counts(truth, predicted, usual if radius is None else radius, engine)
    return counts, np.array([np.count_nonzero(frame) for frame in truth], np.int64)


def _count_on_device(sides: list[Any], radius: int | None, threshold: float) -> CountedTrack:

    from benchmark.metrics.device_engine import tensor_counts
    from benchmark.metrics.device_plans import upload

    where = next(side.device for side in sides if _is_on_device(side))
    tensors = []
    for side in sides:
        dense = decode_track(side) if isinstance(side, MaskTrack) else side
        on_device = upload(dense, where) if isinstance(dense, np.ndarray) else dense.to(where)
        tensors.append(on_device)
    counted = tensor_counts(tensors[0], tensors[1], radius=radius, threshold=threshold)
    counts = counted.numpy()
    return _checked(counts, counted.truth_areas.cpu().numpy(), tensors[0].shape[1] * tensors[0].shape[2])


def _count_folders(truth: Path, predicted: Path, radius: int | None, engine: str) -> CountedTrack:
    """A few frames at a time; the truth's files say which frames there are."""
    names = frame_names(truth)
    frame_names(predicted)
    pixels = math.prod(image_size(truth / f"{names[0]}.png"))
    at_once = max(1, CHUNK_PIXELS // max(1, pixels))
    chunks = zip(read_folder(truth, names, at_once), read_folder(predicted, names, at_once), strict=True)
    parts = [_count_arrays(ours, theirs, radius, engine) for ours, theirs in chunks]
    counts, areas = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _checked(counts, areas, pixels)


def _checked(counts: Counts, areas: Areas, pixels: int) -> CountedTrack:
    if not len(counts):
        raise MaskError("a track without frames has no score", expected="at least one frame")
    return CountedTrack(counts, areas, pixels)
