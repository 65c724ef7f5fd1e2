"""Compares the device engine's kernels with the definition, in Triton's interpreter, which needs no GPU.

    TRITON_INTERPRET=1 python -m tests.benchmark.fuzz.compare_kernels SECONDS [SEED]

Pairs of every family of `mask_generators`, tolerances of 1 to 64 pixels, masks of every dtype, `CLIPS` clips
of one to three frames in a launch. Ends with an error at the first difference.
"""

from __future__ import annotations

import sys
import time
from typing import NamedTuple

import numpy as np
import torch

from benchmark.metrics.definition import frame_counts
from benchmark.metrics.device_clips import TensorPair
from benchmark.metrics.device_engine import batch_counts
from tests.benchmark.kernel_cases import as_kind
from tests.benchmark.mask_generators import adversarial_pair

CLIPS = 12
WIDEST_RADIUS = 64


class Clip(NamedTuple):
    """Masks as tensors, what must be counted in each frame, and how to say which clip it is."""

    masks: TensorPair
    radius: int
    expected: list[list[int]]
    name: str


def random_clip(rng: np.random.Generator, longest: int = 110) -> Clip:
    """A pair of masks and the same moved down, so that objects cross the border between frames."""
    pair = adversarial_pair(rng, longest, WIDEST_RADIUS)
    shifts = [7 * shift for shift in range(int(rng.integers(1, 4)))]
    truth, predicted = (
        np.stack([np.roll(mask, shift, 0) for shift in shifts]) for mask in (pair.truth, pair.predicted)
    )
    kinds = rng.integers(0, 6, 2).tolist()
    sides = (
        as_kind(torch.from_numpy(masks), kind) for masks, kind in zip((truth, predicted), kinds, strict=True)
    )
    frames = zip(truth, predicted, strict=True)
    expected = [frame_counts(*frame, pair.radius).tolist() for frame in frames]
    name = f"{pair.family} {truth.shape}, tolerance {pair.radius}, kinds {kinds}"
    return Clip(TensorPair(*sides), pair.radius, expected, name)


def compare(clips: list[Clip]) -> int:
    """Count all clips in one launch; returns the number of frames.

    Raises:
        SystemExit: when a frame's counts differ from the definition's.
    """
    radii = [clip.radius for clip in clips]
    found = batch_counts([clip.masks for clip in clips], radius=radii, form="triton").numpy().tolist()
    place = 0
    for clip in clips:
        counted = found[place : place + len(clip.expected)]
        if counted != clip.expected:
            raise SystemExit(f"{clip.name}: {counted}, expected {clip.expected}")
        place += len(clip.expected)
    return place


def main() -> None:
    """Until the time is over."""
    seconds, seed = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    torch.set_num_threads(1)
    rng, end, frames = np.random.default_rng(seed), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        frames += compare([random_clip(rng) for _ in range(CLIPS)])
    sys.stdout.write(f"{frames} pairs, seed {seed}: no difference\n")


if __name__ == "__main__":
    main()
