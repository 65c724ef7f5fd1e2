"""What a result holds, and its schema version.

`result.json` is a `Result` written by `benchmark.result_files`, described by `result.schema.json`. Its
top-level blocks, and what decides them:

    dataset, protocols, statistics, predictions, settings, role_errors, partial
                    decided by the data, the stored predictions and the seed alone: scoring the same
                    predictions again gives the same bytes, on any machine; `scores_digest` seals them
    adapter, cost   facts stored with the predictions
    files           names and SHA-256 of the files beside it
    provenance      when, where and how; the only block that differs between two scorings

`schema_version` changes when a sealed block changes its form or its meaning. Keys may be added to the other
blocks without that: results from before lack them and are read as if they were `null`. Added so far, to
`cost`: frames_per_second, gpu_seconds, gpu_seconds_per_expression, peak_gpu_memory_bytes.

Scores and rates are percentages before rounding. `python -m benchmark.results` prints the JSON Schema.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from benchmark.aggregate import ExpressionScore
from benchmark.command_line import parser, run_command
from benchmark.json_records import entry, schema_of, to_json
from benchmark.role_errors import RoleOutcome
from benchmark.statistics import Interval
from benchmark.types import AdapterInfo, Role

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Intervals:
    """95% intervals of J, F and J&F; `null` where fewer than two videos contribute."""

    j: Interval | None = field(metadata=entry("J"))
    f: Interval | None = field(metadata=entry("F"))
    jf: Interval | None = field(metadata=entry("J&F"))


@dataclass(frozen=True, slots=True)
class GroupScores:
    """Scores of one group of expressions, in percent before rounding."""

    group: str
    j: float = field(metadata=entry("J"))
    f: float = field(metadata=entry("F"))
    jf: float = field(metadata=entry("J&F"))
    intervals: Intervals
    expressions: int
    videos: int


@dataclass(frozen=True, slots=True)
class FrameKindScores:
    """Scores over one kind of frames alone: mean over these frames, then over expressions that have any."""

    j: float | None = field(metadata=entry("J"))
    f: float | None = field(metadata=entry("F"))
    jf: float | None = field(metadata=entry("J&F"))
    frames: int
    expressions: int


@dataclass(frozen=True, slots=True)
class SettingScores:
    """One setting: the official numbers, how sure they are, and what they are made of."""

    j: float | None = field(metadata=entry("J", "percent, before rounding"))
    f: float | None = field(metadata=entry("F", "percent, before rounding"))
    jf: float | None = field(metadata=entry("J&F", "percent, before rounding"))
    undefined: str | None = field(metadata=entry(doc="why J, F and J&F are null"))
    intervals: Intervals
    expressions: int
    videos: int
    frames: int
    missing: int = field(metadata=entry(doc="expressions without a stored prediction; they score 0"))
    failed: Mapping[str, int] = field(metadata=entry(doc="failed predictions by status; they score 0"))
    truth_present: FrameKindScores
    truth_absent: FrameKindScores
    by: Mapping[str, tuple[GroupScores, ...]] = field(metadata=entry(doc="breakdowns; see breakdowns.py"))


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of expressions in percent, its counts and its 95% interval; `null` when nobody is asked."""

    percent: float | None
    count: int
    of: int
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class RoleErrors:
    """Errors of role over all expressions of the dataset; defined in role_errors.py."""

    role_swap: Rate
    missed_target: Rate
    false_target: Rate
    target_claimed: Rate


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What was scored on; counts are those of the expressions that were scored."""

    name: str
    split: str
    digest: str
    videos: int
    expressions: int
    frames: int


@dataclass(frozen=True, slots=True)
class ProtocolFacts:
    """The version and the SHA-256 of the rules of a protocol."""

    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class StatisticsFacts:
    """How the intervals were made."""

    method: str
    resamples: int
    confidence: float
    seed: int


@dataclass(frozen=True, slots=True)
class PredictionFacts:
    """Which predictions were scored."""

    digest: str = field(metadata=entry(doc="SHA-256 over statuses and decoded masks, in any container"))
    videos: int
    expressions: int


@dataclass(frozen=True, slots=True)
class Partial:
    """A result on a part of the split; never to be ranked with whole ones."""

    reason: str
    expressions: int
    expressions_of_split: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What the predictions cost; `null` where nobody measured it."""

    seconds: float | None = field(metadata=entry(doc="wall time of all timed expressions"))
    seconds_per_video: float | None
    seconds_per_expression: float | None = field(metadata=entry(doc="of the process that answers"))
    timed_expressions: int
    peak_memory_bytes: int | None = field(
        metadata=entry(doc="memory at its highest: of the GPUs, or of the process without one")
    )
    parameters: int | None
    frames_per_second: float | None = field(
        default=None,
        metadata=entry(doc="frames of all timed expressions, each answered anew, by `seconds`", added=True),
    )
    gpu_seconds: float | None = field(
        default=None,
        metadata=entry(doc="wall time times GPUs in use; null without a GPU, or untold", added=True),
    )
    gpu_seconds_per_expression: float | None = field(default=None, metadata=entry(added=True))
    peak_gpu_memory_bytes: int | None = field(
        default=None, metadata=entry(doc="of tensors on all GPUs in use; null without one", added=True)
    )


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that is said about one set of predictions on one dataset."""

    schema_version: int
    partial: Partial | None = field(metadata=entry(doc="null for a whole split"))
    dataset: DatasetFacts
    protocols: Mapping[str, ProtocolFacts]
    statistics: StatisticsFacts
    predictions: PredictionFacts
    settings: Mapping[str, SettingScores]
    role_errors: RoleErrors | None = field(metadata=entry(doc="null when the model never predicts targets"))
    scores_digest: str = field(metadata=entry(doc="SHA-256 that seals the blocks above"))
    adapter: AdapterInfo | None
    cost: Cost
    files: Mapping[str, str]
    provenance: Mapping[str, Any]
    expressions: tuple[ExpressionRow, ...] = field(default=(), metadata=entry(stored=False))
    frame_counts: FrameCounts | None = field(default=None, metadata=entry(stored=False))


@dataclass(frozen=True, slots=True)
class ExpressionRow:
    """One row of expressions.csv: an expression under one setting; scores 0 to 1."""

    score: ExpressionScore
    outcome: RoleOutcome
    seconds: float | None


@dataclass(frozen=True, slots=True)
class FrameTrack:
    """Where the counts of one scored track lie among those of all."""

    video_id: str
    expression_id: str
    role: Role
    first: int
    frames: int
    zero: bool  # failed or missing: scores 0 on every frame, whatever the counts say


class TemporaryRows:
    """A nameless file of int32 rows of six, closed and gone with the last reference to it."""

    def __init__(self) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile(prefix="frame-counts-")  # noqa: SIM115
        weakref.finalize(self, self.file.close)


@dataclass(frozen=True, slots=True)
class FrameCounts:
    """Counts of every frame of every scored track, on disk."""

    rows: TemporaryRows
    tracks: tuple[FrameTrack, ...]


SEALED = (
    *("schema_version", "partial", "dataset", "protocols", "statistics"),
    *("predictions", "settings", "role_errors"),
)
"""The blocks under `scores_digest`."""


def sealed(result: Result) -> Result:
    """The same result with its `scores_digest` computed."""
    return dataclasses.replace(result, scores_digest=scores_digest(to_json(result)))


def scores_digest(stored: Mapping[str, Any]) -> str:
    """SHA-256 over the sealed blocks of a result as JSON: sorted keys, no spaces, shortest floats."""
    text = json.dumps({key: stored[key] for key in SEALED}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def result_schema() -> str:
    """The text of `result.schema.json`."""
    schema = schema_of(Result, "A result of the InterRVOS referee")
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str]) -> None:
    """The command: prints the schema."""
    parser("benchmark.results", __doc__).parse_args(arguments)
    print(result_schema(), end="")


if __name__ == "__main__":
    run_command(main)
