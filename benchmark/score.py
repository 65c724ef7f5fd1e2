"""Score stored predictions: J, F and J&F under the protocols, with intervals. Needs no model, no torch.

  python -m benchmark.score --predictions runs/mine --dataset interrvos --data-root /data/InterRVOS
  python -m benchmark.score --predictions results.json --dataset interrvos --data-root /data/InterRVOS \\
      --settings rvos --output scores/sa2va
  python -m benchmark.score --predictions runs/mine --dataset interrvos-synthetic --breakdown

PREDICTIONS is a folder written by benchmark.evaluate, or what others write: a results.json in the official
form ({video: {expression: {"prediction_masks_act": [...], "prediction_masks_tar": [...]}}}), a tree of PNG
files [Annotations/]VIDEO/EXPRESSION/FRAME.png, indexed maps anno_K/VIDEO/INDEX.png, a COCO list with scores.
It says which form it recognised, and why.

Every expression of the split counts. One without a stored prediction, or whose prediction failed, scores
0 on every frame, and is listed. The same predictions give the same scores, byte for byte, on any machine:
only the block "provenance" of result.json differs.

Exit codes: 0 scored, 1 the input is wrong, 2 usage, 3 internal.
"""

from __future__ import annotations

import hashlib
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmark.aggregate import ExpressionScore
from benchmark.command_line import parser, run_command
from benchmark.datasets import Dataset, open_dataset
from benchmark.errors import PredictionError
from benchmark.metrics.engines import ENGINES
from benchmark.prediction_folder import FOLDER_NAME
from benchmark.predictions import PredictionReader, open_predictions
from benchmark.protocol import SETTINGS, Protocol, load_protocols
from benchmark.provenance import collect, timestamp
from benchmark.result_files import write_result
from benchmark.results import (
    SCHEMA_VERSION,
    Cost,
    DatasetFacts,
    ExpressionRow,
    Partial,
    PredictionFacts,
    ProtocolFacts,
    Result,
    RoleErrors,
    SettingScores,
    StatisticsFacts,
    sealed,
)
from benchmark.role_errors import RoleOutcome
from benchmark.scoring import Answers, FrameSpool, ScoredExpression, score_videos
from benchmark.selection import SelectedExpressions, select_expressions
from benchmark.statistics import Bootstrap, check_seed
from benchmark.summaries import NEVER_PREDICTS_TARGETS, summarise
from benchmark.tables import format_table
from benchmark.types import AdapterInfo, Expression, Role, Video

__all__ = ["format_table", "main", "score_predictions", "write_result"]

METHOD = "percentile bootstrap over videos with all their expressions, same draws for every number"


def score_predictions(
    dataset: Dataset,
    predictions: PredictionReader,
    protocols: Sequence[Protocol],
    *,
    engine: str = "auto",
    seed: int = 0,
    provenance: Mapping[str, Any],
    progress: bool = False,
) -> Result:
    """Score stored predictions; the result is not yet written anywhere.

    Every expression that a protocol selects is scored, or, for a limited run, the ones it was limited
    to. Memory does not grow with frames or masks: one small record per expression is kept.

    Args:
        engine: of `metrics.engines.ENGINES`; no number depends on it.
        seed: of the redrawn videos behind the intervals (not of the model).
        provenance: facts of this process, from `provenance.collect`.
        progress: show a bar on stderr.

    Raises:
        PredictionError: when the predictions belong to other data or a track does not fit its truth.
    """
    began = time.monotonic()
    selection = _selection(dataset, predictions, protocols)
    _refuse_other_data(selection, predictions)
    gathered = Gathered()
    answers = _answers(selection.videos, predictions)
    scored = score_videos(selection, selection.videos, answers, tuple(protocols), engine)
    for expressions in tqdm(
        scored, total=len(selection.videos), desc="scoring", unit="video", disable=not progress
    ):
        gathered.add(expressions)
    plan = Bootstrap(seed=seed)
    settings, role_errors = _summary(gathered, predictions.adapter, protocols, plan)
    return sealed(
        Result(
            schema_version=SCHEMA_VERSION,
            partial=_partial(dataset, selection, predictions, protocols),
            dataset=_dataset_facts(selection),
            protocols={one.name: ProtocolFacts(one.version, one.digest) for one in protocols},
            statistics=StatisticsFacts(METHOD, plan.resamples, plan.confidence, plan.seed),
            predictions=PredictionFacts(
                gathered.digest.hexdigest(), len(gathered.answered_videos), gathered.answered
            ),
            settings=settings,
            role_errors=role_errors,
            scores_digest="",
            adapter=predictions.adapter,
            cost=_cost(gathered, predictions),
            files={},
            provenance={
                **provenance,
                "finished": timestamp(),
                "scoring_seconds": round(time.monotonic() - began, 3),
                "metric_engine": engine,
                "predicting": dict(predictions.run),
            },
            expressions=tuple(gathered.rows),
            frame_counts=gathered.spool.finished(),
        )
    )


@dataclass(slots=True)
class Gathered:
    """What is kept while videos pass by."""

    rows: list[ExpressionRow] = field(default_factory=list)
    outcomes: list[tuple[str, RoleOutcome]] = field(default_factory=list)
    spool: FrameSpool = field(default_factory=FrameSpool)
    digest: Any = field(default_factory=hashlib.sha256)
    answered: int = 0
    answered_videos: set[str] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)
    timed_frames: int = 0
    peak_memory_bytes: int | None = None
    gpu_seconds: list[float] = field(default_factory=list)
    peak_gpu_memory_bytes: int | None = None

    def add(self, expressions: Sequence[ScoredExpression]) -> None:
        """Take in the expressions of one video."""
        for one in expressions:
            self.rows.extend(one.rows)
            self.outcomes.append((one.video_id, one.outcome))
            self.digest.update(one.digest)
            if one.answered:
                self.answered += 1
                self.answered_videos.add(one.video_id)
            for track, counts in one.counts:
                self.spool.add(track, counts)
            if one.seconds is not None:
                self.seconds.append(one.seconds)
                self.timed_frames += one.frames
            if one.peak_memory_bytes is not None:
                self.peak_memory_bytes = max(self.peak_memory_bytes or 0, one.peak_memory_bytes)
            if one.gpu_seconds is not None:
                self.gpu_seconds.append(one.gpu_seconds)
            if one.peak_gpu_memory_bytes is not None:
                self.peak_gpu_memory_bytes = max(self.peak_gpu_memory_bytes or 0, one.peak_gpu_memory_bytes)


def _selection(
    dataset: Dataset, predictions: PredictionReader, protocols: Sequence[Protocol]
) -> SelectedExpressions:
    """The expressions that count: those a protocol selects, as far as the run was meant to go."""

    def keep(expression: Expression) -> bool:
        return any(protocol.selects(expression) for protocol in protocols)

    return select_expressions(dataset, keep, predictions.run.get("limit"))


def _partial(
    dataset: Dataset,
    selection: SelectedExpressions,
    predictions: PredictionReader,
    protocols: Sequence[Protocol],
) -> Partial | None:
    limit = predictions.run.get("limit")
    while isinstance(dataset, SelectedExpressions):
        dataset = dataset.whole
    selected = [one for video in dataset.videos for one in video.expressions]
    whole = sum(any(protocol.selects(one) for protocol in protocols) for one in selected)
    scored = sum(len(video.expressions) for video in selection.videos)
    if scored == whole:
        return None
    return Partial(f"limited to {limit} expressions" if limit else "a part of the split", scored, whole)


def _refuse_other_data(dataset: Dataset, predictions: PredictionReader) -> None:
    made_on = predictions.dataset_digest
    if made_on is not None and made_on != dataset.digest:
        raise PredictionError(
            "predictions were made on another version of the dataset",
            where=f"{dataset.name} {dataset.split}",
            expected=f"digest {dataset.digest}",
            found=f"{predictions.dataset_name} with digest {made_on}",
            fix="run the same benchmark.evaluate again: only what changed is asked",
        )


def _answers(videos: Sequence[Video], predictions: PredictionReader) -> Iterator[Answers]:
    present = set(predictions.video_ids)
    for video in videos:
        yield predictions.video(video.video_id) if video.video_id in present else {}


def _summary(
    gathered: Gathered, adapter: AdapterInfo | None, protocols: Sequence[Protocol], plan: Bootstrap
) -> tuple[dict[str, SettingScores], RoleErrors | None]:
    scores: dict[str, list[ExpressionScore]] = {protocol.name: [] for protocol in protocols}
    for row in gathered.rows:
        scores[row.score.setting].append(row.score)
    silent = adapter is not None and Role.TARGET not in adapter.roles
    targets = [protocol.name for protocol in protocols if protocol.role is Role.TARGET]
    undefined = dict.fromkeys(targets, NEVER_PREDICTS_TARGETS) if silent else {}
    return summarise(scores, [] if silent else gathered.outcomes, undefined, plan)


def _dataset_facts(dataset: Dataset) -> DatasetFacts:
    return DatasetFacts(
        name=dataset.name,
        split=dataset.split,
        digest=dataset.digest,
        videos=len(dataset.videos),
        expressions=sum(len(video.expressions) for video in dataset.videos),
        frames=sum(len(video.frame_names) for video in dataset.videos),
    )


def _cost(gathered: Gathered, predictions: PredictionReader) -> Cost:
    totals = predictions.run.get("totals") or {}
    timed, videos = len(gathered.seconds), len(gathered.answered_videos)
    # Opening a video belongs to its cost, not to that of one sentence.
    seconds = math.fsum([*gathered.seconds, totals.get("video_seconds", 0.0)]) if timed else None
    on_gpus = [*gathered.gpu_seconds, totals.get("video_gpu_seconds") or 0.0]
    gpu_seconds = math.fsum(on_gpus) if gathered.gpu_seconds else None
    return Cost(
        seconds=seconds,
        seconds_per_video=None if seconds is None else seconds / videos,
        seconds_per_expression=None if seconds is None else seconds / timed,
        timed_expressions=timed,
        peak_memory_bytes=gathered.peak_memory_bytes,
        parameters=predictions.adapter.parameters if predictions.adapter else None,
        frames_per_second=gathered.timed_frames / seconds if seconds else None,
        gpu_seconds=gpu_seconds,
        gpu_seconds_per_expression=None if gpu_seconds is None else gpu_seconds / len(gathered.gpu_seconds),
        peak_gpu_memory_bytes=gathered.peak_gpu_memory_bytes,
    )


def default_output(predictions: Path) -> Path:
    """Where results go unless said otherwise: beside the predictions."""
    if predictions.suffix == ".json":
        return predictions.with_name(f"{predictions.stem}-scores")
    return predictions.parent if predictions.name == FOLDER_NAME else predictions


def main(arguments: Sequence[str]) -> None:
    """The command; see the module's docstring."""
    command = parser("benchmark.score", __doc__)
    command.add_argument("--predictions", type=Path, required=True, metavar="PATH")
    command.add_argument("--dataset", required=True, metavar="NAME")
    command.add_argument("--data-root", type=Path, metavar="DIR")
    command.add_argument("--split", default="val")
    command.add_argument(
        "--settings", metavar="LIST", help=f"of {','.join(SETTINGS)} (default: those of the run)"
    )
    command.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="a folder, or a name ending in .json (default: beside PATH)",
    )
    command.add_argument("--metric-engine", choices=ENGINES, default="auto")
    command.add_argument("--seed", type=int, default=0, help="of the redrawn videos behind the intervals")
    command.add_argument("--breakdown", action="store_true", help="also print J&F per group of expressions")
    command.add_argument("--force", action="store_true", help="replace another result at the output")
    chosen = command.parse_args(arguments)
    check_seed(chosen.seed)
    provenance = collect("benchmark.score", arguments, {"bootstrap": chosen.seed})
    asked = load_protocols(chosen.settings.split(",")) if chosen.settings else None
    dataset = open_dataset(chosen.dataset, chosen.data_root, chosen.split, need_frames=False)
    predictions = open_predictions(chosen.predictions, dataset)
    if "recognised_by" in predictions.run:
        told = f"{predictions.run['layout']}, recognised by {predictions.run['recognised_by']}"
        print(f"{chosen.predictions}: {told}", file=sys.stderr)
    result = score_predictions(
        dataset,
        predictions,
        asked or load_protocols(predictions.run.get("settings", SETTINGS)),
        engine=chosen.metric_engine,
        seed=chosen.seed,
        provenance=provenance,
        progress=True,
    )
    # The table first: it must not be lost when the files cannot be written.
    print(format_table(result, breakdown=chosen.breakdown))
    path = write_result(result, chosen.output or default_output(chosen.predictions), replace=chosen.force)
    print(f"\n{path}")


if __name__ == "__main__":
    run_command(main)
