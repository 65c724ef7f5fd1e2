"""How many times faster than the DAVIS 2017 code each engine scores mask pairs, in one run.

    REFEREE_DAVIS2017=CHECKOUT python -m tests.benchmarks.measure_metrics --output metrics.json
    python -m tests.benchmarks.measure_metrics --pairs 20 --rounds 5
    python -m tests.benchmarks.measure_metrics --sizes 480p

Times are processor time of one thread, the best of several rounds in which all contestants take turns, so
a busy machine disturbs all of them alike; the scores of all contestants are compared on the way. Then comes
how much faster several predictions of one truth are counted together than one by one, and the wall time of
two threads against one, which means something on an idle machine only; beside it what two processes that
share nothing gain over one, which is what the machine has to give. NumPy, OpenCV and scikit-image are all it
needs besides the referee. About a minute on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.metrics import compiled_engine
from benchmark.metrics.engines import pair_counts, usable_processors
from benchmark.provenance import machine
from tests.benchmarks.metric_cases import (
    SIZES,
    Case,
    Job,
    make_case,
    our_jobs,
    peer_job,
    peer_of,
    shared_truth,
    shared_truth_jobs,
)

PREDICTIONS = (2, 4)
"""So many predictions of one truth are counted together."""

PACKAGES = ("numpy", "opencv-python-headless", "opencv-python", "scikit-image")


def best_times(jobs: dict[str, Job], rounds: int) -> dict[str, float]:
    """Seconds of processor time of each job, the best of some rounds; all must return the same scores."""
    best: dict[str, float] = {}
    expected = None
    for _ in range(rounds):
        for name, job in jobs.items():
            # Short jobs a few times each turn: the first run after another job finds the caches taken.
            for _ in range(1 if best.get(name, 1.0) > 0.05 else 5):
                start = time.process_time()
                scores = job()
                spent = time.process_time() - start
                best[name] = min(spent, best.get(name, spent))
            expected = scores if expected is None else expected
            if not np.array_equal(scores, expected):
                raise SystemExit(f"{name} gives other scores than {next(iter(jobs))}")
    return best


ROUNDS_OF_TWO = 9


def count_all(case: Case, tracks: int, threads: int) -> float:
    """Wall time of counting a case as often as said."""
    pairs = [(case.truth_track, case.predicted_track, case.radius)] * tracks
    start = time.perf_counter()
    for _ in pair_counts(pairs, threads=threads):
        pass
    return time.perf_counter() - start


def threads_gain(case: Case, tracks: int) -> float | None:
    """Wall time of one thread over that of two; `None` on one processor."""
    if usable_processors() < 2:
        return None
    times = [[count_all(case, tracks, threads) for threads in (1, 2)] for _ in range(ROUNDS_OF_TWO)]
    alone, together = np.min(times, axis=0)
    return float(alone / together)


def one_process(number: int, size: str, pairs: int, tracks: int, turns: Any, times: Any) -> None:
    """What each of two processes does: count, when it is the turn of its own number, or of both."""
    case = make_case(size, pairs)
    for turn in range(ROUNDS_OF_TWO):
        for working in ((0,), (1,), (0, 1)):
            turns.wait()
            if number in working:
                times.put((working, turn, count_all(case, tracks, 1)))
            turns.wait()


def processes_gain(size: str, pairs: int, tracks: int) -> float | None:
    """The same for two processes, each with all the work of one; `None` on one processor."""
    if usable_processors() < 2:
        return None
    context = multiprocessing.get_context("spawn")
    turns, times = context.Barrier(2), context.Queue()
    works = [
        context.Process(target=one_process, args=(number, size, pairs, tracks, turns, times))
        for number in (0, 1)
    ]
    for work in works:
        work.start()
    longest: dict[tuple[tuple[int, ...], int], float] = {}
    for _ in range(4 * ROUNDS_OF_TWO):
        working, turn, spent = times.get()
        longest[working, turn] = max(spent, longest.get((working, turn), 0.0))
    for work in works:
        work.join()
    alone = min(spent for (working, _), spent in longest.items() if len(working) == 1)
    together = min(spent for (working, _), spent in longest.items() if len(working) == 2)
    return 2 * alone / together


def shared_gains(size: str, pairs: int, rounds: int) -> dict[str, dict[int, float]]:
    """By instruction set and number of predictions: how much faster together than one by one."""
    case = shared_truth(size, pairs // max(PREDICTIONS) + 1, max(PREDICTIONS))
    gains: dict[str, dict[int, float]] = {}
    for level in compiled_engine.levels():
        for predictions in PREDICTIONS:
            seconds = best_times(shared_truth_jobs(case, predictions, level), rounds)
            gains.setdefault(level, {})[predictions] = seconds["one by one"] / seconds["together"]
    return gains


def measure(size: str, pairs: int, rounds: int) -> dict[str, Any]:
    """Everything about one frame size."""
    case = make_case(size, pairs)
    peer_name, evaluate = peer_of(case)
    seconds = best_times({peer_name: peer_job(case, evaluate), **our_jobs(case)}, rounds)
    tracks = 5760 // pairs // (1 + list(SIZES).index(size))
    return {
        "peer": peer_name,
        "pairs": pairs,
        "microseconds_a_pair": {name: 1e6 * spent / pairs for name, spent in seconds.items()},
        "times_the_peer": {name: seconds[peer_name] / spent for name, spent in seconds.items()},
        "predictions_together": shared_gains(size, pairs, rounds),
        "two_threads": threads_gain(case, tracks),
        "two_processes": processes_gain(size, pairs, tracks),
    }


def print_size(size: str, found: dict[str, Any]) -> None:
    """One table."""
    sys.stdout.write(f"\n{size}, {found['pairs']} pairs: microseconds a pair, times {found['peer']}\n")
    for name, micro in found["microseconds_a_pair"].items():
        sys.stdout.write(f"  {name:24} {micro:10.2f} {found['times_the_peer'][name]:8.1f}\n")
    for level, gains in found["predictions_together"].items():
        listed = ", ".join(f"{count}: {gain:.2f} times" for count, gain in gains.items())
        sys.stdout.write(f"  predictions of one truth counted together, {level}: {listed}\n")
    if found["two_threads"] is not None:
        sys.stdout.write(
            f"  two threads: {found['two_threads']:.2f} times as fast as one (wall time); "
            f"two processes that share nothing: {found['two_processes']:.2f} times\n"
        )
    sys.stdout.flush()


def packages() -> dict[str, str]:
    """Versions of what the peer computes with."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def main() -> None:
    """Parse the command line, measure, print a table for each size and keep all of it if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--output", type=Path, help="where to keep all figures, as JSON")
    options = parser.parse_args()
    report: dict[str, Any] = {"machine": machine(), "packages": packages(), "sizes": {}}
    for size in options.sizes:
        report["sizes"][size] = measure(size, options.pairs, options.rounds)
        print_size(size, report["sizes"][size])
        if options.output:
            options.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
