"""What the answers to probing sentences say, in numbers per expression.

Every probe compares two percentages of the same expression, `first` and `second`, such that a model that
ignores the sentence has the same in both (for exchanged roles: on average over the two sentences of a pair),
and a model that understands it has far more in `first`:

    roles swapped   J&F of the answer to the swapped sentence: against the roles as it says them, and against
                    the roles as the own sentence says them (once for the actor, once for the target)
    other video     J&F against the own truth: of the answer to the own sentence, and of that to a foreign one
    impossible      whether an answer shows a pixel: to the own sentence, and to the impossible one
    paraphrase      overlap with the answer to the own sentence: of the answer to a paraphrase, and of the
                    answer to a sentence of another video

Overlap is that of whole clips: pixels in both divided by pixels in either, over all frames; two answers that
show nothing are the same. A failed answer never helps `first`, nor `second` of the impossible sentences: it
scores 0, overlaps with nothing, shows nothing where something should be shown and something where nothing
should be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from benchmark.datasets import Dataset
from benchmark.masks import empty_track
from benchmark.metrics.definition import boundary_radius
from benchmark.metrics.engines import track_counts
from benchmark.metrics.scores import boundary_accuracy, region_similarity
from benchmark.prediction_records import StoredPrediction
from benchmark.probe_questions import Probe, ProbeQuestion
from benchmark.types import MaskTrack, Role, Video


@dataclass(frozen=True, slots=True)
class ProbeScore:
    """One probe of one expression; numbers in percent.

    Attributes:
        role: whose tracks were compared.
        same_answer: overlap of this role's answers to the own and to the probing sentence.
        failed: whether one of the answers compared is a failure.
    """

    probe: Probe
    role: Role
    video_id: str
    first: float
    second: float
    same_answer: float
    failed: bool


class VideoScorer:
    """Scores the probes of one video; tracks of the truth are read once.

    Args:
        own: answers of the run, by expression id.
        probing: answers to what was asked beside it, by the id of the sentence asked.
    """

    def __init__(
        self,
        dataset: Dataset,
        video: Video,
        own: Mapping[str, StoredPrediction],
        probing: Mapping[str, StoredPrediction],
        engine: str,
    ) -> None:
        self._dataset, self._video, self._engine = dataset, video, engine
        self._own, self._probing = own, probing
        self._truths: dict[tuple[str, ...], MaskTrack] = {}

    def scores(self, questions: tuple[ProbeQuestion, ...], roles: tuple[Role, ...]) -> Iterator[ProbeScore]:
        """One score per question; for exchanged roles one per role that the model answers."""
        foreign = {one.own.expression_id: one for one in questions if one.probe is Probe.OTHER_VIDEO}
        for one in questions:
            if one.probe is Probe.ROLES_SWAPPED:
                for role in roles:
                    yield self._roles_swapped(one, role)
            elif one.probe is Probe.OTHER_VIDEO:
                yield self._other_video(one)
            elif one.probe is Probe.IMPOSSIBLE:
                yield self._impossible(one)
            elif one.own.expression_id in foreign:
                yield self._paraphrase(one, foreign[one.own.expression_id])

    def answer(self, question: ProbeQuestion) -> StoredPrediction:
        """The answer to the probing sentence."""
        answers = self._own if question.by_the_run else self._probing
        return answers[question.asked.expression_id]

    def _roles_swapped(self, one: ProbeQuestion, role: Role) -> ProbeScore:
        answer, own = self.answer(one), self._own[one.own.expression_id]
        said, unsaid = (
            (one.asked.actor_ids, one.own.actor_ids)
            if role is Role.ACTOR
            else (one.asked.target_ids, one.own.target_ids)
        )
        first, second = (self._jf(answer, role, ids) for ids in (said, unsaid))
        return self._score(one, role, first, second, own, answer, failed=answer.status.failed)

    def _other_video(self, one: ProbeQuestion) -> ProbeScore:
        answer, own = self.answer(one), self._own[one.own.expression_id]
        first, second = (self._jf(each, Role.ACTOR, one.own.actor_ids) for each in (own, answer))
        failed = own.status.failed or answer.status.failed
        return self._score(one, Role.ACTOR, first, second, own, answer, failed)

    def _impossible(self, one: ProbeQuestion) -> ProbeScore:
        answer, own = self.answer(one), self._own[one.own.expression_id]
        first = 100.0 * (_shows(own) and not own.status.failed)
        second = 100.0 * (_shows(answer) or answer.status.failed)
        failed = own.status.failed or answer.status.failed
        return self._score(one, Role.ACTOR, first, second, own, answer, failed)

    def _paraphrase(self, one: ProbeQuestion, foreign: ProbeQuestion) -> ProbeScore:
        own, answer, other = self._own[one.own.expression_id], self.answer(one), self.answer(foreign)
        first, second = self._overlap(own, answer, Role.ACTOR), self._overlap(own, other, Role.ACTOR)
        failed = any(each.status.failed for each in (own, answer, other))
        return ProbeScore(one.probe, Role.ACTOR, self._video.video_id, first, second, first, failed)

    def _score(
        self,
        one: ProbeQuestion,
        role: Role,
        first: float,
        second: float,
        own: StoredPrediction,
        answer: StoredPrediction,
        failed: bool,
    ) -> ProbeScore:
        same = self._overlap(own, answer, role)
        return ProbeScore(one.probe, role, self._video.video_id, first, second, same, failed)

    def _jf(self, answer: StoredPrediction, role: Role, ids: tuple[str, ...]) -> float:
        """J&F of a clip in percent."""
        if answer.status.failed:
            return 0.0
        truth = self._truth(ids)
        radius = boundary_radius(truth.height, truth.width)
        counts = track_counts(truth, self._track(answer, role), radius, self._engine)
        return 50 * float(np.mean(region_similarity(counts)) + np.mean(boundary_accuracy(counts)))

    def _overlap(self, one: StoredPrediction, other: StoredPrediction, role: Role) -> float:
        """Pixels in both answers, in percent of those in either."""
        if one.status.failed or other.status.failed:
            return 0.0
        tracks = self._track(one, role), self._track(other, role)
        counts = track_counts(*tracks, boundary_radius(tracks[0].height, tracks[0].width), self._engine)
        shared, either = int(counts[:, 0].sum()), int(counts[:, 1].sum())
        return 100 * shared / either if either else 100.0

    def _track(self, answer: StoredPrediction, role: Role) -> MaskTrack:
        claimed = answer.actor if role is Role.ACTOR else answer.target
        return self._nothing() if claimed is None else claimed

    def _truth(self, ids: tuple[str, ...]) -> MaskTrack:
        key = tuple(sorted(set(ids)))
        if key not in self._truths:
            self._truths[key] = self._dataset.truth(self._video, key)
        return self._truths[key]

    def _nothing(self) -> MaskTrack:
        return empty_track(len(self._video.frame_names), *self._dataset.frame_size(self._video))


def _shows(answer: StoredPrediction) -> bool:
    """Whether an answer shows at least one pixel for any role."""
    return any(track is not None and not track.is_empty for track in (answer.actor, answer.target))
