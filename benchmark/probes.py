"""The language-sensitivity panel: whether a model's answers follow the sentence; and its table.

What is asked stands in `benchmark.probe_questions`, what is compared in `benchmark.probe_scores`.
Differences are paired, expression by expression, with intervals from redrawing videos
(`benchmark.statistics`), all in the same draws.
"""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmark.json_records import entry
from benchmark.predictions import PredictionReader
from benchmark.probe_questions import Probe, ProbeQuestions
from benchmark.probe_scores import ProbeScore, VideoScorer
from benchmark.provenance import timestamp
from benchmark.results import DatasetFacts, StatisticsFacts
from benchmark.score import METHOD
from benchmark.scoring import answer_digest
from benchmark.selection import SelectedExpressions
from benchmark.statistics import (
    Bootstrap,
    Interval,
    PairedDifference,
    intervals,
    paired_differences,
    sample,
)
from benchmark.tables import aligned, counted, shown, shown_interval
from benchmark.types import AdapterInfo, Role

PROBE_FOLDER = "probe"
"""Where, in the output of a run, the answers to probing sentences lie."""
SCHEMA_VERSION = 1
WIDTH = 100


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a probe compares, and what a model that understands the sentence shows."""

    first: str
    second: str
    expected: str


MEANINGS: Mapping[Probe, Meaning] = {
    Probe.ROLES_SWAPPED: Meaning(
        "J&F of the answer to the swapped sentence against the roles as it says them",
        "the same answer against the roles as the own sentence says them",
        "the answer follows the sentence: first about as high as with the own sentence, second near 0",
    ),
    Probe.OTHER_VIDEO: Meaning(
        "J&F of the answer to the own sentence",
        "J&F of the answer to a sentence of another video, against the own truth",
        "first far above second (which need not be 0: a foreign sentence may fit by chance)",
    ),
    Probe.IMPOSSIBLE: Meaning(
        "share of own sentences whose answer shows a pixel",
        "share of impossible sentences whose answer shows a pixel",
        "it abstains: first near 100, second near 0",
    ),
    Probe.PARAPHRASE: Meaning(
        "overlap of the answers to the own sentence and to its paraphrase",
        "overlap of the answers to the own sentence and to one of another video",
        "a paraphrase changes nothing: first near 100, second far below",
    ),
}
ROWS = (
    (Probe.ROLES_SWAPPED, Role.ACTOR),
    (Probe.ROLES_SWAPPED, Role.TARGET),
    (Probe.OTHER_VIDEO, Role.ACTOR),
    (Probe.IMPOSSIBLE, Role.ACTOR),
    (Probe.PARAPHRASE, Role.ACTOR),
)
DEAF = "A model that ignores the sentence: difference 0 in every row, same answer 100."


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """One line of the panel; percentages over the expressions that could be probed, `null` without any."""

    probe: Probe
    role: Role
    first: str = field(metadata=entry(doc="what first_percent is"))
    second: str = field(metadata=entry(doc="what second_percent is"))
    expected: str = field(metadata=entry(doc="what a model that understands the sentence shows"))
    expressions: int = field(metadata=entry(doc="how many expressions could be probed"))
    of: int = field(metadata=entry(doc="how many expressions of the run the probe is about"))
    failed: int = field(metadata=entry(doc="probed expressions with a failed answer; it never helps"))
    first_percent: float | None
    second_percent: float | None
    difference: PairedDifference | None = field(
        metadata=entry(doc="first minus second, in points of percent")
    )
    same_answer: float | None = field(
        metadata=entry(doc="overlap of the answers to the own and to the probing sentence, percent")
    )
    same_answer_interval: Interval | None


@dataclass(frozen=True, slots=True)
class ProbePanel:
    """What the language probes say about one model on one dataset."""

    schema_version: int
    dataset: DatasetFacts
    limit: int | None = field(metadata=entry(doc="how many expressions the run was limited to; null for all"))
    adapter: AdapterInfo | None
    statistics: StatisticsFacts
    answers_digest: str = field(metadata=entry(doc="SHA-256 over all answers compared"))
    asked_beside: int = field(metadata=entry(doc="sentences that were asked beside those of the run"))
    rows: tuple[ProbeRow, ...]
    provenance: Mapping[str, Any]


def score_probes(
    selection: SelectedExpressions,
    questions: ProbeQuestions,
    own: PredictionReader,
    probing: PredictionReader | None,
    *,
    engine: str = "auto",
    seed: int = 0,
    provenance: Mapping[str, Any],
    progress: bool = False,
) -> ProbePanel:
    """The panel of a finished run; nothing is written.

    Args:
        own: answers of the run itself.
        probing: answers to `questions.to_ask`; `None` where nothing had to be asked beside the run.
        seed: of the redrawn videos.

    Raises:
        PredictionError: when stored answers are damaged.
    """
    info = own.adapter
    roles = info.roles if info else (Role.ACTOR, Role.TARGET)
    scores: list[ProbeScore] = []
    digest = hashlib.sha256()
    for video in tqdm(selection.videos, desc="probes", unit="video", disable=not progress):
        answers = own.video(video.video_id)
        beside = probing.video(video.video_id) if probing else {}
        scorer = VideoScorer(selection, video, answers, beside, engine)
        scores += scorer.scores(questions.by_video[video.video_id], roles)
        for stored in (answers, beside):
            for name, one in stored.items():
                digest.update(answer_digest(video.video_id, name, one))
    plan = Bootstrap(seed=seed)
    positions = {video.video_id: position for position, video in enumerate(selection.videos)}
    return ProbePanel(
        schema_version=SCHEMA_VERSION,
        dataset=_facts(selection),
        limit=own.run.get("limit"),
        adapter=info,
        statistics=StatisticsFacts(METHOD, plan.resamples, plan.confidence, plan.seed),
        answers_digest=digest.hexdigest(),
        asked_beside=sum(len(video.expressions) for video in questions.to_ask.videos),
        rows=_rows(scores, questions, roles, positions, plan),
        provenance={**provenance, "finished": timestamp()},
    )


def _rows(
    scores: Sequence[ProbeScore],
    questions: ProbeQuestions,
    roles: Sequence[Role],
    positions: Mapping[str, int],
    plan: Bootstrap,
) -> tuple[ProbeRow, ...]:
    wanted = [(probe, role) for probe, role in ROWS if role is Role.ACTOR or role in roles]
    groups = [[one for one in scores if (one.probe, one.role) == row] for row in wanted]
    asked = [group for group in groups if group]
    videos = [[positions[one.video_id] for one in group] for group in asked]
    differences = iter(
        paired_differences(
            [
                sample(where, [one.first - one.second for one in group])
                for where, group in zip(videos, asked, strict=True)
            ],
            len(positions),
            plan,
        )
    )
    overlaps = iter(
        intervals(
            [
                sample(where, [one.same_answer for one in group])
                for where, group in zip(videos, asked, strict=True)
            ],
            len(positions),
            plan,
        )
    )
    rows = []
    for (probe, role), group in zip(wanted, groups, strict=True):
        meaning = MEANINGS[probe]
        rows.append(
            ProbeRow(
                probe=probe,
                role=role,
                first=meaning.first,
                second=meaning.second,
                expected=meaning.expected,
                expressions=len(group),
                of=questions.candidates[probe],
                failed=sum(one.failed for one in group),
                first_percent=_mean([one.first for one in group]),
                second_percent=_mean([one.second for one in group]),
                difference=next(differences) if group else None,
                same_answer=_mean([one.same_answer for one in group]),
                same_answer_interval=next(overlaps) if group else None,
            )
        )
    return tuple(rows)


def format_panel(panel: ProbePanel) -> str:
    """The panel as text, at most 100 characters wide."""
    lines = [("probe", "first", "second", "difference", "95% interval", "same answer", "expressions")]
    for row in panel.rows:
        gap = row.difference
        lines.append(
            (
                _name(row),
                shown(row.first_percent),
                shown(row.second_percent),
                shown(gap.difference if gap else None),
                shown_interval(gap.interval if gap else None),
                shown(row.same_answer),
                f"{row.expressions} of {row.of}",
            )
        )
    failed = [f"{_name(row)}: {counted(row.failed, 'failed answer')}" for row in panel.rows if row.failed]
    told = {row.probe: row for row in panel.rows}
    words = [
        _wrapped(
            f"{probe.replace('_', ' ')}: first = {row.first}; second = {row.second}. "
            f"A model that understands: {row.expected}."
        )
        for probe, row in told.items()
    ]
    parts = [f"language probes: {counted(panel.asked_beside, 'sentence')} asked beside those of the run"]
    parts += [aligned(lines), *(["\n".join(failed)] if failed else []), "\n".join([*words, DEAF])]
    return "\n\n".join(parts)


def _name(row: ProbeRow) -> str:
    name = row.probe.replace("_", " ")
    return f"{name}, {row.role}" if row.probe is Probe.ROLES_SWAPPED else name


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="  ")


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _facts(selection: SelectedExpressions) -> DatasetFacts:
    return DatasetFacts(
        name=selection.name,
        split=selection.split,
        digest=selection.digest,
        videos=len(selection.videos),
        expressions=sum(len(video.expressions) for video in selection.videos),
        frames=sum(len(video.frame_names) for video in selection.videos),
    )
