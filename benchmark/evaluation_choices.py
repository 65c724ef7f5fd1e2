"""The command line of `benchmark.evaluate`: its flags, and what they come to."""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.adapter_options import parse_options
from benchmark.command_line import parser
from benchmark.devices import check_device_name
from benchmark.errors import UsageError
from benchmark.metrics.engines import ENGINES
from benchmark.overlays import KINDS, check_kind
from benchmark.prediction_folder import CONSENT
from benchmark.protocol import SETTINGS, load_protocols
from benchmark.query_failures import check_time_limit
from benchmark.selection import WHOLE, Shard, parse_shard

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


def read_choices(arguments: Sequence[str], description: str | None) -> Choices:
    """The command line as `Choices`.

    Args:
        description: what `--help` says beside the flags.

    Raises:
        UsageError: when a value makes no sense.
        EnvironmentProblem: when a time limit cannot be kept here.
    """
    given = command_parser(description).parse_args(arguments)
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


def command_parser(description: str | None) -> argparse.ArgumentParser:
    """The flags."""
    command = parser(MODULE, description)
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
