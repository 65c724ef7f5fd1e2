"""Is the device engine exact on this GPU, how fast is it, and how far from the limit of its memory?

One command on a machine with a CUDA device, from the repository's root; it prints tables and writes
everything to a JSON file:

    python -m tests.benchmarks.measure_device_engine --output device_engine.json
    python -m tests.benchmarks.measure_device_engine --pairs 2000 --repeats 5
    python -m tests.benchmarks.measure_device_engine --pairs 0 --sizes 480x854 --variants --profile

`--variants` times other ways of cutting the work up (`device_plans.Launch`, chunks of other sizes), each
against the default in the same run; `--profile` says what each kernel takes and what the host.

Exactness: adversarial pairs of `mask_generators`, of mixed sizes and tolerances in each launch, against
the processor's engine on the same masks, and one pair in fifty against the definition. Time: CUDA
events around `batch_counts`, the median of the repeats; batches are several times the L2 cache. Limit:
the bytes that must be read, and those of bits and boundary maps written and read again, at the copy
bandwidth measured here.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from benchmark.errors import EnvironmentProblem
from benchmark.masks import encode
from benchmark.metrics import device_clips, device_engine, device_plans, device_texts, engines
from benchmark.metrics.definition import boundary_radius, frame_counts
from benchmark.metrics.device_clips import Size, TensorPair, frame_bytes
from tests.benchmark.mask_generators import Pair, adversarial_pair, object_pair

SIZES = ("480x854", "720x1280", "1080x1920", "2160x3840")
BATCH_BYTES = 1 << 30
KINDS = ("bool", "uint8", "bfloat16 logits", "float32 logits")

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "256 units a program": {"units": 256},
    "1024 units a program": {"units": 1024},
    "16 lines a strip": {"rows": 16, "strips": 8},
    "64 strips a program": {"block": 64},
    "256 strips a program": {"block": 256},
    "8 strips matched at once": {"strips": 8},
    "32 strips matched at once": {"strips": 32},
    "8 programs match": {"match_programs": 8},
    "32 programs match": {"match_programs": 32},
    "8 warps": {"warps": 8},
    "chunks of 16 MB": {"chunk": 16 << 20},
    "chunks of 32 MB": {"chunk": 32 << 20},
    "chunks of 128 MB": {"chunk": 128 << 20},
    "default again": {},
}


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
                tensors.append(TensorPair(truth, as_kind(predicted, KINDS[index % 4])))
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
    if kind == "uint8":
        return masks.to(torch.uint8) * 255
    return masks.to(torch.bfloat16 if kind == "bfloat16 logits" else torch.float32) - 0.5


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


def time_sizes(
    sizes: list[str], forms: list[str], repeats: int, bandwidth: float, variants: bool, profile: bool
) -> Iterator[dict[str, Any]]:
    """Rows of the report. Truths are boolean, or bytes; the predictions are of every kind."""
    import torch

    for size in sizes:
        height, width = (int(side) for side in size.split("x"))
        count = max(16, min(1024, BATCH_BYTES // (2 * height * width)))
        truth, predicted = realistic_batch(height, width, count)
        on_device = [torch.from_numpy(masks).cuda() for masks in (truth, predicted)]
        size_of_frame = Size(height, width, boundary_radius(height, width))
        scratch = 2 * 2 * (height * width // 8) + 2 * frame_bytes(size_of_frame, size_of_frame.radius)
        for kind in KINDS:
            pair = TensorPair(
                as_kind(on_device[0], "uint8") if kind == "uint8" else on_device[0],
                as_kind(on_device[1], kind),
            )
            read = height * width * (pair.truth.element_size() + pair.predicted.element_size())
            for form in forms:
                if form == "torch" and kind != "bool":
                    continue
                few = 3 if form == "torch" else repeats
                seconds = seconds_of(lambda f=form, p=pair: device_engine.batch_counts([p], form=f), few)
                yield {
                    "size": size,
                    "masks": kind,
                    "form": form,
                    "pairs": count,
                    "microseconds_a_pair": 1e6 * seconds / count,
                    "bytes_read_a_pair": read,
                    "bytes_of_scratch_a_pair": scratch,
                    "microseconds_reading": 1e6 * read / bandwidth,
                    "microseconds_with_scratch": 1e6 * (read + scratch) / bandwidth,
                }
            if profile:
                yield {"size": size, "masks": kind, "form": "profile", "pairs": count, **profiled(pair)}
            if variants and kind == "bool" and height in (480, 1080):
                yield from time_variants(size, kind, pair, repeats)
            del pair
        prepared = device_engine.prepare_truth(on_device[0])
        seconds = seconds_of(lambda p=prepared, m=on_device[1]: p.counts(m), repeats)
        yield {
            "size": size,
            "masks": "bool, truth prepared",
            "form": "auto",
            "pairs": count,
            "microseconds_a_pair": 1e6 * seconds / count,
        }
        few = 16 if height < 2000 else 4
        short = TensorPair(*(masks[:few] for masks in on_device))
        seconds = seconds_of(lambda p=short: device_engine.batch_counts([p]), repeats)
        yield {
            "size": size,
            "masks": f"bool, {few} frames",
            "form": "auto",
            "pairs": few,
            "microseconds_a_pair": 1e6 * seconds / few,
        }
        yield time_text(size, truth[:64], predicted[:64], boundary_radius(height, width))


def time_variants(size: str, kind: str, pair: TensorPair, repeats: int) -> Iterator[dict[str, Any]]:
    count = len(pair.truth)
    for name, changes in VARIANTS.items():
        with cut_as(changes):
            seconds = seconds_of(lambda: device_engine.batch_counts([pair], form="triton"), repeats)
        yield {
            "size": size,
            "masks": kind,
            "form": name,
            "pairs": count,
            "microseconds_a_pair": 1e6 * seconds / count,
        }


@contextmanager
def cut_as(changes: dict[str, Any]) -> Iterator[None]:
    """The device engine with other settings."""
    launch, chunk = device_plans.LAUNCH, device_clips.CHUNK_BYTES
    others = {name: value for name, value in changes.items() if name != "chunk"}
    try:
        device_plans.LAUNCH = launch._replace(**others)
        device_clips.CHUNK_BYTES = changes.get("chunk", chunk)
        yield
    finally:
        device_plans.LAUNCH, device_clips.CHUNK_BYTES = launch, chunk


def profiled(pair: TensorPair) -> dict[str, Any]:
    """Microseconds a pair of each kernel, by the profiler, and of the host before it waits."""
    import torch

    def work() -> None:
        device_engine.batch_counts([pair], form="triton")

    work()
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    host = time.perf_counter() - start
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(3):
            work()
        torch.cuda.synchronize()
    each = 3 * len(pair.truth)
    kernels = {
        event.key[:60]: round(event.self_device_time_total / each, 4) for event in profile.key_averages()
    }
    return {
        "microseconds_a_pair": sum(kernels.values()),
        "kernels": {name: value for name, value in kernels.items() if value},
        "host_microseconds_a_pair": 1e6 * host / len(pair.truth),
    }


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
    print(f"{'size':<11}{'masks':<22}{'form':<27}{'us a pair':>10}{'us reading':>12}{'scratch':>10}")
    for row in rows:
        reading, scratch = row.get("microseconds_reading"), row.get("microseconds_with_scratch")
        print(
            f"{row['size']:<11}{row['masks']:<22}{row['form']:<27}{row['microseconds_a_pair']:>10.3f}"
            f"{'' if reading is None else format(reading, '.3f'):>12}"
            f"{'' if scratch is None else format(scratch, '.3f'):>10}"
        )
        if "kernels" in row:
            print(f"{'':<11}host {row['host_microseconds_a_pair']:.3f}, kernels {row['kernels']}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--pairs", type=int, default=100_000, help="for exactness, each form; default: %(default)s"
    )
    parser.add_argument("--torch-pairs", type=int, default=2000, help="the same for the form torch")
    parser.add_argument("--variants", action="store_true", help="other ways to cut the work up")
    parser.add_argument("--profile", action="store_true", help="time of each kernel and of the host")
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
        time_sizes(
            options.sizes.split(","),
            forms,
            options.repeats,
            report["copy_bytes_a_second"],
            options.variants,
            options.profile,
        )
    )
    print_rows(report["times"])
    options.output.write_text(json.dumps(report, indent=1) + "\n")
    totals = {"triton": options.pairs, "torch": min(options.pairs, options.torch_pairs)}
    report["exactness"] = [check(totals[form], form) for form in forms if totals[form]]
    for row in report["exactness"]:
        print(f"exactness, {row['form']}: {row['pairs']} pairs, {row['different']} different")
    report["peak_device_bytes"] = torch.cuda.max_memory_allocated()
    options.output.write_text(json.dumps(report, indent=1) + "\n")
    print(f"wrote {options.output}")
    return 1 if any(row["different"] for row in report["exactness"]) else 0


if __name__ == "__main__":
    sys.exit(main())
