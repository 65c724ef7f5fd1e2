"""Is the device engine exact on this GPU, how fast is it, and how far from the limit of its memory?

One command on a machine with a CUDA device, from the repository's root; it prints tables and writes
everything to a JSON file:

    python -m tests.benchmarks.measure_device_engine --output device_engine.json
    python -m tests.benchmarks.measure_device_engine --pairs 2000 --repeats 5
    python -m tests.benchmarks.measure_device_engine --pairs 0 --sizes 480x854

Exactness: adversarial pairs of `mask_generators`, of mixed sizes and tolerances in each launch, against
the processor's engine on the same masks, and one pair in fifty against the definition. Time: CUDA
events around `batch_counts`, the median of the repeats; batches are several times the L2 cache. Limit:
the bytes that must be moved at the copy bandwidth measured here, and the operations that were counted
by hand from the kernels for the tiles that hold boundary bits.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from benchmark.errors import EnvironmentProblem
from benchmark.masks import encode
from benchmark.metrics import device_engine, device_texts, engines
from benchmark.metrics.definition import boundary_radius, frame_counts
from benchmark.metrics.device_clips import TensorPair
from tests.benchmark.mask_generators import Pair, adversarial_pair, object_pair

SIZES = ("480x854", "720x1280", "1080x1920", "2160x3840")
BATCH_BYTES = 1 << 30
KINDS = ("bool", "uint8", "bfloat16 logits")

# 32-bit operations, counted in `triton_kernels`. Packing: compare, shift and add for each pixel in
# `pack_values`; four pixels share ten operations in `pack_bytes`.
PACK_OPERATIONS = {"values": 5.0, "bytes": 2.5}
# For one 64-bit word with boundary bits, one direction: three boundaries on each of two lines for each
# distance (each of 9 operations on two halves), and 13 operations on two halves for each widening step.
LINE_OPERATIONS = 2 * 3 * 9 * 2
STEP_OPERATIONS = 13 * 2


class Answered(NamedTuple):
    pair: Pair
    counts: list[int]


def answered_pairs(job: tuple[int, int]) -> list[Answered]:
    """Some pairs with the counts of the processor's engine."""
    seed, count = job
    rng, answers = np.random.default_rng([99, seed]), []
    for index in range(count):
        pair = adversarial_pair(rng, 400)
        counts = engines.mask_counts(pair.truth[None], pair.predicted[None], pair.radius)[0].tolist()
        if index % 50 == 0 and frame_counts(pair.truth, pair.predicted, pair.radius).tolist() != counts:
            raise SystemExit(f"the processor's engine differs from the definition: seed {seed}, pair {index}")
        answers.append(Answered(pair, counts))
    return answers


def check(total: int, form: str) -> dict[str, Any]:
    """Compare `total` pairs; the report names the first differences."""
    import torch

    each, differing, done = 500, [], 0
    jobs = [(seed, min(each, total - seed * each)) for seed in range(-(-total // each))]
    with multiprocessing.get_context("spawn").Pool() as pool:
        for batch in tqdm(pool.imap(answered_pairs, jobs), total=len(jobs), desc=f"exactness, {form}"):
            tensors = []
            for index, (pair, _) in enumerate(batch):
                truth, predicted = (
                    torch.from_numpy(masks[None].copy()).cuda() for masks in (pair.truth, pair.predicted)
                )
                tensors.append(TensorPair(truth, as_kind(predicted, KINDS[index % 3])))
            radii = [answer.pair.radius for answer in batch]
            found = device_engine.batch_counts(tensors, radius=radii, form=form).numpy().tolist()
            done += len(batch)
            for answer, counts in zip(batch, found, strict=True):
                if counts != answer.counts:
                    pair = answer.pair
                    differing.append(
                        [pair.family, list(pair.truth.shape), pair.radius, answer.counts, counts]
                    )
    return {"form": form, "pairs": done, "different": len(differing), "first": differing[:5]}


def as_kind(masks: Any, kind: str) -> Any:
    import torch

    if kind == "bool":
        return masks
    return masks.to(torch.uint8) * 255 if kind == "uint8" else masks.to(torch.bfloat16) - 0.5


def seconds_of(work: Callable[[], Any], repeats: int) -> float:
    """Median time on the device."""
    import torch

    work()
    times = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return statistics.median(times)


def copy_bandwidth(repeats: int) -> float:
    """Bytes read plus bytes written in a second, by a copy on the device."""
    import torch

    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.numel() / seconds_of(lambda: target.copy_(source), repeats)


def realistic_batch(height: int, width: int, count: int) -> list[np.ndarray]:
    """Truth and prediction (count, H, W): sixteen objects, shifted along the frame."""
    rng = np.random.default_rng(5)
    originals = [object_pair(rng, height, width) for _ in range(16)]
    sides = []
    for side in range(2):
        masks = np.stack([pair[side] for pair in originals])
        repeated = [np.roll(masks[index % 16], 5 * (index // 16), axis=1) for index in range(count)]
        sides.append(np.stack(repeated))
    return sides


def operations(truth: np.ndarray, predicted: np.ndarray, radius: int, packing: str) -> float:
    """32-bit operations for one pair, averaged over a few: packing, and the disk where tiles need it."""
    from benchmark.metrics.definition import boundary_map
    from benchmark.metrics.packed_engine import widening_steps

    steps = sum(len(part) for part in widening_steps(radius))
    words, active = -(-truth.shape[2] // 64), 0
    for pair in zip(truth[:16], predicted[:16], strict=True):
        for mask in pair:
            lines, columns = np.nonzero(boundary_map(mask))
            tiles = np.unique((lines * words + columns // 64) // 128)
            active += 128 * tiles.size
    disk = active / 16 * (LINE_OPERATIONS * (radius + 1) + STEP_OPERATIONS * steps)
    return float(2 * truth[0].size * PACK_OPERATIONS[packing] + disk)


def time_sizes(
    sizes: list[str], forms: list[str], repeats: int, bandwidth: float
) -> Iterator[dict[str, Any]]:
    import torch

    for size in sizes:
        height, width = (int(side) for side in size.split("x"))
        count = max(16, min(1024, BATCH_BYTES // (2 * height * width)))
        truth, predicted = realistic_batch(height, width, count)
        radius = boundary_radius(height, width)
        on_device = [torch.from_numpy(masks).cuda() for masks in (truth, predicted)]
        for kind in KINDS:
            pair = TensorPair(*(as_kind(masks, kind) for masks in on_device))
            item = pair.truth.element_size()
            packed = 2 * 8 * height * -(-width // 64)
            moved = 2 * height * width * item + 2 * packed  # masks read; bits written and read again
            packing = "bytes" if item == 1 and width % 4 == 0 else "values"
            for form in forms:
                if form == "torch" and kind != "bool":
                    continue
                seconds = seconds_of(lambda f=form, p=pair: device_engine.batch_counts([p], form=f), repeats)
                yield {
                    "size": size,
                    "masks": kind,
                    "form": form,
                    "pairs": count,
                    "microseconds_a_pair": 1e6 * seconds / count,
                    "bytes_a_pair": moved,
                    "microseconds_at_copy_bandwidth": 1e6 * moved / bandwidth,
                    "operations_a_pair": operations(truth, predicted, radius, packing),
                }
            del pair
        yield time_text(size, truth[:256], predicted[:256], radius)


def time_text(size: str, truth: np.ndarray, predicted: np.ndarray, radius: int) -> dict[str, Any]:
    """Run-length text to integers on the host: decoding, upload, counting and fetching, by the clock."""
    sides = [[encode(mask) for mask in masks] for masks in (truth, predicted)]
    height, width = truth.shape[1:]
    times = []
    for _ in range(4):
        start = time.perf_counter()
        device_texts.track_counts(sides[0], sides[1], height, width, radius)
        times.append(time.perf_counter() - start)
    best = 1e6 * min(times) / len(truth)
    return {
        "size": size,
        "masks": "run-length text",
        "form": "auto",
        "pairs": len(truth),
        "microseconds_a_pair": best,
    }


def print_rows(rows: list[dict[str, Any]]) -> None:
    print(
        f"{'size':<11}{'masks':<17}{'form':<8}{'us a pair':>10}{'us at copy bandwidth':>22}{'operations':>12}"
    )
    for row in rows:
        limit, work = row.get("microseconds_at_copy_bandwidth"), row.get("operations_a_pair")
        print(
            f"{row['size']:<11}{row['masks']:<17}{row['form']:<8}{row['microseconds_a_pair']:>10.3f}"
            f"{'' if limit is None else format(limit, '.3f'):>22}"
            f"{'' if work is None else format(work, '.2e'):>12}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--pairs", type=int, default=100_000, help="for exactness, each form; default: %(default)s"
    )
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--forms", default="triton,torch")
    parser.add_argument("--output", type=Path, default=Path("device_engine.json"))
    options = parser.parse_args()
    try:
        device_engine.require_device()
    except EnvironmentProblem as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    import torch

    forms = options.forms.split(",")
    report: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "processor_engine": engines.resolved_engine("auto"),
        "copy_bytes_a_second": copy_bandwidth(options.repeats),
    }
    print(
        f"{report['device']}, torch {report['torch']}: copies {report['copy_bytes_a_second'] / 1e12:.2f} TB/s"
    )
    report["times"] = list(
        time_sizes(options.sizes.split(","), forms, options.repeats, report["copy_bytes_a_second"])
    )
    print_rows(report["times"])
    options.output.write_text(json.dumps(report, indent=1) + "\n")
    report["exactness"] = [check(options.pairs, form) for form in forms] if options.pairs else []
    for row in report["exactness"]:
        print(f"exactness, {row['form']}: {row['pairs']} pairs, {row['different']} different")
    report["peak_device_bytes"] = torch.cuda.max_memory_allocated()
    options.output.write_text(json.dumps(report, indent=1) + "\n")
    print(f"wrote {options.output}")
    return 1 if any(row["different"] for row in report["exactness"]) else 0


if __name__ == "__main__":
    sys.exit(main())
