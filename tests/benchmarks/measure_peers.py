"""How many times faster than other evaluators the metric core scores mask pairs, in one run.

    REFEREE_DAVIS2017=A REFEREE_VOS_BENCHMARK=B REFEREE_SAM2=C REFEREE_TRACKEVAL=D \\
        python -m tests.benchmarks.measure_peers [--pairs 30] [--rounds 5] [--sizes 480p 720p 1080p]

Each variable names a checkout; evaluators without one are left out with a line that says so. Every evaluator
gets the pairs in memory in the form it works on (arrays, or COCO masks for TrackEval) and returns J and F of
every frame; all must agree to the last bit. Times are processor time of one thread, the best of some rounds
in which all take turns.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np

from benchmark.metrics import compiled_engine
from tests.benchmarks.dense_peer import davis2017
from tests.benchmarks.measure_metrics import best_times
from tests.benchmarks.metric_cases import SIZES, Case, Job, Scores, make_case, our_jobs, peer_job

Peer = Callable[[Any, Case], Job]


def vos_job(module: Any, case: Case) -> Job:
    """vos-benchmark and SA-V: one object of every frame, fed frame by frame."""
    frames = [
        (p.astype(np.uint8), t.astype(np.uint8)) for t, p in zip(case.truth, case.predicted, strict=True)
    ]

    def job() -> Scores:
        found = []
        for predicted, truth in frames:
            evaluator = module.Evaluator()
            evaluator.feed_frame(predicted, truth)
            # A frame without any object is not counted by these; by the definition it scores 1.
            found.append((evaluator.object_iou.get(1, [1.0])[0], evaluator.boundary_f.get(1, [1.0])[0]))
        return np.array(found, np.float64).T

    return job


def trackeval_job(module: Any, case: Case) -> Job:
    """TrackEval: J of all frames and F of all frames of one track, from COCO masks."""
    from pycocotools import mask as coco

    def encoded(masks: Any) -> list[list[Any]]:
        return [[coco.encode(np.asfortranarray(mask.astype(np.uint8)))] for mask in masks]

    truth, predicted = encoded(case.truth), encoded(case.predicted)
    metric = module.JAndF()

    def job() -> Scores:
        j = metric._compute_j(truth, predicted, 1, 1, len(truth))[0, 0]
        return np.array([j, metric._compute_f(truth, predicted, 0, 0, 0.008)])

    return job


PEERS: dict[str, tuple[str, str, str, Peer]] = {
    "vos-benchmark": ("REFEREE_VOS_BENCHMARK", "", "vos_benchmark.evaluator", vos_job),
    "SA-V": ("REFEREE_SAM2", "sav_dataset", "utils.sav_benchmark", vos_job),
    "TrackEval": ("REFEREE_TRACKEVAL", "", "trackeval.metrics.j_and_f", trackeval_job),
}


def peers() -> dict[str, Callable[[Case], Job]]:
    """The evaluators that can be imported; says what is missing."""
    found: dict[str, Callable[[Case], Job]] = {}
    evaluate, reason = davis2017()
    if evaluate:
        found["davis2017"] = partial(peer_job, evaluate=evaluate)
    else:
        print(f"davis2017: {reason}")
    for name, (variable, folder, module_name, job) in PEERS.items():
        checkout = os.environ.get(variable)
        if not checkout:
            print(f"{name}: {variable} names no checkout")
            continue
        sys.path.insert(0, os.path.join(checkout, folder))
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                module = importlib.import_module(module_name)
        except ImportError as error:
            print(f"{name}: the checkout at {checkout} cannot be imported: {error}")
        else:
            found[name] = partial(job, module)
        finally:
            sys.path.pop(0)
    return found


def main() -> None:
    """Measure and print one table for each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    known = peers()
    if not known:
        raise SystemExit("no evaluator to measure against")
    level = compiled_engine.levels()[0]
    for size in options.sizes:
        case = make_case(size, options.pairs)
        ours = our_jobs(case)[f"text, {level}"]
        jobs = {"ours": ours, **{name: make(case) for name, make in known.items()}}
        seconds = best_times(jobs, options.rounds)
        print(f"\n{size}, {options.pairs} pairs: microseconds a pair, times slower than text on {level}")
        for name, spent in seconds.items():
            print(f"  {name:16} {1e6 * spent / options.pairs:12.2f} {spent / seconds['ours']:8.0f}")


if __name__ == "__main__":
    main()
