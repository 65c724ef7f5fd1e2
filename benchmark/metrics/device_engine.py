"""The six integers of masks that are on a device already.

Masks never leave their device and nothing waits for it: a clip is cut into chunks of bounded size
(`device_clips`), each chunk is packed to bits and counted (`device_launches`), and six integers a frame
come out, which `DeviceCounts.numpy` fetches. `device_texts` does the same for run-length text.
Work is put on the device's current stream. A CUDA graph cannot hold it, since a small table travels from
the host for each chunk. torch and Triton are imported inside functions, so that scoring works without them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import EnvironmentProblem, MaskError
from benchmark.metrics import device_clips
from benchmark.metrics.definition import COLUMNS, Counts
from benchmark.metrics.device_clips import (
    Size,
    TensorPair,
    check_device,
    check_pair,
    check_tensor,
    check_threshold,
    chunks,
    radii_of,
)
from benchmark.metrics.device_launches import Prepared, count_chunks, count_prepared, prepare
from benchmark.metrics.device_plans import NOTES_AT, upload

if TYPE_CHECKING:
    from torch import Tensor, device


NOT_NUMBERS = "a mask holds values that are not numbers"
MASKS_EXPECTED = "boolean, uint8 or finite logits"


class Unclear(NamedTuple):
    """A frame that holds a value that is not a number: of all frames counted, and of which side."""

    frame: int
    side: str


@dataclass(frozen=True)
class DeviceCounts:
    """`counts` (N, 6) int64 on the device, in the order of `COLUMNS`, for the frames of all pairs.

    `truth_areas` (N,) int64 are the truth's pixels. `unclear` (N, 2) bool marks frames of truth and
    prediction that hold a value that is not a number; their counts mean nothing, and `numpy` refuses them.
    """

    counts: Tensor
    truth_areas: Tensor
    unclear: Tensor

    def numpy(self) -> Counts:
        """The integers on the host; nothing before waits for the device.

        Raises:
            MaskError: when a frame held a value that is not a number.
        """
        if (unclear := self.first_unclear()) is not None:
            where = f"frame {unclear.frame} of the {unclear.side}"
            raise MaskError(NOT_NUMBERS, where=where, expected=MASKS_EXPECTED, found="NaN")
        counts: Counts = self.counts.cpu().numpy()
        return counts

    def first_unclear(self) -> Unclear | None:
        """The first frame that `unclear` marks; waits for the device."""
        places: NDArray[np.int64] = np.argwhere(self.unclear.cpu().numpy())
        if not len(places):
            return None
        frame, side = places[0].tolist()
        return Unclear(frame, ("truth", "prediction")[side])


def require_device() -> device:
    """The CUDA device that run-length text is counted on.

    Raises:
        EnvironmentProblem: when torch is missing or sees no CUDA device.
    """
    if importlib.util.find_spec("torch") is None:
        raise EnvironmentProblem(
            "metric engine 'cuda' needs torch, which is not installed",
            fix="pip install torch, or leave --metric-engine at auto",
        )
    import torch

    if not torch.cuda.is_available():
        raise EnvironmentProblem(
            "metric engine 'cuda' needs a CUDA device, and torch sees none on this machine",
            fix="leave --metric-engine at auto: the other engines return the same numbers",
        )
    return torch.device("cuda")


def mask_counts(truth: NDArray[Any], predicted: NDArray[Any], radius: int) -> Counts:
    """Counts (T, 6) of two (T, H, W) arrays of bool or uint8 on the host, a chunk at a time on the device.

    Raises:
        EnvironmentProblem: when there is no CUDA device.
    """
    where = require_device()
    step = max(1, device_clips.CHUNK_BYTES // (2 * truth[0].size)) if len(truth) else 1
    parts = [np.zeros((0, len(COLUMNS)), np.int64)]
    for first in range(0, len(truth), step):
        pair = (upload(masks[first : first + step], where) for masks in (truth, predicted))
        parts.append(tensor_counts(*pair, radius=radius).numpy())
    return np.concatenate(parts)


def tensor_counts(
    truth: Tensor,
    predicted: Tensor,
    *,
    radius: int | None = None,
    threshold: float = 0.0,
    form: str = "auto",
) -> DeviceCounts:
    """The six integers of every frame of two (T, H, W) tensors on one device.

    Args:
        truth, predicted: bool or uint8 (non-zero is foreground), or floating point of 16, 32 or 64 bits
            (above `threshold` is foreground: 0 for logits, 0.5 for probabilities); the two may differ in
            dtype.
        radius: boundary tolerance in pixels; by default `boundary_radius(H, W)`.
        threshold: rounded to the dtype of the masks it is compared with.
        form: one of `FORMS`; the result does not depend on it.

    Raises:
        MaskError: when the tensors differ in shape or device, or hold another dtype.
        UsageError: when there is no such form.
        EnvironmentProblem: when the form cannot run here.
    """
    return batch_counts([TensorPair(truth, predicted)], radius=radius, threshold=threshold, form=form)


def batch_counts(
    pairs: Sequence[TensorPair],
    *,
    radius: int | Sequence[int] | None = None,
    threshold: float = 0.0,
    form: str = "auto",
) -> DeviceCounts:
    """The six integers of the frames of many clips, of any sizes and lengths, one clip after another.

    Args and Raises: as `tensor_counts`; `radius` may also name one tolerance for each clip, and a message
    names the clip by its position.
    """
    check_threshold(threshold)
    pairs = [TensorPair(*pair) for pair in pairs]
    for index, pair in enumerate(pairs):
        check_pair(pair, f"clip {index}" if len(pairs) > 1 else "")
    if not pairs:
        raise MaskError("a batch needs at least one pair of tensors")
    radii = radii_of(pairs, radius)
    devices = {tensor.device for pair in pairs for tensor in pair}
    if len(devices) > 1:
        raise MaskError(
            "masks of one batch must be on one device", found=", ".join(sorted(map(str, devices)))
        )
    check_device(*devices)
    pairs = [TensorPair(*(masks.detach() for masks in pair)) for pair in pairs]
    frames = sum(len(pair.truth) for pair in pairs)
    return _counted(count_chunks(chunks(pairs, radii), frames, threshold, form))


def _counted(rows: Tensor) -> DeviceCounts:
    return DeviceCounts(rows[:, : len(COLUMNS)], rows[:, len(COLUMNS)], rows[:, NOTES_AT:] > 0)


@dataclass(frozen=True)
class PreparedTruth:
    """A (T, H, W) truth track that many predictions are counted against: what can be done once has been.

    Holds the packed truth on its device, one bit a pixel, for the whole clip; for the torch form also its
    boundary and what that reaches, three bits a pixel.
    """

    prepared: Prepared
    shape: tuple[int, ...]
    device: device

    def counts(self, predicted: Tensor, *, threshold: float = 0.0) -> DeviceCounts:
        """The six integers of every frame of a prediction of the same shape, as `tensor_counts`.

        Raises:
            MaskError: when the prediction's shape or device is another, or it holds another dtype.
        """
        check_threshold(threshold)
        check_tensor(predicted, "prediction", "")
        if tuple(predicted.shape) != self.shape or predicted.device != self.device:
            raise MaskError(
                "prediction and truth differ in shape or device",
                expected=f"{self.shape} on {self.device} as in the truth",
                found=f"{tuple(predicted.shape)} on {predicted.device}",
            )
        return _counted(count_prepared(self.prepared, predicted.detach(), threshold))


def prepare_truth(
    truth: Tensor, *, radius: int | None = None, threshold: float = 0.0, form: str = "auto"
) -> PreparedTruth:
    """Do the truth's part of the counting of a (T, H, W) tensor once.

    Args and Raises: as `tensor_counts`.
    """
    check_threshold(threshold)
    check_tensor(truth, "truth", "")
    check_device(truth.device)
    shape = tuple(truth.shape)
    size = Size(shape[1], shape[2], radii_of([TensorPair(truth, truth)], radius)[0])
    return PreparedTruth(prepare(truth.detach(), size, threshold, form), shape, truth.device)
