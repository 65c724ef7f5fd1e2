"""From a checked submission to scores, and from scores to what may be said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.datasets import Dataset
from benchmark.errors import InputError
from benchmark.protocol import SETTINGS, load_protocols
from benchmark.results import Result, SettingScores
from benchmark.score import score_predictions
from submissions.checking import Checked, SubmissionReader
from submissions.model_card import card_digest
from submissions.receipt import (
    FORMAT,
    VERSION,
    ModelFacts,
    Predictions,
    ProtocolVersion,
    ScoredData,
    Scorer,
    Scores,
    Statement,
    Statistics,
)

DECIMALS = 2  # of a public score: what a table shows, and too little to climb a hidden truth by
Interval = tuple[float, float]


def score_checked(
    checked: Checked,
    dataset: Dataset,
    provenance: Mapping[str, Any],
    *,
    engine: str = "auto",
    seed: int = 0,
    progress: bool = True,
) -> Result:
    """The scores of a submission that passed its check with its answers kept.

    Raises:
        InputError: when it did not pass.
    """
    if not checked.passed or checked.answers is None:
        raise InputError("a submission that does not pass its check is not scored")
    return score_predictions(
        dataset,
        SubmissionReader(checked),
        load_protocols(SETTINGS),
        engine=engine,
        seed=seed,
        provenance=provenance,
        progress=progress,
    )


def statement(checked: Checked, result: Result, *, rounded: bool) -> Statement:
    """What a receipt says about a scored submission."""
    if checked.card is None or checked.digest is None or checked.layout is None:
        raise InputError("a submission that does not pass its check gets no receipt")
    facts, made = result.dataset, result.provenance
    return Statement(
        format=FORMAT,
        version=VERSION,
        model=ModelFacts(checked.card.name, checked.card.version, card_digest(checked.card)),
        predictions=Predictions(
            digest=checked.digest,
            zip_sha256=checked.zip_sha256,
            form=checked.layout.form.value,
            expressions=checked.tally.expressions,
            failed=checked.tally.failed,
            videos=dict(checked.video_digests),
        ),
        dataset=ScoredData(facts.name, facts.split, facts.digest, facts.videos, facts.expressions),
        protocols={name: ProtocolVersion(one.version, one.digest) for name, one in result.protocols.items()},
        statistics=Statistics(
            result.statistics.method,
            result.statistics.resamples,
            result.statistics.confidence,
            result.statistics.seed,
        ),
        scorer=Scorer(
            made["source"]["commit"], made["source"]["dirty"], made["python"], dict(made["packages"])
        ),
        scores={name: _scores(one, rounded) for name, one in result.settings.items()},
        rounded=rounded,
        scored_at=str(made["finished"]),
    )


def _scores(one: SettingScores, rounded: bool) -> Scores:
    def number(value: float | None) -> float | None:
        return value if value is None or not rounded else round(value, DECIMALS)

    def pair(interval: Interval | None) -> Interval | None:
        if interval is None or not rounded:
            return interval
        return round(interval[0], DECIMALS), round(interval[1], DECIMALS)

    return Scores(
        j=number(one.j),
        f=number(one.f),
        jf=number(one.jf),
        j_interval=pair(one.intervals.j),
        f_interval=pair(one.intervals.f),
        jf_interval=pair(one.intervals.jf),
        expressions=one.expressions,
        failed=sum(one.failed.values()),
    )


def format_scores(scores: Mapping[str, Scores]) -> str:
    """The public table: two decimals, nothing of single expressions or groups."""
    rows: list[Sequence[str]] = [("setting", "J", "F", "J&F", "95% interval", "expressions", "failed")]
    for name, one in scores.items():
        interval = "-" if one.jf_interval is None else "{:.2f} to {:.2f}".format(*one.jf_interval)
        numbers = ["-" if value is None else f"{value:.2f}" for value in (one.j, one.f, one.jf)]
        rows.append((name, *numbers, interval, str(one.expressions), str(one.failed)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
