"""Compare every engine and every instruction set of this machine with a peer's stored answers.

    python tests/benchmark/golden/compare_answers.py ANSWERS.npz [--pairs N]

ANSWERS is a file that `ask_peer.py --answers` wrote. Integers must be equal and J and F the same float64
to the last bit. Ends with exit code 1 if one number differs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[3]))

from benchmark.masks import encode
from benchmark.metrics import compiled_engine, packed_engine
from benchmark.metrics.definition import Counts, frame_counts
from benchmark.metrics.scores import boundary_accuracy, region_similarity
from tests.benchmark.mask_generators import Pair, numbered_pair


def all_answers(pair: Pair) -> dict[str, Counts]:
    """The six integers of a pair by every engine that this machine can run."""
    height, width = pair.truth.shape
    texts = (encode(pair.truth),), (encode(pair.predicted),)
    dense = pair.truth[None], pair.predicted[None]
    answers = {
        "reference": frame_counts(pair.truth, pair.predicted, pair.radius),
        "numpy": packed_engine.track_counts(*texts, height, width, pair.radius)[0],
    }
    for level in compiled_engine.levels():
        by_text = compiled_engine.track_counts(*texts, height, width, pair.radius, level)
        answers[f"text, {level}"] = by_text[0]
        answers[f"bytes, {level}"] = compiled_engine.mask_counts(*dense, pair.radius, level)[0]
    return answers


def main() -> int:
    """Parse the command line and compare; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("answers", type=Path)
    parser.add_argument("--pairs", type=int, help="compare only this many")
    options = parser.parse_args()
    with np.load(options.answers) as stored:
        first, counts, scores = int(stored["first"]), stored["counts"], stored["scores"]
    number = min(options.pairs or len(counts), len(counts))
    wrong: dict[str, int] = {}
    for offset in tqdm(range(number), mininterval=10):
        pair = numbered_pair(first + offset)
        for engine, answer in all_answers(pair).items():
            ours = np.array([region_similarity(answer), boundary_accuracy(answer)])
            same = np.array_equal(answer, counts[offset]) and ours.tobytes() == scores[offset].tobytes()
            wrong[engine] = wrong.get(engine, 0) + (not same)
            if not same:
                found = f"{answer} {ours}, peer {counts[offset]} {scores[offset]}"
                print(f"pair {first + offset} ({pair.family}): {engine} {found}")
    for engine, mismatches in wrong.items():
        print(f"{engine:24} {number} pairs, {mismatches} mismatches")
    return 1 if any(wrong.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
