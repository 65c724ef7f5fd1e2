"""Milliseconds an object-frame from two folders of mask PNGs to J and F, and what reading them takes.

    python -m tests.benchmarks.measure_png_trees [--frames 50] [--rounds 7] [--sizes 480p 720p 1080p]

Masks are those of the other metric benchmarks, written by Pillow as 8-bit images of 0 and 255. Times are
processor time of one thread, the best of some rounds: the whole of `score_tracks` on two folders, and a
single file read by this package and by Pillow.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmark.masks import read_mask_png
from benchmark.metrics import score_tracks
from benchmark.png_masks import decode_index_map, inflater
from tests.benchmarks.metric_cases import SIZES, make_case


def best(work: Callable[[], Any], rounds: int) -> float:
    """Milliseconds of processor time, the least of some rounds."""
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return 1000 * min(spent)


def write_folders(place: Path, size: str, frames: int) -> None:
    """Folders of truth and prediction."""
    case = make_case(size, frames)
    for name, masks in (("truth", case.truth), ("predicted", case.predicted)):
        (place / name).mkdir()
        for index, mask in enumerate(masks):
            Image.fromarray(mask.astype(np.uint8) * 255).save(place / name / f"{index:05d}.png")


def main() -> None:
    """Measure and print a line for each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    options = parser.parse_args()
    print(f"milliseconds, one thread, inflated by {inflater()}")
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            write_folders(place, size, options.frames)
            whole = best(
                lambda place=place: score_tracks(place / "truth", place / "predicted"), options.rounds
            )
            data = [path.read_bytes() for path in sorted((place / "truth").iterdir())]
        ours = best(lambda data=data: [decode_index_map(each) for each in data], options.rounds)
        pillow = best(lambda data=data: [read_mask_png(each) for each in data], 1)
        whole, ours, pillow = (spent / options.frames for spent in (whole, ours, pillow))
        print(f"{size:6} {whole:.3f} an object-frame; a file {ours:.3f}, by Pillow {pillow:.3f}")


if __name__ == "__main__":
    main()
