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

import argparse
import hashlib
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.adapter import Adapter, check_info, load_adapter
from benchmark.adapter_options import parse_options
from benchmark.answer_channel import AnswerChannel, answer_channel
from benchmark.command_line import parser, run_command
from benchmark.datasets import Dataset, open_dataset
from benchmark.devices import check_device_name, resolve_device
from benchmark.errors import DatasetError, UsageError
from benchmark.inference import InferenceRules, load_weights, predict_videos, unload_weights
from benchmark.metrics.engines import ENGINES
from benchmark.overlays import KINDS, check_kind, save_overlays
from benchmark.prediction_folder import (
    CONSENT,
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
from benchmark.protocol import SETTINGS, Protocol, load_protocols
from benchmark.provenance import collect
from benchmark.query_failures import check_time_limit
from benchmark.ranks import Ranks, world_from_environment
from benchmark.score import format_table, score_predictions, write_result
from benchmark.selection import WHOLE, SelectedExpressions, Shard, parse_shard, select_expressions

LONGEST_FOLDER_NAME = 120
DEFAULT_ADAPTER = "reviosa"
DEFAULT_DATASET = "interrvos-synthetic"
MODULE = "benchmark.evaluate"


@dataclass(frozen=True, slots=True)
class Choices:
    """The command line, checked as far as that is possible without opening anything."""

    arguments: tuple[str, ...]
    adapter: str
    options: dict[str, str]
    dataset: str
    data_root: Path | None
    split: str
    settings: tuple[str, ...]
    output: Path
    device: str
    seed: int
    limit: int | None
    shard: Shard
    restart: bool
    retry_failed: bool
    strict: bool
    query_timeout: float | None
    metric_engine: str
    save_overlays: str | None
    breakdown: bool
    probe: bool


def main(arguments: Sequence[str]) -> None:
    """The command; see the module's docstring."""
    choices = read_choices(arguments)
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


def read_choices(arguments: Sequence[str]) -> Choices:
    """The command line as `Choices`.

    Raises:
        UsageError: when a value makes no sense.
        EnvironmentProblem: when a time limit cannot be kept here.
    """
    given = command_parser().parse_args(arguments)
    options = parse_options(given.option)
    if given.trust_remote_code:
        # Of a row that wraps another model, it is that model's code.
        options |= {f"of.{CONSENT}" if "of" in options else CONSENT: "true"}
    settings = tuple(protocol.setting for protocol in load_protocols(given.settings.split(",")))
    shard = parse_shard(given.shard) if given.shard else WHOLE
    check_device_name(given.device)
    check_time_limit(given.query_timeout)
    check_kind(given.save_overlays)
    if given.restart and shard != WHOLE:
        raise UsageError(
            "one shard must not throw away what the others have stored",
            where="--restart --shard",
            fix="choose another --output for all shards",
        )
    if given.output == "":
        fix = "name a folder (an empty variable?), or leave --output out"
        raise UsageError("no place to write to", where="--output ''", fix=fix)
    output = Path(given.output) if given.output else default_output(given, options, settings)
    return Choices(
        arguments=tuple(arguments),
        adapter=given.adapter,
        options=options,
        dataset=given.dataset,
        data_root=given.data_root,
        split=given.split,
        settings=settings,
        output=output,
        device=given.device,
        seed=given.seed,
        limit=given.limit,
        shard=shard,
        restart=given.restart,
        retry_failed=given.retry_failed,
        strict=given.strict,
        query_timeout=given.query_timeout,
        metric_engine=given.metric_engine,
        save_overlays=given.save_overlays,
        breakdown=given.breakdown,
        probe=given.probe,
    )


def default_output(given: argparse.Namespace, options: dict[str, str], settings: tuple[str, ...]) -> Path:
    """`runs/<dataset>-<split>-<adapter>`, and what else decides which predictions or result it is about."""
    parts = [given.dataset, given.split, given.adapter]
    parts += [f"{name}-{value}" for name, value in sorted(options.items()) if not name.endswith(CONSENT)]
    parts += [] if settings == SETTINGS else ["+".join(settings)]
    parts += [] if given.limit is None else [f"first{given.limit}"]
    name = re.sub(r"[^A-Za-z0-9_.+-]+", "-", "-".join(parts)).strip(".-")
    if len(name) > LONGEST_FOLDER_NAME:
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
        name = f"{name[: LONGEST_FOLDER_NAME - 13]}-{digest}"
    return Path("runs") / name


def command_parser() -> argparse.ArgumentParser:
    """The flags."""
    command = parser(MODULE, __doc__)
    model = command.add_argument_group("what is evaluated")
    model.add_argument("--adapter", default=DEFAULT_ADAPTER, metavar="NAME", help="default: %(default)s")
    model.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="of the adapter")
    model.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run the code that a checkpoint brings along (the option trust_remote_code)",
    )
    model.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    model.add_argument("--seed", type=int, default=0, help="of the model (default: %(default)s)")
    data = command.add_argument_group("what it is evaluated on")
    data.add_argument("--dataset", default=DEFAULT_DATASET, metavar="NAME", help="default: %(default)s")
    data.add_argument("--data-root", type=Path, metavar="DIR", help="folder of the dataset's files")
    data.add_argument("--split", default="val", help="default: %(default)s")
    data.add_argument("--settings", default=",".join(SETTINGS), metavar="LIST", help="default: %(default)s")
    data.add_argument("--limit", type=int, metavar="N", help="only the first N expressions")
    data.add_argument("--probe", action="store_true", help="also ask other sentences: does it listen?")
    run = command.add_argument_group("how it is run")
    run.add_argument("--output", metavar="DIR", help="default: runs/<dataset>-<split>-<adapter>")
    run.add_argument("--shard", metavar="I/N", help="only the I-th of N parts, by video; I from 1")
    again = run.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with what is stored (the default)")
    again.add_argument("--restart", action="store_true", help="throw away what is stored")
    run.add_argument("--retry-failed", action="store_true", help="ask stored failures again")
    run.add_argument("--strict", action="store_true", help="stop at the first failed query")
    run.add_argument("--query-timeout", type=float, metavar="SECONDS", help="longest time of one query")
    run.add_argument("--metric-engine", choices=ENGINES, default="auto", help="default: %(default)s")
    shown = command.add_argument_group("what is shown")
    shown.add_argument(
        "--save-overlays", nargs="?", choices=KINDS, const=KINDS[0], help="pictures of the predictions"
    )
    shown.add_argument("--breakdown", action="store_true", help="also J&F per group of expressions")
    return command


if __name__ == "__main__":
    run_command(main)
