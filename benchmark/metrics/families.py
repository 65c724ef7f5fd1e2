"""Measures around J and F, from the integers that were counted for them.

    per frame       region_similarity_plus_one, pixel_accuracy, robustness
    per track       mean, recall, decay; temporal_iou, volumetric_iou; absence_accuracy
    over tracks     overall_iou (pooled), mean_iou, precision_at
    tolerance       tolerance_radius for F at any tolerance

Scores are 0 to 1, float64. What a published script computes differently, by a fault or by the pixel
values it reads, is a function or an argument with the script's name in it; nothing else imitates it.

Sources: davis2017-evaluation ac7c43f, davis2017/utils.py (`db_statistics`); cilinyan/VISA ec158fd,
tools/metrics.py and tools/eval_revos.py; bytedance/Sa2VA 9832e1a, tools/eval/eval_revos.py;
iSEE-Laboratory/Long_RVOS 447682a, eval/eval_long_rvos/eval_static.py; wjn922/ReferFormer 06fc218,
datasets/a2d_eval.py (O-IoU, M-IoU, P@K); henghuiding/ReLA 3ca9551, gres_model/evaluation/refer_evaluation.py
(cIoU, gIoU, N_acc).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, hypot

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import MaskError, ProtocolError
from benchmark.metrics.definition import Counts, boundary_radius
from benchmark.metrics.scores import Scores, region_similarity

Areas = NDArray[np.int64]
"""Pixels per frame, shape (T,)."""

SCRIPTS = ("visa", "sa2va")
"""Published ReVOS scripts whose A and R can be had as they print them."""

FOREGROUND_VALUE = {"visa": 255, "sa2va": 1}
"""What a foreground pixel of the prediction is when each script computes with it."""


@dataclass(frozen=True)
class CountedTrack:
    """A track's counts (T, 6), the truth's pixels in each frame (T,), and the pixels of a frame.

    `at_frame_tolerance` holds the counts at the frame's own tolerance where `counts` are at another.
    """

    counts: Counts
    truth_areas: Areas
    pixels: int
    at_frame_tolerance: Counts | None = None

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def predicted_areas(self) -> Areas:
        """The prediction's pixels in each frame."""
        areas: Areas = self.counts[:, 0] + self.counts[:, 1] - self.truth_areas
        return areas

    @property
    def false_pixels(self) -> Areas:
        """Predicted pixels outside the truth, in each frame."""
        areas: Areas = self.counts[:, 1] - self.truth_areas
        return areas

    def frames(self, chosen: slice | NDArray[np.bool_]) -> CountedTrack:
        """The same track on some of its frames."""
        other = self.at_frame_tolerance
        return CountedTrack(
            self.counts[chosen],
            self.truth_areas[chosen],
            self.pixels,
            None if other is None else other[chosen],
        )


def tolerance_radius(height: int, width: int, share: float = 0.008) -> int:
    """Boundary tolerance in pixels: a share of the frame diagonal, rounded up, or pixels from 1 on.

    Raises:
        ProtocolError: when the share is negative, or not a whole number of pixels from 1 on.
    """
    if share == 0.008:
        return boundary_radius(height, width)
    if not share >= 0 or (share >= 1 and share != int(share)):
        raise ProtocolError(
            "a boundary tolerance is a share of the diagonal below 1, or whole pixels",
            found=str(share),
        )
    return int(share) if share >= 1 else ceil(share * hypot(height, width))


def recall(values: Scores, above: float = 0.5) -> float:
    """Share of frames whose score lies strictly above a threshold."""
    return float(np.mean(_some(values) > above))


def decay(values: Scores, *, davis2017_uint8_bins: bool = False) -> float:
    """Mean of the first quarter of a track minus mean of the last; neighbouring quarters share a frame.

    Args:
        values: scores of the frames in temporal order.
        davis2017_uint8_bins: cut the quarters as davis2017-evaluation and TrackEval do, which keep frame
            numbers in eight bits: past 255 frames the cuts wrap around and the value is meaningless.

    Raises:
        MaskError: when there is no frame, or the wrapped cuts leave a quarter without frames (the script
            prints NaN then).
    """
    cuts = np.round(np.linspace(1, len(_some(values)), 5) + 1e-10).astype(np.int64) - 1
    if davis2017_uint8_bins:
        cuts %= 256
    first, last = values[cuts[0] : cuts[1] + 1], values[cuts[3] : cuts[4] + 1]
    if not (first.size and last.size):
        raise MaskError(
            "eight-bit bins leave a quarter of the track without frames",
            found=f"{len(values)} frames",
            fix="leave davis2017_uint8_bins off",
        )
    return float(np.mean(first) - np.mean(last))


def region_similarity_plus_one(counts: Counts) -> Scores:
    """J with one pixel added to intersection and union, so that a frame empty on both sides needs no rule.

    Source: henghuiding/MOSE-api, commit 241977a, MOSEv2/sam2_rcms/tools/metricsv2.py: `db_eval_iou`.
    """
    scores: Scores = (counts[..., 0] + 1) / (counts[..., 1] + 1)
    return scores


def overall_iou(tracks: Sequence[CountedTrack]) -> float:
    """O-IoU: all intersections over all unions, pooled over frames and tracks; nothing anywhere is 1."""
    union = sum(int(track.counts[:, 1].sum()) for track in tracks)
    return sum(int(track.counts[:, 0].sum()) for track in tracks) / union if union else 1.0


def mean_iou(tracks: Sequence[CountedTrack]) -> float:
    """M-IoU: J over all frames of all tracks, each frame weighing the same.

    Raises:
        MaskError: when there is no frame.
    """
    return float(np.mean(_some(np.concatenate([region_similarity(track.counts) for track in tracks]))))


def precision_at(
    values: Scores, thresholds: Sequence[float] = (0.5, 0.6, 0.7, 0.8, 0.9)
) -> dict[float, float]:
    """P@K: the share of scores strictly above each threshold.

    Raises:
        MaskError: when there is no score.
    """
    return {threshold: recall(values, threshold) for threshold in thresholds}


def temporal_iou(track: CountedTrack) -> float:
    """tIoU: frames in which both show pixels, over frames in which either does; 1 where neither ever does."""
    both, either = _presence(track)
    return float(both.sum() / either.sum()) if either.any() else 1.0


def volumetric_iou(track: CountedTrack) -> float:
    """vIoU: J summed over frames in which both show pixels, over frames in which either does.

    1 where neither ever does.
    """
    both, either = _presence(track)
    return float(region_similarity(track.counts)[both].sum() / either.sum()) if either.any() else 1.0


def absence_accuracy(track: CountedTrack) -> float | None:
    """Share of the frames without truth in which the prediction is empty too; `None` without such frames.

    What ReLA calls N_acc, where a prediction without pixels says that there is no target. Stands beside the
    official F, in which a prediction that fills such a frame scores 1.
    """
    absent = track.truth_areas == 0
    return float(np.mean(track.predicted_areas[absent] == 0)) if absent.any() else None


def pixel_accuracy(track: CountedTrack) -> Scores:
    """A of each frame: share of the pixels on which truth and prediction agree."""
    scores: Scores = (track.pixels - track.counts[:, 1] + track.counts[:, 0]) / track.pixels
    return scores


def robustness(track: CountedTrack, foreground_areas: Areas) -> Scores:
    """R of each frame: 1 minus false pixels over the pixels of all annotated objects, at least 0.

    Args:
        foreground_areas: pixels of all annotated objects of the video in each frame.
    """
    return _robustness(track.false_pixels, foreground_areas)


def published_pixel_accuracy(
    track: CountedTrack, script: str, stacked: Mapping[int, Areas] | None = None
) -> Scores:
    """A of each frame as a published ReVOS script computes it.

    The script compares pixel values: the truth is 0, 1, or the number of instances that overlap there,
    the prediction 0 or 255 (`visa`) or 0 or 1 (`sa2va`).

    Args:
        script: one of `SCRIPTS`.
        stacked: for each number of overlapping instances from 2, the predicted pixels under that many.

    Raises:
        ProtocolError: when there is no such script.
    """
    _check_script(script)
    intersection, union = track.counts[:, 0], track.counts[:, 1]
    agreed = track.pixels - union
    if script == "sa2va":
        agreed = agreed + intersection - sum((stacked or {}).values())
    scores: Scores = agreed / track.pixels
    return scores


def published_robustness(
    track: CountedTrack,
    foreground_areas: Areas,
    script: str,
    stacked: Mapping[int, Areas] | None = None,
) -> Scores:
    """R of each frame as a published ReVOS script computes it, in eight-bit arithmetic.

    A false pixel weighs what the prediction's foreground value is, and a predicted pixel under k >= 2
    instances weighs (1 - k) times that value, modulo 256.

    Args and Raises: as `published_pixel_accuracy`; `foreground_areas` as in `robustness`, where a pixel
    under several instances counts once for each.
    """
    _check_script(script)
    value = FOREGROUND_VALUE[script]
    false = track.false_pixels * value
    for instances, areas in (stacked or {}).items():
        false = false + areas * ((1 - instances) * value % 256)
    return _robustness(false, foreground_areas)


def _robustness(false: Areas, foreground: Areas) -> Scores:
    scores: Scores = np.maximum(1 - false / (foreground + 1e-6), 0.0)
    return scores


def _presence(track: CountedTrack) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    in_truth, in_prediction = track.truth_areas > 0, track.predicted_areas > 0
    return in_truth & in_prediction, in_truth | in_prediction


def _some(values: Scores) -> Scores:
    if not values.size:
        raise MaskError("a mean over no frame has no value", expected="at least one frame")
    return values


def _check_script(script: str) -> None:
    if script not in SCRIPTS:
        raise ProtocolError("no such published script", expected=" or ".join(SCRIPTS), found=script)
