"""What the device engine's kernels cost as compiled for a CUDA device, as far as that is known without one.

    python -m tests.benchmarks.measure_compiled_kernels

Needs Triton and g++, no GPU. Counts the instructions that all threads execute for a pair of masks (PTX of
compute capability 9.0, on the machine of `tests.benchmark.ptx`; also those whose guard does not hold), the
registers of a thread, and the bytes that masks, bits and maps take. The masks are those of
`measure_metrics`; their counts must be the definition's. The instructions are also given as time on a device
that executes `--rate` of them a second at `--clock` (by default an H100: 132 multiprocessors that begin four
warps of 32 threads in a clock of 1.755 GHz), a bound that no kernel reaches.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import torch

from benchmark.metrics.definition import boundary_radius, frame_counts
from benchmark.metrics.device_clips import Size, TensorPair, frame_bytes
from benchmark.metrics.device_engine import batch_counts
from tests.benchmark.mask_generators import object_pair
from tests.benchmark.ptx.launching import Launched, on_the_machine

KERNELS = ("pack", "outline", "match")
THREADS_A_CLOCK = 132 * 4 * 32
CLOCK = 1.755e9


def launched(size: tuple[int, int], pairs: int, kind: str) -> list[Launched]:
    """The launches for some pairs of a size, once their counts are found right."""
    rng = np.random.default_rng(5)
    masks = [object_pair(rng, *size) for _ in range(pairs)]
    truth, predicted = (torch.from_numpy(np.stack([pair[side] for pair in masks])) for side in (0, 1))
    if kind == "logits":
        predicted = predicted.to(torch.bfloat16) - 0.5
    with on_the_machine() as machine:
        found = batch_counts([TensorPair(truth, predicted)], form="triton").numpy().tolist()
    radius = boundary_radius(*size)
    if found != [frame_counts(*pair, radius).tolist() for pair in masks]:
        raise SystemExit(f"{size}: the kernels count something else than the definition")
    return machine.launches


def main() -> None:
    """One line for each size and kind of masks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--sizes", nargs="+", default=["480x854", "720x1280", "1080x1920"])
    parser.add_argument("--rate", type=float, default=THREADS_A_CLOCK, help="instructions a clock")
    parser.add_argument("--clock", type=float, default=CLOCK)
    options = parser.parse_args()
    torch.set_num_threads(1)
    header = "".join(f"{name:>10}" for name in (*KERNELS, "all", "us", "read", "scratch"))
    sys.stdout.write(f"{'size':<12}{'masks':<8}{header}\n")
    for name in options.sizes:
        height, width = (int(side) for side in name.split("x"))
        size = Size(height, width, boundary_radius(height, width))
        for kind, bytes_a_pixel in (("bool", 2), ("logits", 3)):
            launches = launched((height, width), options.pairs, kind)
            counts = [
                sum(one.instructions for one in launches if one.name == kernel) / options.pairs
                for kernel in KERNELS
            ]
            microseconds = 1e6 * sum(counts) / options.rate / options.clock
            read = bytes_a_pixel * height * width
            scratch = 2 * 2 * (height * width / 8) + 2 * frame_bytes(size, size.radius)
            row = "".join(f"{count / 1e6:>9.2f}M" for count in (*counts, sum(counts)))
            row += f"{microseconds:>10.3f}{read / 1e6:>8.2f}MB{scratch / 1e6:>8.2f}MB"
            sys.stdout.write(f"{name:<12}{kind:<8}{row}\n")


if __name__ == "__main__":
    main()
