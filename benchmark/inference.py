"""Dataset and adapter to stored predictions, video by video.

A failed query is written down with its reason and the run goes on. Several queries asked together that
fail together are asked again one by one, so that only the guilty one is lost; where memory was what ran
out, in halves, and never so many together again in this run. Errors that name a fault
of the data or of the adapter's code (`RefereeError`) stop the run, as does Ctrl-C; what was stored
before stays. A GPU that a query has brought to a stop would fail all others: that query is written down, with
those asked together with it, and the run stops too.
"""

from __future__ import annotations

import errno
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from benchmark.adapter import Adapter, check_info, describe_exception
from benchmark.answer_channel import AnswerChannel
from benchmark.answer_contract import Place, checked_answers
from benchmark.datasets import Dataset
from benchmark.errors import AdapterError, DatasetError, EnvironmentProblem, RefereeError
from benchmark.frames import FrameSequence
from benchmark.prediction_folder import PredictionFolder
from benchmark.prediction_records import StoredPrediction
from benchmark.prediction_writer import VideoPlan
from benchmark.query_cost import Spent, Stopwatch, gpu_fault
from benchmark.query_failures import NOT_RECORDED, Failure, classify, release_memory, time_limit
from benchmark.stored_files import as_output_error
from benchmark.truth_channel import TruthChannel
from benchmark.types import AdapterInfo, Expression, MaskTrack, Prediction, Query, Status, Video

Number = TypeVar("Number", int, float)
UNATTENDED_SECONDS = 10.0
"""Between two lines of progress where nobody watches (a log file)."""


@dataclass(frozen=True, slots=True)
class InferenceRules:
    """How a run treats its queries.

    Attributes:
        query_timeout: seconds that one query may take; `None` for any.
        strict: stop at the first failed query instead of recording it.
        show_progress: draw a progress bar on stderr.
    """

    query_timeout: float | None = None
    strict: bool = False
    show_progress: bool = True


def load_weights(adapter: Adapter, name: str, device: str, seed: int) -> None:
    """Call `adapter.load`; anything that goes wrong in there is told in one sentence.

    Raises:
        AdapterError: when loading fails.
    """
    try:
        adapter.load(device, seed)
    except (RefereeError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise AdapterError(
            "the adapter cannot be loaded",
            where=f"{name} on {device}",
            found=describe_exception(error),
            fix=f"python -m adapters doctor {name} (with the same --option) says what is missing here",
        ) from error
    check_info(adapter, name)


def unload_weights(adapter: Adapter, name: str) -> None:
    """Call `adapter.unload`; anything that goes wrong in there is told in one sentence.

    Raises:
        AdapterError: when unloading fails.
    """
    try:
        adapter.unload()
    except (RefereeError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise AdapterError(
            "the adapter cannot be unloaded",
            where=name,
            found=describe_exception(error),
            fix="mend its unload; the answers are stored, and the same command only scores them",
        ) from error


def predict_videos(
    adapter: Adapter,
    dataset: Dataset,
    folder: PredictionFolder,
    plans: Sequence[VideoPlan],
    rules: InferenceRules,
    stored: AnswerChannel | None = None,
) -> None:
    """Ask a loaded adapter everything that the plans miss, and store the answers as they come.

    Args:
        dataset: the whole one: rows that need them get sentences of videos outside the plans, too.
        stored: answers stored before, for an adapter that hands them on.

    Raises:
        AdapterError: when the adapter breaks its contract, or a query fails and the rules are strict.
        DatasetError: when frames cannot be read.
        OutputError: when answers cannot be stored.
    """
    run = _Run(adapter, dataset, folder, rules, stored)
    attended = sys.stderr.isatty()
    bar = tqdm(
        plans,
        desc="predicting",
        unit="video",
        file=sys.stderr,
        disable=not rules.show_progress,
        mininterval=0.1 if attended else UNATTENDED_SECONDS,
    )
    with bar:
        for plan in bar:
            bar.set_postfix_str(plan.video.video_id, refresh=False)
            run.video(plan)


class _Run:
    """What stays the same over all videos of one run."""

    def __init__(
        self,
        adapter: Adapter,
        dataset: Dataset,
        folder: PredictionFolder,
        rules: InferenceRules,
        stored: AnswerChannel | None,
    ) -> None:
        self._adapter = adapter
        self._info: AdapterInfo = adapter.info()
        self._dataset = dataset
        self._folder = folder
        self._rules = rules
        self._truths = TruthChannel(dataset) if self._info.uses_truth and stored is None else None
        self._stored = stored
        self._most = adapter.max_queries
        self._gpu_fault: str | None = None

    def video(self, plan: VideoPlan) -> None:
        """Ask what is missing about one video."""
        watch = Stopwatch()
        video = plan.video
        place = Place(self._info.name, video.video_id, len(video.frame_names), plan.height, plan.width)
        writer = self._folder.writer(plan)
        frames = self._frames(plan)
        try:
            self._adapter.open_video(frames)
            opening = self._here(watch.read())
        except NOT_RECORDED:
            raise
        except BaseException as error:
            failure = self._failure(error, f"adapter {self._info.name}, video {video.video_id}")
            lost = [_lost(one, place, failure, None) for one in plan.missing]
            writer.add(lost)
            _tell_failures(lost)
            self._stop_without_gpu(place)
            return
        try:
            writer.spent(opening.seconds or 0.0, opening.gpu_seconds)
            for answers, alone in self._answers(plan, place):
                writer.add(answers, asked_alone=alone)
                _tell_failures(answers)
                self._stop_without_gpu(place)
        finally:
            if self._gpu_fault is None:
                self._close(place)

    def _answers(self, plan: VideoPlan, place: Place) -> Iterator[tuple[list[StoredPrediction], bool]]:
        """Answers as they come, and whether they had to be asked for one by one."""
        left = list(plan.missing)
        while left:
            size = min(self._most or len(left), len(left))
            together, left = left[:size], left[size:]
            yield from self._answers_of(together, plan.video, place, None)

    def _answers_of(
        self, together: Sequence[Expression], video: Video, place: Place, earlier: _FailedAsking | None
    ) -> Iterator[tuple[list[StoredPrediction], bool]]:
        """Answers to queries asked together, or in smaller parts where that fails.

        Args:
            earlier: how asking them with more others failed.
        """
        answers = self._ask(together, video, place)
        if isinstance(answers, list):
            alone = len(together) == 1 and (earlier is not None or self._most != self._adapter.max_queries)
            yield [_noted(one, earlier, len(together)) for one in answers], alone
        elif len(together) == 1 or self._gpu_fault is not None:
            alone = len(together) == 1 and earlier is not None
            yield [_lost(one, place, answers.failure, answers.spent) for one in together], alone
        else:
            size = 1
            if answers.failure.status is Status.OUT_OF_MEMORY:
                self._most = size = len(together) // 2
            for first in range(0, len(together), size):
                yield from self._answers_of(together[first : first + size], video, place, answers)

    def _ask(
        self, asked: Sequence[Expression], video: Video, place: Place
    ) -> list[StoredPrediction] | _FailedAsking:
        queries = [Query(index, one.text, self._info.roles) for index, one in enumerate(asked)]
        limit = self._rules.query_timeout
        truth = self._truths.of(video, asked) if self._truths else None
        answers_before = self._stored.of(video, asked) if self._stored else None
        watch = Stopwatch()
        try:
            with time_limit(None if limit is None else limit * len(asked)):
                if truth is not None:
                    self._adapter.open_truth(truth)
                if answers_before is not None:
                    self._adapter.open_answers(answers_before)
                raw = self._adapter.predict(queries)
            spent = self._here(watch.read().share(len(asked)))
        except NOT_RECORDED:
            raise
        except BaseException as error:
            failure = self._failure(error, place.of(asked[0]))
            lost = None if self._gpu_fault else self._here(watch.read().share(len(asked)))
            return _FailedAsking(failure, len(asked), lost)
        answers = checked_answers(raw, asked, place)
        pairs = list(zip(asked, answers, strict=True))
        if self._rules.strict:
            _stop_at_failure(pairs, place)
        return [_stored(one, answer, place, spent) for one, answer in pairs]

    def _here(self, spent: Spent) -> Spent:
        """What of it is a fact about the model, which may be in another process or have answered before."""
        if self._stored is not None:
            return Spent(None, None, None, None)
        return Spent(spent.seconds, None, None, None) if self._adapter.works_elsewhere else spent

    def _frames(self, plan: VideoPlan) -> FrameSequence:
        frames = self._dataset.frames(plan.video)
        found = (len(frames), frames.height, frames.width)
        expected = (len(plan.video.frame_names), plan.height, plan.width)
        if found != expected:
            raise DatasetError(
                "frames and masks differ in size",
                where=f"video {plan.video.video_id}",
                expected=f"{expected[0]} frames of {expected[1]}x{expected[2]} as in the masks",
                found=f"{found[0]} frames of {found[1]}x{found[2]}",
                fix="extract the frames again at the size of the masks",
            )
        return frames

    def _failure(self, error: BaseException, where: str) -> Failure:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            # Frames and masks of other programs pass through files; no query is to blame for a full disk.
            raise as_output_error(error, Path(error.filename or tempfile.gettempdir())) from error
        failure = classify(error)
        if self._rules.strict:
            raise _strict_stop(failure, where) from error
        self._gpu_fault = gpu_fault()
        if self._gpu_fault is None:
            release_memory(error)
        return failure

    def _stop_without_gpu(self, place: Place) -> None:
        if self._gpu_fault is not None:
            raise EnvironmentProblem(
                "the GPU does not answer any more",
                where=f"adapter {place.adapter}, video {place.video_id}",
                found=self._gpu_fault,
                fix="run the same command again: it goes on behind the query that did it, which is written "
                "down as failed; --retry-failed asks it again",
            )

    def _close(self, place: Place) -> None:
        try:
            self._adapter.close_video()
        except NOT_RECORDED:
            raise
        except BaseException as error:
            where = f"adapter {place.adapter}, video {place.video_id}"
            raise AdapterError("close_video failed", where=where, found=describe_exception(error)) from error


@dataclass(frozen=True, slots=True)
class _FailedAsking:
    failure: Failure
    queries: int
    spent: Spent | None


def _noted(answer: StoredPrediction, earlier: _FailedAsking | None, queries: int) -> StoredPrediction:
    """The answer, with the fact that it took a second asking."""
    if earlier is None:
        return answer
    asked = "asked alone" if queries == 1 else f"asked {queries} at a time"
    note = f"{asked} after {earlier.failure.status} of {earlier.queries} together: {earlier.failure.message}"
    return replace(answer, message=answer.message or note)


def _strict_stop(failure: Failure, where: str) -> AdapterError:
    return AdapterError(
        f"a query failed ({failure.status}), and --strict stops at the first",
        where=where,
        found=failure.message,
        fix="leave --strict out to record failures, score them 0 and go on",
    )


def _stop_at_failure(pairs: Sequence[tuple[Expression, Prediction]], place: Place) -> None:
    for one, answer in pairs:
        if answer.status.failed:
            raise _strict_stop(Failure(answer.status, answer.message or "no reason given"), place.of(one))


def _tell_failures(answers: Sequence[StoredPrediction]) -> None:
    for one in answers:
        if one.status.failed:
            place = f"video {one.video_id}, expression {one.expression_id}"
            tqdm.write(f"{one.status}: {place}: {one.message or 'no reason given'}", file=sys.stderr)


def _lost(expression: Expression, place: Place, failure: Failure, spent: Spent | None) -> StoredPrediction:
    return StoredPrediction(
        video_id=place.video_id,
        expression_id=expression.expression_id,
        expression=expression.text,
        status=failure.status,
        message=failure.message,
        seconds=spent.seconds if spent else None,
        gpu_seconds=spent.gpu_seconds if spent else None,
    )


def _stored(expression: Expression, answer: Prediction, place: Place, spent: Spent) -> StoredPrediction:
    # checked_answers has turned every mask into a track.
    actor, target = answer.actor, answer.target
    return StoredPrediction(
        video_id=place.video_id,
        expression_id=expression.expression_id,
        expression=expression.text,
        status=answer.status,
        actor=actor if isinstance(actor, MaskTrack) else None,
        target=target if isinstance(target, MaskTrack) else None,
        text=answer.text,
        message=answer.message,
        prompt=answer.prompt,
        score=answer.score,
        seconds=_told_or(answer.seconds, spent.seconds),
        peak_memory_bytes=_told_or(answer.peak_memory_bytes, spent.peak_memory_bytes),
        frames_used=answer.frames_used,
        gpu_seconds=_told_or(answer.gpu_seconds, spent.gpu_seconds),
        peak_gpu_memory_bytes=_told_or(answer.peak_gpu_memory_bytes, spent.peak_gpu_memory_bytes),
    )


def _told_or(told: Number | None, measured: Number | None) -> Number | None:
    """What the adapter says, or else what was measured."""
    return measured if told is None else told
