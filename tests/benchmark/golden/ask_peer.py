"""Ask the DAVIS 2017 evaluation code for its numbers on our numbered mask pairs, and keep them.

    python tests/benchmark/golden/ask_peer.py PEER --pairs 100000 --answers /tmp/answers.npz
    python tests/benchmark/golden/ask_peer.py PEER --pairs 300 --golden tests/benchmark/golden/davis2017.json
    python tests/benchmark/golden/compare_answers.py /tmp/answers.npz

PEER is a git checkout of github.com/davisvideochallenge/davis2017-evaluation; it needs scikit-image and
OpenCV. Pair i is `mask_generators.numbered_pair(i)`. J and F are what its `db_eval_iou` and
`db_eval_boundary` return; the six integers are taken at the places where `f_measure` sums them, with its
own boundary map and its own dilation. Nothing of the peer is stored but its commit and these numbers.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[3]))

from benchmark.masks import encode
from tests.benchmark.mask_generators import Pair, numbered_pair


def peer_numbers(peer: Any, pair: Pair) -> tuple[list[int], float, float]:
    """The peer's six integers (order of `definition.COLUMNS`), J and F."""
    import cv2
    from skimage.morphology import disk

    truth, predicted = pair.truth, pair.predicted
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # 0 / 0 where both masks are empty
        j = float(peer.db_eval_iou(truth, predicted))
    f = float(peer.db_eval_boundary(truth, predicted, bound_th=pair.radius))
    in_truth, in_predicted = peer._seg2bmap(truth), peer._seg2bmap(predicted)
    element = disk(pair.radius).astype(np.uint8)
    near_truth = cv2.dilate(in_truth.astype(np.uint8), element)
    near_predicted = cv2.dilate(in_predicted.astype(np.uint8), element)
    sums = (
        truth & predicted,
        truth | predicted,
        in_truth,
        in_predicted,
        in_truth * near_predicted,
        in_predicted * near_truth,
    )
    return [int(np.sum(pixels)) for pixels in sums], j, f


def main() -> None:
    """Parse the command line and ask."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peer", type=Path, help="checkout of davis2017-evaluation")
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="number of the first pair")
    parser.add_argument("--answers", type=Path, help="write counts, J and F of each pair to this .npz file")
    parser.add_argument("--golden", type=Path, help="write masks and numbers to this .json file")
    options = parser.parse_args()
    sys.path.insert(0, str(options.peer))
    from davis2017 import metrics as peer

    counts, scores, golden = [], [], []
    for index in tqdm(range(options.first, options.first + options.pairs), mininterval=10):
        pair = numbered_pair(index)
        numbers, j, f = peer_numbers(peer, pair)
        counts.append(numbers)
        scores.append((j, f))
        if options.golden and pair.truth.size <= 70_000:
            golden.append(_golden_record(index, pair, numbers, j, f))
    if options.answers:
        np.savez(options.answers, first=options.first, counts=np.array(counts), scores=np.array(scores))
    if options.golden:
        commit = subprocess.run(
            ["git", "-C", str(options.peer), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
        ).stdout.strip()
        source = {"peer": "github.com/davisvideochallenge/davis2017-evaluation", "commit": commit}
        text = json.dumps({**source, "pairs": golden}).replace('{"pair"', '\n{"pair"')
        options.golden.write_text(text + "\n")


def _golden_record(index: int, pair: Pair, numbers: list[int], j: float, f: float) -> dict[str, Any]:
    texts = [encode(mask) for mask in (pair.truth, pair.predicted)]
    return {
        "pair": index,
        "family": pair.family,
        "size": list(pair.truth.shape),
        "radius": pair.radius,
        "masks": [text.decode() if text else None for text in texts],
        "counts": numbers,
        "J": j.hex(),
        "F": f.hex(),
    }


if __name__ == "__main__":
    main()
