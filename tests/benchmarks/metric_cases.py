"""The masks and the contestants of the metric benchmarks.

Masks are `object_pair`s: objects of a few limbs and predictions of them, coarse, shifted, with lost parts
and false blobs; the median covers some 4% of the frame and takes some 650 bytes of run lengths at 480p.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.masks import encode_track
from benchmark.metrics import compiled_engine, packed_engine
from benchmark.metrics.definition import COLUMNS, boundary_radius
from benchmark.metrics.scores import boundary_accuracy, region_similarity
from benchmark.types import MaskTrack
from tests.benchmark.mask_generators import object_mask, object_pair, predicted_mask
from tests.benchmarks.dense_peer import Evaluator, davis2017, stand_in

SIZES = {"480p": (480, 854), "720p": (720, 1280), "1080p": (1080, 1920)}

Scores = NDArray[np.float64]
Job = Callable[[], Scores]
"""Scores every pair of a case; the result holds J and F, shape (2, T)."""


@dataclass(frozen=True)
class Case:
    """Pairs of one frame size, dense and as run-length text."""

    truth: NDArray[np.bool_]
    predicted: NDArray[np.bool_]
    truth_track: MaskTrack
    predicted_track: MaskTrack
    radius: int

    def __len__(self) -> int:
        return len(self.truth_track)


def make_case(size: str, pairs: int, seed: int = 7) -> Case:
    """Pairs of a named size, the same for a seed."""
    rng = np.random.default_rng(seed)
    drawn = [object_pair(rng, *SIZES[size]) for _ in range(pairs)]
    truth, predicted = (np.array([pair[side] for pair in drawn]) for side in (0, 1))
    tracks = encode_track(truth), encode_track(predicted)
    return Case(truth, predicted, *tracks, boundary_radius(*SIZES[size]))


def peer_of(case: Case) -> tuple[str, Evaluator]:
    """Name and function of the evaluator to measure against: the DAVIS code, or the stand-in."""
    evaluate, _ = davis2017()
    if evaluate:
        return "davis2017", evaluate
    return "stand-in", stand_in(case.truth_track.height, case.truth_track.width)


def peer_job(case: Case, evaluate: Evaluator) -> Job:
    """Every pair of a case by a dense evaluator."""
    return lambda: np.array([evaluate(*pair) for pair in zip(case.truth, case.predicted, strict=True)]).T


def our_jobs(case: Case) -> dict[str, Job]:
    """Our engines on a case, from text and from bytes, by name."""
    truth, predicted = case.truth_track, case.predicted_track
    texts = truth.counts, predicted.counts, truth.height, truth.width, case.radius
    jobs: dict[str, Job] = {}
    for level in compiled_engine.levels():
        jobs[f"text, {level}"] = lambda level=level: _scores(compiled_engine.track_counts(*texts, level))
    for level in compiled_engine.levels():
        jobs[f"bytes, {level}"] = lambda level=level: _scores(
            compiled_engine.mask_counts(case.truth, case.predicted, case.radius, level)
        )
    jobs["text, numpy"] = lambda: _scores(packed_engine.track_counts(*texts))
    return jobs


@dataclass(frozen=True)
class SharedTruth:
    """One truth track and several predictions of it, as run-length text."""

    truth: tuple[bytes | None, ...]
    predictions: tuple[tuple[bytes | None, ...], ...]
    shape: tuple[int, int, int]
    """Height, width and tolerance."""


def shared_truth(size: str, frames: int, predictions: int, seed: int = 7) -> SharedTruth:
    """A track of a named size and predictions of it, the same for a seed."""
    rng = np.random.default_rng(seed)
    truth = [object_mask(rng, *SIZES[size]) for _ in range(frames)]
    masks = [[predicted_mask(rng, mask) for mask in truth] for _ in range(predictions)]
    claims = tuple(encode_track(np.array(each)).counts for each in masks)
    return SharedTruth(
        encode_track(np.array(truth)).counts, claims, (*SIZES[size], boundary_radius(*SIZES[size]))
    )


def shared_truth_jobs(case: SharedTruth, predictions: int, level: str) -> dict[str, Job]:
    """The first few predictions of one truth track on one instruction set: one by one, and together."""
    claims = case.predictions[:predictions]
    return {
        "one by one": lambda: _scores(
            np.concatenate(
                [compiled_engine.track_counts(case.truth, each, *case.shape, level) for each in claims],
                dtype=np.int64,
            )
        ),
        "together": lambda: _scores(
            compiled_engine.group_counts(case.truth, claims, *case.shape, level).reshape(-1, len(COLUMNS))
        ),
    }


def _scores(counts: NDArray[np.int64]) -> Scores:
    return np.array([region_similarity(counts), boundary_accuracy(counts)])
