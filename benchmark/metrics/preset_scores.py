"""Scores under a preset: from masks to units (an object or an expression), from units to a summary.

    preset = load_preset("davis-semi")
    units = [unit for clip in clips for unit in score_index_maps(preset, clip.name, clip.truth, clip.masks)]
    print(summarize(preset, units).overall["J&F"])

Scores are 0 to 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import MaskError, PredictionError
from benchmark.masks import area, decode_track
from benchmark.metrics import families
from benchmark.metrics.definition import boundary_radius
from benchmark.metrics.disappearances import KINDS, segment_mean
from benchmark.metrics.engines import mask_counts, track_counts
from benchmark.metrics.families import Areas, CountedTrack
from benchmark.metrics.object_tolerance import count_at_object_size
from benchmark.metrics.preset_rules import Preset
from benchmark.metrics.scores import Scores, boundary_accuracy, region_similarity
from benchmark.types import MaskTrack

MOST_PROPOSALS = 20
"""Of an unsupervised answer; the limit of davis2017-evaluation."""

VOID = 255

IndexMaps = NDArray[np.uint8]
"""(T, H, W) maps of object ids, 0 being background."""


@dataclass(frozen=True)
class UnitScore:
    """One object or expression. A unit that is left out has no measures and enters no mean."""

    sequence: str
    name: str
    group: str | None
    frames: int
    measures: Mapping[str, float]
    missing: bool = False

    @property
    def left_out(self) -> bool:
        """Whether the preset's rules leave this unit out of every mean."""
        return not self.measures


@dataclass(frozen=True)
class Summary:
    """Means under a preset: `overall` and each of its groups, with "J&F" beside the measures.

    `frames`, `units`, `missing` and `left_out` say what the means are made of.
    """

    preset: str
    version: int
    overall: Mapping[str, float]
    groups: Mapping[str, Mapping[str, float]]
    units: int
    frames: int
    missing: int
    left_out: int


def score_index_maps(
    preset: Preset,
    sequence: str,
    truth: IndexMaps,
    predicted: IndexMaps,
    *,
    engine: str = "auto",
) -> list[UnitScore]:
    """The objects of one sequence, given as (T, H, W) maps of ids.

    Raises:
        MaskError: when the maps differ in shape, are not uint8, no frame is left to score, or an object
            is never seen and the preset calls that an error.
        PredictionError: when the prediction holds ids that the preset does not allow.
    """
    _check_maps(preset, sequence, truth, predicted)
    ids = _object_ids(preset, truth)
    if preset.value_255 == "background":
        truth = np.where(truth == VOID, 0, truth).astype(np.uint8)
    if preset.value_255 == "ignored":
        void = truth == VOID
        truth, predicted = (np.where(void, 0, maps).astype(np.uint8) for maps in (truth, predicted))
    shown = _shown_frames(preset, len(truth), sequence)
    truth, predicted = truth[shown], predicted[shown]
    if preset.matching == "best-total":
        return _assigned(preset, sequence, truth, predicted, ids, engine)
    highest = int(predicted.max(initial=0))
    if preset.objects == "up-to-highest-id-of-first-frame" and highest > max(ids, default=0):
        raise PredictionError(
            "the prediction holds an id above the number of objects",
            where=f"sequence {sequence}",
            expected=f"ids up to {max(ids, default=0)}",
            found=str(highest),
        )
    if preset.objects == "ids-of-truth":
        ids = [int(value) for value in np.unique(truth) if value]
    return [
        _unit(
            preset, sequence, str(number), None, _count(preset, truth == number, predicted == number, engine)
        )
        for number in ids
    ]


def score_binary_track(
    preset: Preset,
    sequence: str,
    name: str,
    truth: MaskTrack,
    predicted: MaskTrack | None,
    *,
    group: str | None = None,
    foreground_areas: Areas | None = None,
    engine: str = "auto",
) -> UnitScore:
    """One object or expression given as binary tracks; `predicted` is `None` when it is missing.

    Args:
        group: one of the preset's groups, if it has any; another group is left out of all means.
        foreground_areas: pixels of all annotated objects in each frame, which the measure R needs.

    Raises:
        MaskError: when the tracks do not fit each other, no frame is left to score, or an object is
            never seen and the preset calls that an error.
        PredictionError: when the prediction is missing and the preset calls that an error.
    """
    shown = _shown_frames(preset, len(truth), sequence)
    frames = len(range(*shown.indices(len(truth))))
    if preset.groups and group not in preset.groups:
        return UnitScore(sequence, name, group, 0, {})
    if predicted is None:
        if preset.missing == "error":
            raise PredictionError("a prediction is missing", where=f"sequence {sequence}, {name}")
        measures = [measure for measure in preset.measures if not measure.endswith(KINDS)]
        return UnitScore(sequence, name, group, frames, dict.fromkeys(measures, 0.0), missing=True)
    inner = [MaskTrack(track.height, track.width, track.counts[shown]) for track in (truth, predicted)]
    if foreground_areas is not None:
        foreground_areas = foreground_areas[shown]
    if preset.tolerance == "frame-diagonal":
        counted = count_tracks(inner[0], inner[1], engine=engine)
    else:
        counted = _count(preset, decode_track(inner[0]), decode_track(inner[1]), engine)
    return _unit(preset, sequence, name, group, counted, foreground_areas)


def count_tracks(truth: MaskTrack, predicted: MaskTrack, *, engine: str = "auto") -> CountedTrack:
    """Counts, truth areas and frame size of two tracks, at the usual tolerance."""
    radius = boundary_radius(truth.height, truth.width)
    counts = track_counts(truth, predicted, radius, engine)
    areas = np.array([area(text, truth.height, truth.width) for text in truth.counts], np.int64)
    return CountedTrack(counts, areas, truth.height * truth.width)


def summarize(preset: Preset, units: Sequence[UnitScore]) -> Summary:
    """The means of units under a preset.

    Raises:
        MaskError: when no unit is left, or a group that the overall mean needs has none.
    """
    counted = [unit for unit in units if not unit.left_out]
    groups = {}
    for group in preset.groups:
        members = [unit for unit in counted if unit.group == group]
        if members:
            groups[group] = _means(preset, members)
    if not counted or (preset.overall == "mean-of-groups" and len(groups) < len(preset.groups)):
        raise MaskError(
            "nothing to average",
            expected="units in every group: " + ", ".join(preset.groups) if preset.groups else "a unit",
            found=f"{len(counted)} units"
            + (f" in groups {', '.join(groups) or 'none'}" if preset.groups else ""),
        )
    if preset.overall == "mean-of-groups":
        names = groups[preset.groups[0]]
        overall = {name: float(np.mean([means[name] for means in groups.values()])) for name in names}
    else:
        overall = _means(preset, counted)
    return Summary(
        preset.name,
        preset.version,
        overall,
        groups,
        units=len(counted),
        frames=sum(unit.frames for unit in counted),
        missing=sum(unit.missing for unit in counted),
        left_out=len(units) - len(counted),
    )


def _means(preset: Preset, units: Sequence[UnitScore]) -> dict[str, float]:
    means: dict[str, float] = {}
    for name in preset.measures:
        values = np.array([unit.measures[name] for unit in units if name in unit.measures])
        if not values.size:
            continue
        if preset.rounding == "percent-to-2-decimals":
            values = np.round(100 * values, 2)
            means[name] = float(np.mean(values)) / 100
        else:
            means[name] = float(np.mean(values))
    means["J&F"] = (means["J"] + means["F"]) / 2
    for kind in KINDS:
        if f"J-{kind}" in means:
            means[f"J&F-{kind}"] = (means[f"J-{kind}"] + means[f"F-{kind}"]) / 2
    return means


def _check_maps(preset: Preset, sequence: str, truth: IndexMaps, predicted: IndexMaps) -> None:
    where = f"sequence {sequence}"
    if preset.masks != "index":
        raise MaskError(f"preset {preset.name} scores binary tracks, not index maps", where=where)
    for side, maps in (("truth", truth), ("prediction", predicted)):
        if maps.ndim != 3 or maps.dtype != np.uint8:
            raise MaskError(
                f"index maps of the {side} must be a (T, H, W) array of uint8",
                where=where,
                found=f"shape {maps.shape} of {maps.dtype}",
            )
    if truth.shape != predicted.shape:
        raise MaskError(
            "prediction and truth differ in shape",
            where=where,
            expected=f"{truth.shape} as in the truth",
            found=str(predicted.shape),
        )


def _object_ids(preset: Preset, truth: IndexMaps) -> list[int]:
    if preset.objects == "up-to-highest-id-of-first-frame":
        first = truth[0]
        return list(range(1, int(first[first != VOID].max(initial=0)) + 1))
    return [int(value) for value in np.unique(truth) if value]


def _shown_frames(preset: Preset, length: int, sequence: str) -> slice:
    shown = slice(1, max(length - 1, 1)) if preset.frames == "inner" else slice(0, length)
    if not range(*shown.indices(length)):
        raise MaskError(
            "no frame is left to score",
            where=f"sequence {sequence}",
            found=f"{length} frames, of which preset {preset.name} scores {preset.frames}",
        )
    return shown


def _count(
    preset: Preset, truth: NDArray[np.bool_], predicted: NDArray[np.bool_], engine: str
) -> CountedTrack:
    if preset.tolerance != "frame-diagonal":
        published = preset.tolerance == "object-size-as-published"
        return count_at_object_size(truth, predicted, as_published=published, engine=engine)
    height, width = truth.shape[1:]
    areas = np.count_nonzero(truth, axis=(1, 2)).astype(np.int64)
    counts = mask_counts(truth, predicted, boundary_radius(height, width), engine)
    return CountedTrack(counts, areas, height * width)


def _unit(
    preset: Preset,
    sequence: str,
    name: str,
    group: str | None,
    track: CountedTrack,
    foreground_areas: Areas | None = None,
) -> UnitScore:
    if preset.never_seen != "counted" and not track.truth_areas.any():
        if preset.never_seen == "left-out":
            return UnitScore(sequence, name, group, 0, {})
        raise MaskError("the truth never shows this object", where=f"sequence {sequence}, {name}")
    if preset.counted_from == "first-seen":
        seen = (track.truth_areas > 0) | (track.predicted_areas > 0)
        first = int(np.argmax(seen))
        track = track.frames(slice(first, None))
        foreground_areas = None if foreground_areas is None else foreground_areas[first:]
    return UnitScore(sequence, name, group, len(track), _measures(preset, track, foreground_areas))


def _measures(preset: Preset, track: CountedTrack, foreground_areas: Areas | None) -> dict[str, float]:
    plus_one = preset.region == "iou-plus-one"
    j = families.region_similarity_plus_one(track.counts) if plus_one else region_similarity(track.counts)
    measured = {name: _measure(name, track, j, foreground_areas) for name in preset.measures}
    return {name: value for name, value in measured.items() if value is not None}


def _measure(name: str, track: CountedTrack, j: Scores, foreground_areas: Areas | None) -> float | None:
    if name == "A":
        return float(np.mean(families.pixel_accuracy(track)))
    if name == "R":
        if foreground_areas is None:
            raise MaskError("measure R needs the pixels of all annotated objects in each frame")
        return float(np.mean(families.robustness(track, foreground_areas)))
    if name == "tIoU":
        return families.temporal_iou(track)
    if name == "vIoU":
        return families.volumetric_iou(track)
    if name == "F-at-frame-tolerance":
        other = track.at_frame_tolerance
        return float(np.mean(boundary_accuracy(track.counts if other is None else other)))
    values = j if name.startswith("J") else boundary_accuracy(track.counts)
    for kind in KINDS:
        if name.endswith(f"-{kind}"):
            return segment_mean(values, track.truth_areas, kind)
    if name.endswith("-recall"):
        return families.recall(values)
    return families.decay(values) if name.endswith("-decay") else float(np.mean(values))


def _assigned(
    preset: Preset,
    sequence: str,
    truth: IndexMaps,
    predicted: IndexMaps,
    ids: Sequence[int],
    engine: str,
) -> list[UnitScore]:
    """Objects with the proposals that give the best total of J and F."""
    proposals = int(predicted.max(initial=0))
    if proposals > MOST_PROPOSALS:
        raise PredictionError(
            "the prediction holds more proposals than the preset allows",
            where=f"sequence {sequence}",
            expected=f"ids up to {MOST_PROPOSALS}",
            found=str(proposals),
        )
    # An object without a proposal is scored against an empty one.
    numbers = range(1, max(proposals, len(ids)) + 1)
    counted = [[_count(preset, truth == one, predicted == other, engine) for other in numbers] for one in ids]
    totals = np.array([[_total(track) for track in row] for row in counted]).reshape(len(ids), len(numbers))
    chosen = best_assignment(totals)
    return [
        _unit(preset, sequence, str(number), None, row[column])
        for number, row, column in zip(ids, counted, chosen, strict=True)
    ]


def _total(track: CountedTrack) -> float:
    j, f = region_similarity(track.counts), boundary_accuracy(track.counts)
    return float((np.mean(j) + np.mean(f)) / 2)


def best_assignment(gains: NDArray[Any]) -> list[int]:
    """For each row of an (N, M) table with N <= M, the column that makes the total of the gains largest.

    The Hungarian method with potentials; among equal totals the choice is deterministic.
    """
    rows, columns = gains.shape
    cost = -np.asarray(gains, np.float64)
    row_price, column_price = np.zeros(rows + 1), np.zeros(columns + 1)
    owner = np.zeros(columns + 1, int)  # the row of each column, counted from 1; column 0 is the start
    for row in range(1, rows + 1):
        owner[0], column = row, 0
        slack, came_from = np.full(columns + 1, np.inf), np.zeros(columns + 1, int)
        done = np.zeros(columns + 1, bool)
        while owner[column]:
            done[column] = True
            here = owner[column]
            reduced = cost[here - 1] - row_price[here] - column_price[1:]
            better = ~done[1:] & (reduced < slack[1:])
            slack[1:][better], came_from[1:][better] = reduced[better], column
            open_slack = np.where(done[1:], np.inf, slack[1:])
            following = int(np.argmin(open_slack)) + 1
            step = open_slack[following - 1]
            row_price[owner[done]] += step
            column_price[done] -= step
            slack[1:][~done[1:]] -= step
            column = following
        while column:
            owner[column] = owner[came_from[column]]
            column = came_from[column]
    result = [0] * rows
    for column in range(1, columns + 1):
        if owner[column]:
            result[owner[column] - 1] = column - 1
    return result
