"""J and F gathered over a validation loop, on one process or many.

    scores = RunningScores()
    for batch in loader:
        scores.update(model(batch).logits, batch.masks)      # (T, H, W) or (B, T, H, W) tensors
    print(scores.compute().jf)                               # the same number on every process
    scores.reset()

The object follows the convention of torchmetrics (`update`, `compute`, `reset`, reduction over
processes) without needing that package. Masks stay on their device, and no `update` waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmark.errors import MaskError
from benchmark.metrics.device_engine import MASKS_EXPECTED, NOT_NUMBERS, DeviceCounts, tensor_counts
from benchmark.metrics.scores import boundary_accuracy, region_similarity

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RunningResult:
    """Means over tracks, 0 to 1; a track's J and F are means over its frames.

    `overall_iou` pools the pixels of all frames and tracks; `None` where truth and prediction were
    empty in all of them.
    """

    j: float
    f: float
    overall_iou: float | None
    tracks: int
    frames: int

    @property
    def jf(self) -> float:
        """J&F: the mean of both."""
        return (self.j + self.f) / 2


class RunningScores:
    """Sums of J and F over tracks; see the module.

    Args:
        threshold: of floating-point predictions and truths: 0 for logits, 0.5 for probabilities.
        radius: boundary tolerance in pixels; by default 0.8% of the frame diagonal, rounded up.
        process_group: of `torch.distributed`, for `compute`; the default group when `None`.
    """

    def __init__(
        self, *, threshold: float = 0.0, radius: int | None = None, process_group: object = None
    ) -> None:
        self.threshold = threshold
        self.radius = radius
        self.process_group = process_group
        self._waiting: list[tuple[DeviceCounts, int]] = []
        self._sums = np.zeros(4)  # of J, of F, tracks, frames
        self._pixels = np.zeros(2, np.int64)

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Add one track (T, H, W) or a batch of tracks (B, T, H, W), as boolean, uint8 or logits.

        Raises:
            MaskError: when the tensors have other shapes or dtypes, differ in shape or device, or have
                no frame.
        """
        for name, masks in (("prediction", predicted), ("truth", truth)):
            if not hasattr(masks, "ndim"):
                raise MaskError(f"the {name} must be a tensor", found=type(masks).__name__)
            if masks.ndim not in (3, 4) or 0 in masks.shape:
                raise MaskError(
                    f"the {name} must be (T, H, W) or (B, T, H, W), each at least 1",
                    found=f"shape {tuple(masks.shape)}",
                )
        if predicted.shape != truth.shape:
            raise MaskError(
                "prediction and truth differ in shape",
                expected=f"{tuple(truth.shape)} as in the truth",
                found=str(tuple(predicted.shape)),
            )
        frames = truth.shape[-3]
        flat = [masks.reshape(-1, *masks.shape[-2:]) for masks in (truth, predicted)]
        counted = tensor_counts(flat[0], flat[1], radius=self.radius, threshold=self.threshold)
        self._waiting.append((counted, frames))

    def compute(self) -> RunningResult:
        """The means so far, over all processes where `torch.distributed` is initialised.

        Raises:
            MaskError: on every process, when a mask held NaN on one, or when none has seen a track.
        """
        problem = self._settle()
        sums, pixels, processes = self._summed_over_processes(problem is not None)
        if problem is not None:
            raise problem
        if processes:
            raise MaskError(
                "another process was given masks that hold values that are not numbers",
                found=f"NaN on {processes} of the processes",
                fix="see what they say",
            )
        tracks, frames = int(sums[2]), int(sums[3])
        if not tracks:
            raise MaskError("no track was added before compute()", fix="call update() first")
        overall = int(pixels[0]) / int(pixels[1]) if pixels[1] else None
        return RunningResult(float(sums[0] / tracks), float(sums[1] / tracks), overall, tracks, frames)

    def reset(self) -> None:
        """Forget everything."""
        self._waiting.clear()
        self._sums = np.zeros(4)
        self._pixels = np.zeros(2, np.int64)

    def _settle(self) -> MaskError | None:
        """Turn what waits on the device into sums; what is wrong with the first track that cannot be."""
        while self._waiting:
            counted, frames = self._waiting[0]
            if (unclear := counted.first_unclear()) is not None:  # stays: the next compute says so again
                track, frame = divmod(unclear.frame, frames)
                where = f"track {int(self._sums[2]) + track}, frame {frame} of the {unclear.side}"
                return MaskError(NOT_NUMBERS, where=where, expected=MASKS_EXPECTED, found="NaN")
            counts = counted.counts.cpu().numpy().reshape(-1, frames, 6)
            del self._waiting[0]
            j, f = region_similarity(counts).mean(axis=1), boundary_accuracy(counts).mean(axis=1)
            self._sums += (j.sum(), f.sum(), len(counts), len(counts) * frames)
            self._pixels += counts[:, :, :2].sum(axis=(0, 1))
        return None

    def _summed_over_processes(self, failed: bool) -> tuple[np.ndarray, np.ndarray, int]:
        """Both sums, and how many processes failed: one that only raised would leave the others waiting."""
        import torch
        from torch import distributed

        if not (distributed.is_available() and distributed.is_initialized()):
            return self._sums, self._pixels, int(failed)
        on_gpu = distributed.get_backend(self.process_group) == "nccl"
        summed = []
        for values in (np.append(self._sums, failed), self._pixels):
            tensor = torch.from_numpy(values.copy()).to("cuda" if on_gpu else "cpu")
            distributed.all_reduce(tensor, group=self.process_group)
            summed.append(tensor.cpu().numpy())
        return summed[0][:-1], summed[1], int(summed[0][-1])
