"""Compares the device engine's kernels, as compiled for a device, with the definition; needs no GPU.

    python -m tests.benchmark.ptx.compare_compiled SECONDS [SEED]

The clips of `fuzz.compare_kernels`, with every check of the PTX machine; blocks and threads run in another
order for each launch. Ends with an error at the first difference or fault.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch

from tests.benchmark.fuzz.compare_kernels import CLIPS, compare, random_clip
from tests.benchmark.ptx.launching import on_the_machine


def main() -> None:
    """Until the time is over."""
    seconds, seed = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    torch.set_num_threads(1)
    rng, end, frames = np.random.default_rng(seed), time.monotonic() + seconds, 0
    with on_the_machine() as machine:
        while time.monotonic() < end:
            machine.seed = int(rng.integers(1, 1 << 32))
            frames += compare([random_clip(rng, 300) for _ in range(CLIPS)])
    launches = len(machine.launches)
    sys.stdout.write(f"{frames} pairs, {launches} launches, seed {seed}: no difference, no fault\n")


if __name__ == "__main__":
    main()
