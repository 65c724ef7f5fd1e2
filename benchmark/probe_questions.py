"""The questions of the language probes: the same videos, with other sentences.

    roles swapped   another sentence of the annotation in which the roles are exchanged: its actor is a
                    target here, the actor here is a target there, and the objects are the same
    other video     a sentence of another video, of the same caption type where there is one
    impossible      a sentence that nothing in the video satisfies (`datasets.impossible_sentences`)
    paraphrase      another sentence of the annotation about the same objects in the same roles

Nothing is rewritten: roles and paraphrases are found by annotation ids alone, so an expression without such
a partner is not probed, and is counted as such. Partners are taken in mutual pairs where that works out, so
that a model that ignores the sentence gains exactly what it loses. The questions depend on the dataset
alone: every model is asked the same.

A sentence of the annotation that the run itself asks is not asked again; its answer is used.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmark.datasets import Dataset
from benchmark.datasets.impossible_sentences import impossible_sentences
from benchmark.selection import SelectedExpressions
from benchmark.types import Expression, Video


class Probe(enum.StrEnum):
    """What is done to the sentence."""

    ROLES_SWAPPED = "roles_swapped"
    OTHER_VIDEO = "other_video"
    IMPOSSIBLE = "impossible"
    PARAPHRASE = "paraphrase"


@dataclass(frozen=True, slots=True)
class ProbeQuestion:
    """One expression with one of its sentences exchanged.

    Attributes:
        own: the expression as the dataset has it.
        asked: what is asked instead. Its ids are the truth of the new sentence: none where nothing
            satisfies it, or where nobody knows (`OTHER_VIDEO`).
        by_the_run: whether the run itself asks this very expression.
    """

    probe: Probe
    own: Expression
    asked: Expression
    by_the_run: bool


@dataclass(frozen=True, slots=True)
class ProbeQuestions:
    """All questions about a selection.

    Attributes:
        by_video: video id -> its questions.
        candidates: per probe, how many expressions of the selection it is about.
        to_ask: what must be asked beside the run itself.
    """

    by_video: Mapping[str, tuple[ProbeQuestion, ...]]
    candidates: Mapping[Probe, int]
    to_ask: SelectedExpressions

    def count(self, probe: Probe) -> int:
        """How many expressions could be probed."""
        return sum(one.probe is probe for questions in self.by_video.values() for one in questions)


def probe_questions(selection: SelectedExpressions) -> ProbeQuestions:
    """The questions about the expressions of a run."""
    dataset = selection.whole
    whole = {video.video_id: video for video in dataset.videos}
    elsewhere = _Elsewhere(dataset)
    by_video: dict[str, tuple[ProbeQuestion, ...]] = {}
    videos = []
    for video in selection.videos:
        questions = tuple(_questions(dataset, whole[video.video_id], video, elsewhere))
        by_video[video.video_id] = questions
        new = {one.asked.expression_id: one.asked for one in questions if not one.by_the_run}
        if new:
            videos.append(replace(video, expressions=tuple(new.values())))
    expressions = [one for video in selection.videos for one in video.expressions]
    candidates = dict.fromkeys(Probe, len(expressions))
    candidates[Probe.ROLES_SWAPPED] = sum(one.is_interaction for one in expressions)
    return ProbeQuestions(by_video, candidates, SelectedExpressions(dataset, videos))


def _questions(dataset: Dataset, whole: Video, selected: Video, elsewhere: _Elsewhere) -> list[ProbeQuestion]:
    asked_by_the_run = {one.expression_id for one in selected.expressions}
    partners = {
        Probe.ROLES_SWAPPED: _partners(whole.expressions, roles_are_swapped),
        Probe.PARAPHRASE: _partners(whole.expressions, means_the_same),
    }
    impossible = impossible_sentences(dataset, whole)
    found = []
    for own in selected.expressions:
        others: dict[Probe, Expression | None] = {
            probe: partner_of.get(own.expression_id) for probe, partner_of in partners.items()
        }
        others[Probe.OTHER_VIDEO] = _about_nothing(own, Probe.OTHER_VIDEO, elsewhere.sentence(whole, own))
        others[Probe.IMPOSSIBLE] = _about_nothing(own, Probe.IMPOSSIBLE, impossible.get(own.expression_id))
        for probe in Probe:
            asked = others[probe]
            if asked is not None:
                by_the_run = probe in partners and asked.expression_id in asked_by_the_run
                found.append(ProbeQuestion(probe, own, asked, by_the_run))
    return found


def roles_are_swapped(one: Expression, other: Expression) -> bool:
    """Whether two interactions are about the same objects, the actor of each being a target of the other."""
    actors, targets = set(one.actor_ids), set(one.target_ids)
    other_actors, other_targets = set(other.actor_ids), set(other.target_ids)
    return (
        one.is_interaction
        and other.is_interaction
        and not actors & targets
        and not other_actors & other_targets
        and other_actors <= targets
        and actors <= other_targets
        and actors | targets == other_actors | other_targets
    )


def means_the_same(one: Expression, other: Expression) -> bool:
    """Whether two sentences of a video are about the same objects in the same roles."""
    return (
        bool(one.actor_ids)
        and one.caption_type == other.caption_type
        and set(one.actor_ids) == set(other.actor_ids)
        and set(one.target_ids) == set(other.target_ids)
    )


def _partners(
    expressions: Sequence[Expression], fit: Callable[[Expression, Expression], bool]
) -> dict[str, Expression]:
    """For each expression another one that fits: mutual pairs in the order of the file, then the first."""
    fitting = {
        one.expression_id: [other for other in expressions if other.text != one.text and fit(one, other)]
        for one in expressions
    }
    partner: dict[str, Expression] = {}
    for one in expressions:
        if one.expression_id in partner:
            continue
        free = [other for other in fitting[one.expression_id] if other.expression_id not in partner]
        if free:
            partner[one.expression_id], partner[free[0].expression_id] = free[0], one
    for one in expressions:
        if one.expression_id not in partner and fitting[one.expression_id]:
            partner[one.expression_id] = fitting[one.expression_id][0]
    return partner


def _about_nothing(own: Expression, probe: Probe, text: str | None) -> Expression | None:
    if text is None:
        return None
    return Expression(f"{probe} {own.expression_id}", text, own.caption_type, actor_ids=(), target_ids=())


class _Elsewhere:
    """Sentences of other videos, drawn by the own sentence."""

    def __init__(self, dataset: Dataset) -> None:
        self._all = [(video.video_id, one.text) for video in dataset.videos for one in video.expressions]
        self._by_type: dict[str, list[tuple[str, str]]] = {}
        for video in dataset.videos:
            for one in video.expressions:
                self._by_type.setdefault(one.caption_type, []).append((video.video_id, one.text))

    def sentence(self, video: Video, own: Expression) -> str | None:
        """One that this video is not asked; `None` if there is no other."""
        known = {one.text for one in video.expressions}
        drawn = int.from_bytes(hashlib.sha256(own.text.encode()).digest()[:8])
        for sentences in (self._by_type[own.caption_type], self._all):
            for step in range(len(sentences)):
                video_id, text = sentences[(drawn + step) % len(sentences)]
                if video_id != video.video_id and text not in known:
                    return text
        return None
