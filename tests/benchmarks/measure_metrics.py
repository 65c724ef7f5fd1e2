"""How many times faster than the DAVIS 2017 code each engine scores mask pairs, in one run.

    REFEREE_DAVIS2017=CHECKOUT python -m tests.benchmarks.measure_metrics
    python -m tests.benchmarks.measure_metrics --pairs 20 --rounds 5
    python -m tests.benchmarks.measure_metrics --sizes 480p

Times are processor time of one thread, the best of several rounds in which all contestants take turns, so
a busy machine disturbs all of them alike; the scores of all contestants are compared on the way. Then comes
how much faster several predictions of one truth are counted together than one by one. The last line of a
size is the wall time of one and of two threads, which means something on an idle machine only.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from benchmark.metrics import compiled_engine
from benchmark.metrics.engines import pair_counts
from tests.benchmarks.metric_cases import (
    SIZES,
    Case,
    Job,
    make_case,
    our_jobs,
    peer_job,
    peer_of,
    shared_truth_jobs,
)


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


def threads_gain(case: Case) -> tuple[float, float]:
    """Seconds of wall time for the case sixteen times over on one and on two threads."""
    pairs = [(case.truth_track, case.predicted_track, case.radius)] * 16
    seconds = []
    for threads in (1, 2):
        runs = []
        for _ in range(5):
            start = time.perf_counter()
            for _ in pair_counts(pairs, threads=threads):
                pass
            runs.append(time.perf_counter() - start)
        seconds.append(min(runs))
    return seconds[0], seconds[1]


def main() -> None:
    """Parse the command line, measure, print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    options = parser.parse_args()
    for size in options.sizes:
        case = make_case(size, options.pairs)
        peer_name, evaluate = peer_of(case)
        seconds = best_times({peer_name: peer_job(case, evaluate), **our_jobs(case)}, options.rounds)
        sys.stdout.write(f"\n{size}, {options.pairs} pairs: microseconds a pair, times {peer_name}\n")
        for name, spent in seconds.items():
            micro = 1e6 * spent / options.pairs
            sys.stdout.write(f"  {name:24} {micro:10.2f} {seconds[peer_name] / spent:8.0f}\n")
        for level in compiled_engine.levels():
            for predictions in (2, 4):
                jobs = shared_truth_jobs(size, options.pairs // predictions + 1, predictions, level)
                shared = best_times(jobs, options.rounds)
                gain = shared["one by one"] / shared["together"]
                sys.stdout.write(f"  {level}, {predictions} predictions of one truth: {gain:.2f} times\n")
        one, two = threads_gain(case)
        sys.stdout.write(f"  wall time on two threads: {one / two:.2f} times as fast as on one\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
