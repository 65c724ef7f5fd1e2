"""Train and score the four rows of the ablation: baseline, attention mask loss, role tokens, both.

All rows begin with one start, which is made first (once; 15 to 30 minutes of a core). Then every row is
trained with every seed, a few minutes of one core each, scored on the synthetic set by
`benchmark.evaluate`, and compared with the other rows seed by seed. What is finished is kept: the same
command goes on where it was stopped, and prints the table again when nothing is left. The table is
written anew after each run (table.md, ablation.json, ablation.png), so that a job cut off by a time limit
has one too.

    python -m reference_model.ablate --output runs/ablation --start-only
    python -m reference_model.ablate --output runs/ablation --seeds 4 --jobs 14
    python -m reference_model.ablate --output runs/trial --seeds 1 --steps-scale 0.01 --limit 12
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmark.command_line import parser, run_command, unknown_name
from benchmark.stored_files import write_atomically, write_json
from reference_model.ablation_recipes import ROWS
from reference_model.environment import require_packages
from reference_model.option_bounds import require_at_least, require_scale, require_seed

SUMMARY, TABLE, CHART = "ablation.json", "table.md", "ablation.png"
PATIENCE = 10.0  # seconds that interrupted runs are given to store their state


def build_parser() -> Any:
    """The command line."""
    command = parser("reference_model.ablate", __doc__)
    command.add_argument("--output", type=Path, default=Path("runs/ablation"), help="folder of all runs")
    command.add_argument("--rows", default=",".join(ROWS), help=f"some of {','.join(ROWS)} (default: all)")
    command.add_argument("--seeds", type=int, default=4, help="number of seeds (default: 4)")
    command.add_argument("--first-seed", type=int, default=0, help="the first of them (default: 0)")
    command.add_argument("--jobs", type=int, default=1, help="runs side by side, a thread each (default: 1)")
    command.add_argument("--steps-scale", type=float, default=1.0, help="multiply the steps of all stages")
    command.add_argument("--limit", type=int, help="score the first so many expressions (default: all)")
    command.add_argument("--start-only", action="store_true", help="make the start and stop")
    return command


def main(arguments: Sequence[str]) -> int:
    """Run what is missing, then print the table."""
    options = build_parser().parse_args(arguments)
    rows = options.rows.split(",")
    _check(options, rows)
    require_packages()
    import torch
    from tqdm import tqdm

    from reference_model.ablation_runs import Job, check_start, make_start

    torch.set_num_threads(1)
    make_start(options.output, options.steps_scale)
    if options.start_only:
        print(os.fspath(options.output))
        return 0
    # All rows of one seed before those of the next: whatever is cut off, whole comparisons remain.
    jobs = [
        Job(options.output, row, options.first_seed + seed, options.steps_scale, options.limit)
        for seed in range(options.seeds)
        for row in rows
    ]
    bar = tqdm(total=len(jobs), desc="runs", unit="run", file=sys.stderr, disable=options.jobs == 1)
    with bar:
        for job in _finished(jobs, options.jobs):
            bar.update()
            print(f"{job.row} with seed {job.seed}: scored, {job.result}", file=sys.stderr)
            _write_table(options.output)
    check_start(options.output)
    print(_write_table(options.output))
    print(f"\n{options.output / TABLE}")
    return 0


def _check(options: Any, rows: Sequence[str]) -> None:
    for row in rows:
        if row not in ROWS:
            raise unknown_name("row", row, list(ROWS), "--rows")
    for flag, value in (("--seeds", options.seeds), ("--jobs", options.jobs), ("--limit", options.limit)):
        require_at_least(1, flag, value)
    require_seed("--first-seed", options.first_seed)
    require_scale("--steps-scale", options.steps_scale)


def _finished(jobs: Sequence[Any], side_by_side: int) -> Iterator[Any]:
    """The jobs as they get done."""
    from reference_model.ablation_runs import run_job

    if side_by_side == 1:
        yield from (run_job(job, show=True) for job in jobs)
        return
    # torch and fork do not go together.
    pool = ProcessPoolExecutor(side_by_side, multiprocessing.get_context("spawn"))
    try:
        for future in as_completed([pool.submit(run_job, job) for job in jobs]):
            yield future.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        children = multiprocessing.active_children()
        for child in children:  # they have been interrupted too, and are storing where they stand
            child.join(PATIENCE / len(children))
            child.terminate()
        raise
    pool.shutdown()


def _write_table(folder: Path) -> str:
    """Tables over every finished run below the folder, also those of earlier commands."""
    from reference_model.ablation_chart import ablation_chart
    from reference_model.ablation_runs import RESULT, SCORES
    from reference_model.ablation_table import ablation_summary, format_ablation, read_scores

    runs = {}
    for result in sorted(folder.glob(f"*-*/{SCORES}/{RESULT}")):
        row, _, seed = result.parent.parent.name.rpartition("-")
        if row in ROWS and seed.isdecimal():
            runs[row, int(seed)] = read_scores(result.with_name("expressions.csv"))
    summary = ablation_summary(runs)
    table = format_ablation(summary, list(ROWS))
    write_json(folder / SUMMARY, summary)
    write_atomically(folder / CHART, ablation_chart(summary, list(ROWS)))
    write_atomically(folder / TABLE, f"{table}\n".encode())
    return table


if __name__ == "__main__":
    run_command(main)
