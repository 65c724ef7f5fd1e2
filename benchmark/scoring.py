"""Stored predictions against truth, one video at a time: counts of frames to scores of expressions.

Expressions of a video often mean the same objects. Each distinct set of objects is one truth track: made
once, and counted against everything that is claimed to be it in one go (`engines.group_counts`).

Videos are read in the order of the dataset. A few are in flight at once, their expressions counted on
threads (the engines leave the interpreter free while they count); what stays in memory afterwards is a
small record per expression, and the counts of frames go to a temporary file.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from benchmark.aggregate import MISSING, ExpressionScore, track_score
from benchmark.datasets import Dataset
from benchmark.errors import MaskError, PredictionError
from benchmark.masks import empty_track
from benchmark.metrics.definition import Counts, boundary_radius
from benchmark.metrics.engines import group_counts, track_counts
from benchmark.prediction_records import StoredPrediction
from benchmark.protocol import Protocol
from benchmark.results import ExpressionRow, FrameCounts, FrameTrack, TemporaryRows
from benchmark.role_errors import RoleOutcome, is_misplaced, overlap
from benchmark.types import Expression, MaskTrack, Role, Video

Answers = Mapping[str, StoredPrediction]
Objects = tuple[str, ...]
"""Ids of annotated objects, each once, in order."""


class Claim(NamedTuple):
    """The track predicted for a role of an expression, which is to be compared with a truth."""

    expression_id: str
    role: Role


@dataclass(frozen=True, slots=True)
class Truth:
    """A truth track, with its counts against a prediction without pixels and against what was predicted."""

    track: MaskTrack
    alone: Counts
    claimed: Mapping[Claim, Counts]


@dataclass(frozen=True, slots=True)
class Asked:
    """One expression with its truth and its answer, ready to be counted on any thread."""

    video: Video
    expression: Expression
    answer: StoredPrediction | None
    truths: Mapping[Role, Future[Truth]]
    protocols: tuple[Protocol, ...]
    engine: str


@dataclass(frozen=True, slots=True)
class ScoredExpression:
    """Everything that is kept of one expression; `counts` goes to the frame file."""

    rows: tuple[ExpressionRow, ...]
    video_id: str
    outcome: RoleOutcome
    counts: tuple[tuple[FrameTrack, Counts], ...]
    digest: bytes
    answered: bool
    seconds: float | None
    peak_memory_bytes: int | None
    gpu_seconds: float | None
    peak_gpu_memory_bytes: int | None
    frames: int


def score_videos(
    dataset: Dataset,
    videos: Sequence[Video],
    answers_of: Iterator[Answers],
    protocols: tuple[Protocol, ...],
    engine: str,
) -> Iterator[list[ScoredExpression]]:
    """The scored expressions of each video, in the order given.

    Args:
        videos: what to score; each one's answers come from `answers_of` in the same order.

    Raises:
        PredictionError: when a predicted track does not fit its truth.
    """
    workers = usable_cores()
    in_flight: deque[list[Future[ScoredExpression]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="count") as pool:
        try:
            for video, answers in zip(videos, answers_of, strict=True):
                in_flight.append(_submit(pool, dataset, video, answers, protocols, engine))
                if len(in_flight) > workers:
                    yield [future.result() for future in in_flight.popleft()]
            while in_flight:
                yield [future.result() for future in in_flight.popleft()]
        finally:
            # After an error nobody wants the rest.
            for futures in in_flight:
                for future in futures:
                    future.cancel()


def usable_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _submit(
    pool: ThreadPoolExecutor,
    dataset: Dataset,
    video: Video,
    answers: Answers,
    protocols: tuple[Protocol, ...],
    engine: str,
) -> list[Future[ScoredExpression]]:
    wanted_of = {
        expression.expression_id: tuple(protocol for protocol in protocols if protocol.selects(expression))
        for expression in video.expressions
    }
    objects_of = {
        expression.expression_id: _objects(expression, bool(wanted_of[expression.expression_id]))
        for expression in video.expressions
    }
    claims: dict[Objects, dict[Claim, MaskTrack]] = {}
    for expression_id, by_role in objects_of.items():
        for truth_role, objects in by_role.items():
            own = claims.setdefault(objects, {})
            for role in _compared_roles(answers.get(expression_id), truth_role, by_role):
                track = _claimed(answers.get(expression_id), role)
                if track is not None:
                    own[Claim(expression_id, role)] = track
    # Truths are queued before the expressions that wait for them, so no thread waits for ever.
    truths = {
        objects: pool.submit(_count_truth, dataset.truth(video, objects), own, engine, (video, objects))
        for objects, own in claims.items()
    }
    futures = []
    for expression in video.expressions:
        known = {role: truths[objects] for role, objects in objects_of[expression.expression_id].items()}
        answer = answers.get(expression.expression_id)
        asked = Asked(video, expression, answer, known, wanted_of[expression.expression_id], engine)
        futures.append(pool.submit(_score, asked))
    return futures


def _objects(expression: Expression, wanted: bool) -> dict[Role, Objects]:
    """The distinct objects behind each role whose truth is needed."""
    roles = {}
    if wanted or expression.is_interaction:
        roles[Role.ACTOR] = tuple(sorted(set(expression.actor_ids)))
    if expression.is_interaction:
        roles[Role.TARGET] = tuple(sorted(set(expression.target_ids)))
    return roles


def _compared_roles(
    answer: StoredPrediction | None, truth_role: Role, roles: Collection[Role]
) -> tuple[Role, ...]:
    """The roles whose predictions will be compared with a truth.

    Whether roles are swapped is asked of every interaction, and first of its actor.
    """
    if truth_role is Role.TARGET and Role.ACTOR in roles and _shows_both(answer):
        return (Role.TARGET, Role.ACTOR)
    return (truth_role,)


def _count_truth(
    track: MaskTrack, claims: Mapping[Claim, MaskTrack], engine: str, where: tuple[Video, Objects]
) -> Truth:
    nothing = empty_track(len(track), track.height, track.width)
    radius = boundary_radius(track.height, track.width)
    try:
        *counts, alone = group_counts(track, [*claims.values(), nothing], radius, engine)
    except MaskError as error:
        if claims:
            # The group does not know whose mask it was; counted one by one, `_count` names it.
            return _count_truth(track, {}, engine, where)
        video, objects = where
        problem = error.problems[0]
        place = f"video {video.video_id}, annotation {', '.join(objects)}"
        raise MaskError(
            replace(problem, where=f"{place}{', ' + problem.where if problem.where else ''}")
        ) from error
    return Truth(track, alone, dict(zip(claims, counts, strict=True)))


def _score(asked: Asked) -> ScoredExpression:
    answer = asked.answer
    counts = {role: _count(asked, role, role) for role in asked.truths}
    outcome = _role_outcome(asked, counts)
    rows = tuple(_row(asked, protocol, counts[protocol.role], outcome) for protocol in asked.protocols)
    scored_roles = dict.fromkeys(protocol.role for protocol in asked.protocols)
    return ScoredExpression(
        rows=rows,
        video_id=asked.video.video_id,
        outcome=outcome,
        counts=tuple((_frame_track(asked, role, len(counts[role])), counts[role]) for role in scored_roles),
        digest=answer_digest(asked.video.video_id, asked.expression.expression_id, answer),
        answered=answer is not None,
        seconds=answer.seconds if answer else None,
        peak_memory_bytes=answer.peak_memory_bytes if answer else None,
        gpu_seconds=answer.gpu_seconds if answer else None,
        peak_gpu_memory_bytes=answer.peak_gpu_memory_bytes if answer else None,
        frames=len(asked.video.frame_names),
    )


def _is_zero(answer: StoredPrediction | None) -> bool:
    return answer is None or answer.status.failed


def _claimed(answer: StoredPrediction | None, role: Role) -> MaskTrack | None:
    """The track an answer claims for a role; failed and missing answers claim none."""
    if answer is None or answer.status.failed:
        return None
    return answer.actor if role is Role.ACTOR else answer.target


def _count(asked: Asked, truth_role: Role, predicted_role: Role) -> Counts:
    truth = asked.truths[truth_role].result()
    predicted = _claimed(asked.answer, predicted_role)
    if predicted is None:
        return truth.alone
    known = truth.claimed.get(Claim(asked.expression.expression_id, predicted_role))
    if known is not None:
        return known
    try:
        radius = boundary_radius(truth.track.height, truth.track.width)
        return track_counts(truth.track, predicted, radius, asked.engine)
    except MaskError as error:
        problem = error.problems[0]
        place = f"video {asked.video.video_id}, expression {asked.expression.expression_id}"
        raise PredictionError(
            problem.what,
            where=f"{place}, {predicted_role}{', ' + problem.where if problem.where else ''}",
            expected=problem.expected,
            found=problem.found,
            fix=problem.fix or "predict this expression again on the frames of this dataset",
        ) from error


def _role_outcome(asked: Asked, counts: Mapping[Role, Counts]) -> RoleOutcome:
    target = _claimed(asked.answer, Role.TARGET)
    shown = target is not None and not target.is_empty
    swapped = None
    if asked.expression.is_interaction and _shows_both(asked.answer):
        # The second half is rarely asked for: most predicted actors lie on the true one.
        swapped = _is_misplaced(asked, counts, Role.ACTOR, Role.TARGET) and _is_misplaced(
            asked, counts, Role.TARGET, Role.ACTOR
        )
    return RoleOutcome(asked.expression.is_interaction, target is not None, shown, swapped)


def _shows_both(answer: StoredPrediction | None) -> bool:
    tracks = (_claimed(answer, role) for role in (Role.ACTOR, Role.TARGET))
    return all(track is not None and not track.is_empty for track in tracks)


def _is_misplaced(asked: Asked, counts: Mapping[Role, Counts], own: Role, other: Role) -> bool:
    return is_misplaced(overlap(counts[own]), overlap(_count(asked, truth_role=other, predicted_role=own)))


def _row(asked: Asked, protocol: Protocol, counts: Counts, outcome: RoleOutcome) -> ExpressionRow:
    truth, expression = asked.truths[protocol.role].result(), asked.expression
    score = ExpressionScore(
        setting=protocol.name,
        video_id=asked.video.video_id,
        expression_id=expression.expression_id,
        expression=expression.text,
        caption_type=expression.caption_type,
        target_count=len(expression.target_ids),
        tags=expression.tags,
        status=asked.answer.status.value if asked.answer else MISSING,
        track=track_score(
            counts,
            truth.alone[:, 1],  # the union with nothing is the truth itself
            truth.track.height * truth.track.width,
            zero=_is_zero(asked.answer),
        ),
    )
    return ExpressionRow(score, outcome, asked.answer.seconds if asked.answer else None)


def _frame_track(asked: Asked, role: Role, frames: int) -> FrameTrack:
    video_id, expression_id = asked.video.video_id, asked.expression.expression_id
    # `first` is known only when the tracks are laid one behind the other.
    return FrameTrack(video_id, expression_id, role, 0, frames, _is_zero(asked.answer))


def answer_digest(video_id: str, expression_id: str, answer: StoredPrediction | None) -> bytes:
    """SHA-256 of one answer: its status and its masks, whatever container they came in.

    Mask text is canonical in every `MaskTrack`, so equal masks give equal digests. "No track" differs
    from a track without pixels.
    """
    digest = hashlib.sha256()
    status = answer.status.value if answer else MISSING
    digest.update(f"{len(video_id)} {video_id} {len(expression_id)} {expression_id} {status}\n".encode())
    for track in (answer.actor, answer.target) if answer else ():
        if track is None:
            digest.update(b"none\n")
        else:
            digest.update(f"{len(track)} {track.height} {track.width}\n".encode())
            digest.update(b"\n".join(text or b"" for text in track.counts))
    return digest.digest()


class FrameSpool:
    """Counts of frames on their way to disk."""

    def __init__(self) -> None:
        self.rows = TemporaryRows()
        self.tracks: list[FrameTrack] = []
        self.frames = 0

    def add(self, track: FrameTrack, counts: Counts) -> None:
        """Append the (T, 6) counts of one track."""
        limit = np.iinfo(np.int32).max
        if counts.size and int(counts.max()) > limit:
            raise MaskError("a frame is too large for the frame file", expected=f"at most {limit} pixels")
        self.rows.file.write(counts.astype("<i4").tobytes())
        self.tracks.append(replace(track, first=self.frames))
        self.frames += track.frames

    def finished(self) -> FrameCounts:
        """All that was added."""
        self.rows.file.flush()
        return FrameCounts(self.rows, tuple(self.tracks))
