"""Stored predictions against truth, one video at a time: counts of frames to scores of expressions.

Videos are read in the order of the dataset. A few are in flight at once, their expressions counted on
threads (the engines leave the interpreter free while they count); what stays in memory afterwards is a
small record per expression, and the counts of frames go to a temporary file.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from benchmark.aggregate import MISSING, ExpressionScore, track_score
from benchmark.datasets import Dataset
from benchmark.errors import MaskError, PredictionError
from benchmark.masks import empty_track
from benchmark.metrics.definition import Counts, boundary_radius
from benchmark.metrics.engines import track_counts
from benchmark.prediction_records import StoredPrediction
from benchmark.protocol import Protocol
from benchmark.results import ExpressionRow, FrameCounts, FrameTrack, TemporaryRows
from benchmark.role_errors import RoleOutcome, is_misplaced, overlap
from benchmark.types import Expression, MaskTrack, Role, Video

Answers = Mapping[str, StoredPrediction]


@dataclass(frozen=True, slots=True)
class Truth:
    """A truth track, with its counts against a prediction without pixels."""

    track: MaskTrack
    alone: Counts


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
    # One truth per distinct set of ids: expressions of a video share their objects.
    known: dict[tuple[str, ...], Future[Truth]] = {}

    def truth(ids: tuple[str, ...]) -> Future[Truth]:
        key = tuple(sorted(set(ids)))
        if key not in known:
            known[key] = pool.submit(_count_alone, dataset.truth(video, key), engine)
        return known[key]

    futures = []
    for expression in video.expressions:
        wanted = tuple(protocol for protocol in protocols if protocol.selects(expression))
        truths = {}
        if wanted or expression.is_interaction:
            truths[Role.ACTOR] = truth(expression.actor_ids)
        if expression.is_interaction:
            truths[Role.TARGET] = truth(expression.target_ids)
        answer = answers.get(expression.expression_id)
        asked = Asked(video, expression, answer, truths, wanted, engine)
        # Truths are queued before the expressions that wait for them, so no thread waits for ever.
        futures.append(pool.submit(_score, asked))
    return futures


def _count_alone(track: MaskTrack, engine: str) -> Truth:
    nothing = empty_track(len(track), track.height, track.width)
    return Truth(track, track_counts(track, nothing, boundary_radius(track.height, track.width), engine))


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
    actor, target = _claimed(asked.answer, Role.ACTOR), _claimed(asked.answer, Role.TARGET)
    shown = target is not None and not target.is_empty
    swapped = None
    if asked.expression.is_interaction and shown and actor is not None and not actor.is_empty:
        # The second half is rarely asked for: most predicted actors lie on the true one.
        swapped = _is_misplaced(asked, counts, Role.ACTOR, Role.TARGET) and _is_misplaced(
            asked, counts, Role.TARGET, Role.ACTOR
        )
    return RoleOutcome(asked.expression.is_interaction, target is not None, shown, swapped)


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
