"""Measures around J and F by closed forms and against dense masks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.errors import MaskError, ProtocolError
from benchmark.metrics import families
from benchmark.metrics.definition import boundary_radius
from benchmark.metrics.engines import mask_counts
from benchmark.metrics.families import CountedTrack
from benchmark.metrics.scores import boundary_accuracy, region_similarity
from tests.benchmark.golden_clips import expression_clips

GOLDEN = Path(__file__).parent / "golden"


def counted(truth: np.ndarray, predicted: np.ndarray) -> CountedTrack:
    counts = mask_counts(truth, predicted, boundary_radius(*truth.shape[1:]))
    return CountedTrack(counts, truth.sum(axis=(1, 2)), truth[0].size)


def random_track(seed: int) -> tuple[np.ndarray, np.ndarray, CountedTrack]:
    rng = np.random.default_rng(seed)
    frames, height, width = (int(side) for side in rng.integers(1, 12, 3))
    truth, predicted = (rng.random((frames, height, width)) < rng.choice([0, 0.2, 0.7]) for _ in range(2))
    truth[rng.random(frames) < 0.3] = False
    return truth, predicted, counted(truth, predicted)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**9))
def test_everything_follows_from_the_counts(seed: int) -> None:
    truth, predicted, track = random_track(seed)
    assert track.predicted_areas.tolist() == predicted.sum(axis=(1, 2)).tolist()
    assert track.false_pixels.tolist() == (predicted & ~truth).sum(axis=(1, 2)).tolist()
    assert families.pixel_accuracy(track).tolist() == (truth == predicted).mean(axis=(1, 2)).tolist()
    union = (truth | predicted).sum()
    assert families.overall_iou([track]) == ((truth & predicted).sum() / union if union else 1.0)
    shown = truth.any(axis=(1, 2)), predicted.any(axis=(1, 2))
    either = (shown[0] | shown[1]).sum()
    assert families.temporal_iou(track) == ((shown[0] & shown[1]).sum() / either if either else 1.0)
    assert 0 <= families.volumetric_iou(track) <= families.temporal_iou(track) <= 1
    absent = ~shown[0]
    assert families.absence_accuracy(track) == (np.mean(~shown[1][absent]) if absent.any() else None)
    assert families.mean_iou([track]) == np.mean(region_similarity(track.counts))
    foreground = (truth | (np.arange(truth.shape[2]) % 2 == 0)).sum(axis=(1, 2))
    r = families.robustness(track, foreground)
    assert np.all((r >= 0) & (r <= 1))
    # Without overlapping instances, the script that reads 0 and 1 computes what is meant.
    assert families.published_robustness(track, foreground, "sa2va").tolist() == r.tolist()
    assert (
        families.published_pixel_accuracy(track, "sa2va").tolist() == families.pixel_accuracy(track).tolist()
    )


def test_pooled_and_mean_overlap_differ() -> None:
    truth = np.ones((2, 10, 10), bool)
    small = np.zeros((1, 10, 10), bool)
    small[0, 0, 0] = True
    tracks = [counted(truth, truth), counted(small, ~small)]
    assert families.overall_iou(tracks) == 200 / 300
    assert families.mean_iou(tracks) == 2 / 3
    nothing = np.zeros((1, 2, 2), bool)
    assert families.overall_iou([counted(nothing, nothing)]) == 1.0


def test_overlaps_are_those_of_referring_segmentation() -> None:
    """Two evaluators on every frame of the clips; ReferFormer's mean has 1e-6 added to each fraction."""
    golden = json.loads((GOLDEN / "overlaps.json").read_text())
    tracks = [
        counted(clip.instances[list(ids)].any(axis=0), predicted)
        for clip in expression_clips()
        for ids, predicted in zip(clip.expressions, clip.predicted, strict=True)
    ]
    j = np.concatenate([region_similarity(track.counts) for track in tracks])
    assert list(families.precision_at(j).values()) == golden["ReferFormer"]["P@K"]
    assert families.overall_iou(tracks) == golden["ReferFormer"]["O-IoU"]
    assert families.mean_iou(tracks) == pytest.approx(golden["ReferFormer"]["M-IoU"], abs=1e-6)
    assert 100 * families.overall_iou(tracks) == pytest.approx(golden["ReLA"]["cIoU"], abs=1e-12)
    assert 100 * families.mean_iou(tracks) == pytest.approx(golden["ReLA"]["gIoU"], abs=1e-12)
    absent = [track.frames(track.truth_areas == 0) for track in tracks]
    frames = [len(track) for track in absent]
    left_empty = [families.absence_accuracy(track) or 0.0 for track in absent]
    assert np.average(left_empty, weights=frames) == pytest.approx(golden["ReLA"]["N_acc"], abs=1e-15)
    assert sum(frames) == 18


def test_statistics_of_a_ramp() -> None:
    ramp = np.linspace(1, 0, 9)  # quarters of three frames, ends shared
    assert families.decay(ramp) == pytest.approx(0.75)
    assert families.decay(ramp, davis2017_uint8_bins=True) == families.decay(ramp)
    assert families.recall(ramp) == 4 / 9  # 0.5 itself does not count
    assert families.precision_at(ramp, (0.1, 0.9)) == {0.1: 8 / 9, 0.9: 1 / 9}
    long = np.linspace(1, 0, 400)
    assert families.decay(long) == pytest.approx(0.75, abs=0.01)
    assert abs(families.decay(long, davis2017_uint8_bins=True) - 0.75) > 0.3
    for measure in (families.decay, families.recall):
        with pytest.raises(MaskError, match="no frame"):
            measure(np.zeros(0))


def test_a_full_frame_against_an_absent_object() -> None:
    """The official F of such a frame is 1; the rule for absent frames says 0."""
    truth, full = np.zeros((2, 6, 6), bool), np.ones((2, 6, 6), bool)
    full[1] = False
    track = counted(truth, full)
    assert families.absence_accuracy(track) == 0.5
    assert boundary_accuracy(track.counts).tolist() == [1.0, 1.0]
    assert region_similarity(track.counts).tolist() == [0.0, 1.0]
    peer = [
        (float.fromhex(pair["J"]), float.fromhex(pair["F"]))
        for pair in json.loads((GOLDEN / "davis2017.json").read_text())["pairs"]
        if pair["counts"][:2] == [0, pair["size"][0] * pair["size"][1]] and pair["masks"][0] is None
    ]
    assert peer == [(0.0, 1.0)] * 2  # the DAVIS 2017 code says so, too
    assert families.region_similarity_plus_one(track.counts).tolist() == [1 / 37, 1.0]
    assert len(track.frames(slice(1, None))) == 1


def test_tolerance() -> None:
    assert families.tolerance_radius(480, 854) == boundary_radius(480, 854) == 8
    assert families.tolerance_radius(480, 854, 0.02) == 20
    assert families.tolerance_radius(480, 854, 3) == 3
    assert families.tolerance_radius(480, 854, 0) == 0
    for share in (-0.1, 1.5, float("nan")):
        with pytest.raises(ProtocolError, match="share of the diagonal"):
            families.tolerance_radius(480, 854, share)


def test_no_such_script() -> None:
    _, _, track = random_track(0)
    for measure in (
        lambda: families.published_pixel_accuracy(track, "other"),
        lambda: families.published_robustness(track, track.truth_areas, "other"),
    ):
        with pytest.raises(ProtocolError, match="visa or sa2va"):
            measure()
