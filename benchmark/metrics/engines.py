"""Choosing an engine and counting tracks with it.

Every engine returns the same integers for the same masks:

    reference   `definition`, on dense masks; the one to read, and the slowest
    numpy       `packed_engine`, bit-packed lines in NumPy
    cpu         `compiled_engine`, the C core; where it was not built, `numpy` with a note in the log
    cuda        `device_engine`, on a GPU; for masks that are there already and for large batches
    auto        the fastest one on this machine's processor
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import MaskError, UsageError
from benchmark.masks import decode_track, encode_track
from benchmark.metrics import compiled_engine, device_engine, device_texts, packed_engine
from benchmark.metrics.definition import COLUMNS, Counts, check_radius, frame_counts
from benchmark.types import BoolMasks, MaskTrack

ENGINES = ("auto", "reference", "numpy", "cpu", "cuda")

TrackPair = tuple[MaskTrack, MaskTrack, int]
"""Truth, prediction and boundary radius of one pair of tracks."""

FRAMES_A_GROUP = 200
"""Frames that a thread counts before it comes back: a millisecond or more of work without the GIL."""

_LOG = logging.getLogger(__name__)


def track_counts(truth: MaskTrack, predicted: MaskTrack, radius: int, engine: str = "auto") -> Counts:
    """The six integers of every frame of two tracks, shape (T, 6) in the order of `COLUMNS`.

    The compiled engine runs without the GIL, so threads help.

    Args:
        truth, predicted: tracks of one size and length.
        radius: boundary tolerance in pixels, usually `boundary_radius(height, width)`.
        engine: one of `ENGINES`; the result does not depend on it.

    Raises:
        MaskError: when the tracks differ in size or length, or a frame's text does not decode (the
            message names the frame).
        ProtocolError: when the radius is negative.
        UsageError: when there is no such engine.
        EnvironmentProblem: when an instruction set was asked for that this machine lacks.
    """
    counts: Counts = group_counts(truth, (predicted,), radius, engine)[0]
    return counts


def group_counts(
    truth: MaskTrack, predictions: Sequence[MaskTrack], radius: int, engine: str = "auto"
) -> Counts:
    """`track_counts` of N predictions of one truth, shape (N, T, 6).

    Faster than one at a time: each frame of the truth is decoded, bounded and dilated once.

    Args and Raises: as `track_counts`; a message does not say which prediction it is about.
    """
    chosen = resolved_engine(engine)
    check_radius(radius)
    for predicted in predictions:
        _check_alike(
            (len(truth), truth.height, truth.width), (len(predicted), predicted.height, predicted.width)
        )
    if chosen == "reference":
        dense = _decoded(truth, "truth")
        counts = [
            _reference_counts(dense, _decoded(predicted, "prediction"), radius) for predicted in predictions
        ]
        return np.array(counts, np.int64).reshape(len(predictions), len(truth), len(COLUMNS))
    count = {
        "cpu": compiled_engine.group_counts,
        "numpy": packed_engine.group_counts,
        "cuda": device_texts.group_counts,
    }[chosen]
    texts = [predicted.counts for predicted in predictions]
    return count(truth.counts, texts, truth.height, truth.width, radius)


def pair_counts(
    pairs: Iterable[TrackPair], engine: str = "auto", threads: int | None = None
) -> Iterator[Counts]:
    """`track_counts` of many track pairs, in their order, on several threads.

    Pairs are taken from the iterable only a few ahead of the results, so memory does not grow with
    their number.

    Args:
        pairs: (truth, prediction, radius) of each pair.
        engine: one of `ENGINES`.
        threads: how many to use, the caller's own among them; as many as the process may use processors
            when `None`.

    Raises:
        the errors of `track_counts`, when the pair's turn comes.
    """
    threads = threads or usable_processors()
    if threads == 1:
        for truth, predicted, radius in pairs:
            yield track_counts(truth, predicted, radius, engine)
        return
    waiting: deque[_Task] = deque()
    with ThreadPoolExecutor(threads - 1) as pool:
        for group in _groups(pairs):
            waiting.append(_Task(group, pool.submit(_counts_of_group, group, engine)))
            if len(waiting) > 4 * threads:
                yield from _first_answers(waiting, engine)
        while waiting:
            yield from _first_answers(waiting, engine)


@dataclass
class _Task:
    """Pairs that were given to a thread, and what came of them if the caller took them back."""

    pairs: list[TrackPair]
    given: Future[list[Counts | Exception]]
    taken: list[Counts | Exception] | None = None


def _first_answers(waiting: deque[_Task], engine: str) -> Iterator[Counts]:
    """Counts of the first task, which leaves the queue.

    Until they are there the caller counts what no thread has begun: were it only to wait, it would take a
    processor from a thread each time it wakes up.
    """
    first = waiting[0]
    while first.taken is None and not first.given.done():
        mine = next((task for task in waiting if task.taken is None and task.given.cancel()), None)
        if mine is None:
            break
        mine.taken = _counts_of_group(mine.pairs, engine)
    waiting.popleft()
    for answer in first.given.result() if first.taken is None else first.taken:
        if isinstance(answer, Exception):
            raise answer
        yield answer


def _groups(pairs: Iterable[TrackPair]) -> Iterator[list[TrackPair]]:
    """Consecutive pairs of so many frames that handing them to a thread costs next to nothing."""
    group: list[TrackPair] = []
    frames = 0
    for pair in pairs:
        group.append(pair)
        frames += len(pair[0])
        if frames >= FRAMES_A_GROUP:
            yield group
            group, frames = [], 0
    if group:
        yield group


def _counts_of_group(group: Sequence[TrackPair], engine: str) -> list[Counts | Exception]:
    """Counts of each pair; ends with the error of the first that has one."""
    answers: list[Counts | Exception] = []
    for truth, predicted, radius in group:
        try:
            answers.append(track_counts(truth, predicted, radius, engine))
        except Exception as error:
            answers.append(error)
            break
    return answers


def mask_counts(truth: NDArray[Any], predicted: NDArray[Any], radius: int, engine: str = "auto") -> Counts:
    """The six integers of every frame of two dense tracks; any non-zero pixel is foreground.

    Args:
        truth, predicted: (T, H, W) arrays of bool or uint8.
        radius: boundary tolerance in pixels.
        engine: one of `ENGINES`.

    Raises:
        MaskError: when the arrays are not of that kind or differ in shape.
        ProtocolError, UsageError, EnvironmentProblem: as in `track_counts`.
    """
    chosen = resolved_engine(engine)
    check_radius(radius)
    for masks in (truth, predicted):
        if masks.ndim != 3 or masks.dtype not in (np.bool_, np.uint8) or 0 in masks.shape[1:]:
            raise MaskError(
                "dense masks must be a (T, H, W) array of bool or uint8",
                found=f"shape {masks.shape} of {masks.dtype}",
                fix="threshold logits or probabilities first",
            )
    _check_alike(truth.shape, predicted.shape)
    if chosen == "reference":
        return _reference_counts(truth, predicted, radius)
    if chosen == "cuda":
        return device_engine.mask_counts(truth, predicted, radius)
    if chosen == "cpu" and compiled_engine.can_count_masks(truth.shape[1], truth.shape[2], radius):
        return compiled_engine.mask_counts(truth, predicted, radius)
    return track_counts(encode_track(truth), encode_track(predicted), radius, chosen)


def resolved_engine(engine: str) -> str:
    """The engine that will do the work: "reference", "numpy", "cpu" or "cuda".

    Raises:
        UsageError: when there is no such engine.
        EnvironmentProblem: when "cuda" is asked for and torch or a CUDA device is missing.
    """
    if engine not in ENGINES:
        raise UsageError("unknown metric engine", expected=" or ".join(ENGINES), found=engine)
    if engine in ("auto", "cpu"):
        if compiled_engine.available():
            return "cpu"
        _say_once_that_it_is_slower()
        return "numpy"
    if engine == "cuda":
        device_engine.require_device()
    return engine


def usable_processors() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _say_once_that_it_is_slower() -> None:
    _LOG.warning(
        "the compiled metric core is not there (%s); counting with NumPy, the same numbers about 40 times "
        "slower. A C compiler at installation brings it back.",
        compiled_engine.MISSING_REASON,
    )


def _decoded(track: MaskTrack, side: str) -> BoolMasks:
    try:
        return decode_track(track)
    except MaskError as error:
        problem = error.problems[0]
        raise MaskError(replace(problem, where=f"{problem.where} of the {side}")) from error


def _reference_counts(truth: NDArray[Any], predicted: NDArray[Any], radius: int) -> Counts:
    rows = [frame_counts(*pair, radius) for pair in zip(truth, predicted, strict=True)]
    return np.array(rows, np.int64).reshape(len(truth), len(COLUMNS))


def _check_alike(truth: tuple[int, ...], predicted: tuple[int, ...]) -> None:
    if truth[1:] != predicted[1:]:
        raise MaskError(
            "prediction and truth differ in frame size",
            expected=f"{truth[1]}x{truth[2]} as in the truth",
            found=f"{predicted[1]}x{predicted[2]}",
        )
    if truth[0] != predicted[0]:
        raise MaskError(
            "prediction and truth differ in length",
            expected=f"{truth[0]} frames as in the truth",
            found=f"{predicted[0]} frames",
        )
