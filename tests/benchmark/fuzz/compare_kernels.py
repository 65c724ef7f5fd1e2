"""Compares the device engine's kernels with the definition, in Triton's interpreter, which needs no GPU.

    TRITON_INTERPRET=1 python -m tests.benchmark.fuzz.compare_kernels SECONDS [SEED]

Pairs of every family of `mask_generators`, tolerances of 0 to 40 pixels, predictions as bool, uint8 and
logits. A pair takes a second or so. Ends with an error at the first difference.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import torch

from benchmark.metrics.definition import frame_counts
from benchmark.metrics.device_clips import TensorPair
from benchmark.metrics.device_engine import batch_counts
from tests.benchmark.mask_generators import Pair, adversarial_pair

LARGEST_RADIUS = 40


def as_kind(mask: torch.Tensor, kind: int) -> torch.Tensor:
    """The same mask in one of three dtypes."""
    return (mask, mask.to(torch.uint8) * 9, mask.float() - 0.5)[kind]


def tensors(pair: Pair) -> list[Any]:
    """Both masks as clips of one frame."""
    return [torch.from_numpy(np.ascontiguousarray(mask))[None] for mask in (pair.truth, pair.predicted)]


def main() -> None:
    """Until the time is over."""
    seconds, seed = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    torch.set_num_threads(1)
    rng, end, pairs = np.random.default_rng(seed), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        pair = adversarial_pair(rng, longest=110)
        if pair.radius > LARGEST_RADIUS:
            continue
        truth, predicted = tensors(pair)
        clip = TensorPair(truth, as_kind(predicted, pairs % 3))
        found = batch_counts([clip], radius=pair.radius, form="triton").numpy()[0].tolist()
        expected = frame_counts(pair.truth, pair.predicted, pair.radius).tolist()
        if found != expected:
            raise SystemExit(f"pair {pairs}, {pair.family}: {found}, expected {expected}")
        pairs += 1
    sys.stdout.write(f"{pairs} pairs: no difference\n")


if __name__ == "__main__":
    main()
