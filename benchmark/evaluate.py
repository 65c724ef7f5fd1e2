"""Run a model on a dataset through its adapter, store what it predicts, score it, and say the result.

  python -m benchmark.evaluate --adapter reviosa
  python -m benchmark.evaluate --adapter oracle --dataset interrvos --data-root /data/InterRVOS --limit 50
  torchrun --nproc-per-node 4 -m benchmark.evaluate --adapter mine:Model --option size=4b --device cuda

ADAPTER is a file of adapters/, module:Class, or a name that an installed package declares. Without any
words the reference model is evaluated on the built-in synthetic clips.

Predictions are stored as they come, in OUTPUT/predictions. The same command goes on where it was
stopped, however it was stopped, and only scores when nothing is left. If the model, its options, the
seed or the dataset is another one, it says what differs and changes nothing; --restart throws the stored
predictions away. Answers to changed sentences or frames are asked again.

A query that runs out of memory, out of time, or fails otherwise is recorded with its reason, scores 0
and is counted; it stays so until --retry-failed. --strict stops at the first.

--shard I/N does the I-th of N parts (by video); all parts may share one OUTPUT, and the one that finishes
last scores. Parts made on machines without a shared disk are joined by benchmark.merge. Under torchrun
every rank takes its part by itself, on GPU LOCAL_RANK, and rank 0 scores.

--limit N takes the first N expressions; its result is marked partial.

--probe also asks the same videos other sentences (roles swapped, another video's, impossible, paraphrases),
stores the answers in OUTPUT/probe, and says in OUTPUT/probe.json how far the model's answers follow the
sentence. With a finished run it asks these alone. Parts of such a run share one OUTPUT.

Exit codes: 0 done, 1 the input is wrong, 2 usage, 3 internal, 130 interrupted.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from benchmark.adapter import Adapter, check_info, load_adapter
from benchmark.adapter_output import stdout_to_stderr
from benchmark.answer_channel import AnswerChannel, answer_channel
from benchmark.command_line import run_command
from benchmark.datasets import Dataset, open_dataset
from benchmark.devices import resolve_device
from benchmark.errors import DatasetError, UsageError
from benchmark.evaluation_choices import MODULE, Choices, read_choices
from benchmark.inference import InferenceRules, load_weights, predict_videos, unload_weights
from benchmark.overlays import save_overlays
from benchmark.prediction_folder import (
    FOLDER_NAME,
    PredictionFolder,
    open_folder,
    remove_predictions,
    run_identity,
)
from benchmark.predictions import open_predictions
from benchmark.probe_files import write_panel
from benchmark.probe_questions import ProbeQuestions, probe_questions
from benchmark.probes import PROBE_FOLDER, format_panel, score_probes
from benchmark.protocol import Protocol, load_protocols
from benchmark.provenance import collect
from benchmark.ranks import Ranks, world_from_environment
from benchmark.score import format_table, score_predictions, write_result
from benchmark.selection import WHOLE, SelectedExpressions, select_expressions


def main(arguments: Sequence[str]) -> None:
    """The command; see the module's docstring."""
    choices = read_choices(arguments, __doc__)
    world = world_from_environment(os.environ)
    if world is None:
        evaluate(choices, None)
        return
    if choices.shard != WHOLE:
        raise UsageError("the ranks of torchrun are the shards", where="--shard", fix="leave --shard out")
    with Ranks(world, choices.output) as ranks:
        evaluate(choices, ranks)


def evaluate(choices: Choices, ranks: Ranks | None) -> Path | None:
    """Predict what is left, then score.

    Returns:
        The result file; `None` for a shard or rank that leaves scoring to another.
    """
    leads = ranks is None or ranks.world.rank == 0
    protocols = load_protocols(choices.settings)
    with stdout_to_stderr():
        adapter = load_adapter(choices.adapter, choices.options)
    if choices.device.startswith("cuda"):
        resolve_device(choices.device, ranks.world.local if ranks else None)
    if ranks is not None and not leads:
        ranks.wait_for_start()
    dataset = open_dataset(choices.dataset, choices.data_root, choices.split)
    selection = select_expressions(
        dataset, lambda one: any(protocol.selects(one) for protocol in protocols), choices.limit
    )
    if not selection.videos:
        raise DatasetError(
            "no expression to evaluate",
            where=f"{dataset.name} {dataset.split}",
            expected=f"expressions of {', '.join(protocol.name for protocol in protocols)}",
            found=f"{sum(len(video.expressions) for video in dataset.videos)} expressions, none of these",
            fix="choose other --settings, or another dataset or split",
        )
    stored = answer_channel(adapter, selection.whole)
    questions = read_questions(choices, selection, stored)
    check_info(adapter, choices.adapter)
    if leads:
        print(first_line(selection, adapter, protocols), flush=True)
        if questions is not None:
            more = sum(len(video.expressions) for video in questions.to_ask.videos)
            print(f"language probes: {more} more sentences are asked", flush=True)
        if stored is not None:
            print(f"stored answers: {stored.facts.layout}, recognised by {stored.facts.recognised_by}")
    identity = run_identity(adapter, choices.seed, dataset)
    restart = choices.restart and leads
    folder = open_folder(choices.output, adapter, identity, restart)
    jobs = [(selection, folder)]
    if questions is not None:
        beside = open_folder(choices.output / PROBE_FOLDER, adapter, identity, restart)
        jobs.append((questions.to_ask, beside))
    elif restart:
        remove_predictions(choices.output / PROBE_FOLDER / FOLDER_NAME)
    if ranks is not None and leads:
        ranks.open_for_others()
    with stdout_to_stderr():
        predict_what_is_left(choices, ranks, adapter, jobs, stored)
    if ranks is not None and not leads:
        ranks.wait_for_end()
        return None
    if ranks is not None:
        ranks.wait_for_others()
    elif choices.shard != WHOLE and (left := sum(len(place.unanswered(wanted)) for wanted, place in jobs)):
        print(f"this shard is done; other shards have {left} queries left, the last one to finish scores")
        return None
    for wanted, place in jobs:
        place.finish(wanted, choices.limit, choices.settings)
    path = score(choices, selection, protocols, replace=choices.restart or not folder.is_scored)
    if questions is not None:
        new = choices.restart or not all(place.is_scored for _, place in jobs)
        score_panel(choices, selection, questions, replace=new)
    for _, place in jobs:
        place.mark_scored()
    if ranks is not None:
        ranks.finished()
    return path


def predict_what_is_left(
    choices: Choices,
    ranks: Ranks | None,
    adapter: Adapter,
    jobs: Sequence[tuple[SelectedExpressions, PredictionFolder]],
    stored: AnswerChannel | None = None,
) -> None:
    """Ask this process's part of what has no answer yet, one job after the other.

    The model is loaded only if there is any, or if it takes loading to know that its weights are still
    those of the stored answers.
    """
    shard = ranks.world.shard if ranks else choices.shard
    # A strict run must not finish on a failure that an earlier run has recorded.
    retry = choices.retry_failed or choices.strict
    left = []
    for asked, folder in jobs:
        plans = [folder.plan(asked, video, retry) for video in shard.videos(asked.videos)]
        left.append([plan for plan in plans if plan.missing])
    if not any(left) and all(folder.record.is_known_before_load for _, folder in jobs):
        return
    local_rank = ranks.world.local if ranks else None
    device = resolve_device(choices.device, local_rank) if adapter.uses_device else "cpu"
    load_weights(adapter, choices.adapter, device, choices.seed)
    try:
        rules = InferenceRules(
            query_timeout=choices.query_timeout,
            strict=choices.strict,
            show_progress=ranks is None or ranks.world.rank == 0,
        )
        for (asked, folder), missing in zip(jobs, left, strict=True):
            folder.confirm_loaded(adapter, run_identity(adapter, choices.seed, asked))
            if missing:
                seeds = {"model": choices.seed}
                folder.begin_session({**collect(MODULE, choices.arguments, seeds), "device": device})
                predict_videos(adapter, asked.whole, folder, missing, rules, stored)
    finally:
        unload_weights(adapter, choices.adapter)


def read_questions(
    choices: Choices, selection: SelectedExpressions, stored: AnswerChannel | None
) -> ProbeQuestions | None:
    """The probing sentences, if they are wanted.

    Raises:
        UsageError: when the adapter only hands on stored answers.
    """
    if not choices.probe:
        return None
    if stored is not None:
        raise UsageError(
            "stored answers cannot be asked other sentences",
            where=f"--probe --adapter {choices.adapter}",
            fix="probe the model that wrote them, or leave --probe out",
        )
    return probe_questions(selection)


def score_panel(
    choices: Choices, selection: SelectedExpressions, questions: ProbeQuestions, replace: bool
) -> None:
    """Score the answers to the probing sentences, print the panel and write it."""
    place = choices.output / PROBE_FOLDER
    panel = score_probes(
        selection,
        questions,
        open_predictions(choices.output, selection.whole),
        open_predictions(place, questions.to_ask) if questions.to_ask.videos else None,
        engine=choices.metric_engine,
        provenance=collect(MODULE, choices.arguments, {"model": choices.seed, "bootstrap": 0}),
        progress=True,
    )
    print(f"\n{format_panel(panel)}\n", flush=True)
    print(f"probes: {write_panel(panel, choices.output, replace=replace)}")


def score(
    choices: Choices, selection: SelectedExpressions, protocols: Sequence[Protocol], replace: bool
) -> Path:
    """Score the finished predictions, print the table, write the result and the overlays.

    Args:
        replace: whether a result that lies there is about answers that are no more.
    """
    predictions = open_predictions(choices.output, selection.whole)
    result = score_predictions(
        selection.whole,
        predictions,
        protocols,
        engine=choices.metric_engine,
        provenance=collect(MODULE, choices.arguments, {"model": choices.seed, "bootstrap": 0}),
        progress=True,
    )
    # The table first: it must not be lost when the files cannot be written.
    print(f"\n{format_table(result, breakdown=choices.breakdown)}\n", flush=True)
    path = write_result(result, choices.output, replace=replace)
    if choices.save_overlays:
        where = save_overlays(selection, predictions, result, choices.output, choices.save_overlays)
        print(f"overlays: {where}")
    print(f"result: {path}")
    if choices.limit is None and "rvos" in choices.settings:  # every expression was asked
        data = "" if choices.data_root is None else f" --data-root {shlex.quote(str(choices.data_root))}"
        source = shlex.quote(str(choices.output))
        print(f"submit: python -m submissions.pack {source} -o my.zip --model model.json{data}")
    print(f"next: python -m benchmark.compare {shlex.quote(str(path))} OTHER/result.json")
    return path


def first_line(dataset: Dataset, adapter: Adapter, protocols: Sequence[Protocol]) -> str:
    """What is about to be done."""
    info = adapter.info()
    expressions = sum(len(video.expressions) for video in dataset.videos)
    names = ", ".join(f"{protocol.name} v{protocol.version}" for protocol in protocols)
    videos = len(dataset.videos)
    size = f"{videos} video{'s' * (videos != 1)}, {expressions} expression{'s' * (expressions != 1)}"
    return f"{dataset.name} {dataset.split} ({size}); adapter {info.name} {info.version}; {names}"


if __name__ == "__main__":
    run_command(main)
