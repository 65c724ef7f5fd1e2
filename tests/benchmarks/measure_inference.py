"""What it costs to ask a video several expressions: the recommended way against the released one.

    python -m tests.benchmarks.measure_inference
    python -m tests.benchmarks.measure_inference --sizes 1b 4b --device cuda --dtype bfloat16 \\
        --official-expressions 2 --output inference.json

Random weights, made on the device, and a clip of noise of 480x854. Both modes get the same model, the same
frames and the same expressions, and are made to write the same answer, with both role tokens; all 16 tracks
are followed at full length. `official` answers one expression after the other and starts anew each time, so
fewer of them can be measured (`--official-expressions`), and the seconds are those of one expression times
their number. Frames are resized in the time that is measured. The first pass of each mode warms up and counts
the floating-point operations (two for each multiplication with addition); the floor is their number over
`--peak`, in 1e12 operations a second (dense bfloat16 of an H100 SXM: 989).

Sizes: `small` has the layout of the released models at widths for a CPU; `1b` and `4b` are theirs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark.frames import FrameArray
from reference_model.config import ModelConfig
from reference_model.inference_options import InferenceMode, InferenceOptions, options_for
from reference_model.model import Reviosa, parameter_count
from reference_model.predictor import Predictor
from reference_model.prompts import build_word_tokenizer
from reference_model.released_recipes import reviosa_1b, reviosa_4b
from tests.benchmarks.counted_operations import operation_counter

EXPRESSIONS = tuple(
    f"the {colour} child handing a cup to the {place} woman"
    for colour in ("red", "blue", "green", "white")
    for place in ("left", "right")
)
SPOKEN = ("sure", ",", "it", "is")  # what is written before the role tokens
VOCABULARY = 151_674  # rows of the released embeddings


@dataclass(frozen=True, slots=True)
class Work:
    """How much is asked."""

    frames: int = 60
    expressions: int = 8
    height: int = 480
    width: int = 854


@dataclass(frozen=True, slots=True)
class Cost:
    """One mode.

    Attributes:
        seconds: for all expressions.
        passes: frames through SAM2's image encoder, for all expressions.
        operations: floating-point operations, for all expressions; `None` where they cannot be counted.
        measured: expressions that were really asked.
        peak_bytes: memory of the GPU at its highest, weights included; `None` on a CPU.
        tokens_per_second: answer tokens, from the end of the frames to the end of the answers.
    """

    seconds: float
    passes: float
    operations: float | None
    measured: int
    peak_bytes: int | None
    tokens_per_second: float


def small_config() -> ModelConfig:
    """The layout of ReVIOSa-1B at widths for a CPU; SAM2's parts keep about their shares of the time."""
    model = reviosa_1b().model
    language = dataclasses.replace(
        model.vision_language,
        image_size=112,
        vision_layers=4,
        vision_width=128,
        vision_heads=4,
        vision_feed_forward=256,
        layers=4,
        width=128,
        heads=4,
        feed_forward=256,
    )
    decoder = dataclasses.replace(
        model.mask_decoder,
        image_size=128,
        width=128,
        trunk_width=32,
        trunk_heads=1,
        blocks=(1, 2, 7, 2),
        window_sizes=(8, 4, 8, 4),
        global_blocks=(5, 7, 9),
        feed_forward=256,
        memory_layers=2,
    )
    return dataclasses.replace(model, vision_language=language, mask_decoder=decoder)


def config_of(size: str) -> ModelConfig:
    """The model of a size."""
    if size == "small":
        return small_config()
    model = {"1b": reviosa_1b, "4b": reviosa_4b}[size]().model
    language = dataclasses.replace(model.vision_language, vocabulary=VOCABULARY)
    return dataclasses.replace(model, vision_language=language)


def build(config: ModelConfig, device: str, dtype: torch.dtype, seed: int = 0) -> Reviosa:
    """Random weights on a device, made there; the model writes both role tokens, whatever it is asked."""
    tokenizer = build_word_tokenizer((*SPOKEN, *" ".join(EXPRESSIONS).split()), config.prompts, config.tokens)
    torch.manual_seed(seed)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = Reviosa(config, tokenizer)
    finally:
        torch.set_default_dtype(before)
    words = tokenizer.get_vocab()
    script = [*(words[one] for one in SPOKEN), model.actor_id, model.target_id, model.end_id]
    logits, calls = model.vision_language.logits, [0]

    def scripted(hidden: torch.Tensor) -> torch.Tensor:
        scores = logits(hidden)
        scores[:, script[calls[0] % len(script)]] += 1e4
        calls[0] += 1
        return scores

    model.vision_language.logits = scripted  # type: ignore[method-assign]
    return model.eval()


def make_clip(work: Work, seed: int = 0) -> FrameArray:
    """Noise."""
    shape = (work.frames, work.height, work.width, 3)
    return FrameArray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def predictor_of(model: Reviosa, device: str, dtype: torch.dtype, options: InferenceOptions) -> Predictor:
    """The model in one mode, its weights as they are."""
    return Predictor(model, torch.device(device), options=options, dtype=dtype)


def ask(predictor: Predictor, clip: FrameArray, expressions: Sequence[str]) -> int:
    """Ask about a clip; returns the number of tracks."""
    predictor.open_video(clip)
    answers = predictor.answer(expressions)
    predictor.close_video()
    return sum((one.actor is not None) + (one.target is not None) for one in answers)


def counted_passes(predictor: Predictor, clip: FrameArray, expressions: Sequence[str]) -> int:
    """Frames that go through SAM2's image encoder."""
    follower, passes = predictor.follower, [0]
    original = follower.encode

    def counting(pixels: torch.Tensor) -> list[torch.Tensor]:
        passes[0] += len(pixels)
        return original(pixels)

    follower.encode = counting  # type: ignore[method-assign]
    try:
        ask(predictor, clip, expressions)
    finally:
        follower.encode = original  # type: ignore[method-assign]
    return passes[0]


def clock(device: str) -> Callable[[], float]:
    """Seconds: of this process's processor on a CPU, of the wall on a GPU once its work is done."""
    if device == "cpu":
        return time.process_time

    def seconds() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return seconds


def measure(
    predictor: Predictor, clip: FrameArray, work: Work, measured: int, device: str, rounds: int = 1
) -> Cost:
    """One mode; expressions are asked together as its options say."""
    now = clock(device)
    expressions = list(EXPRESSIONS[: work.expressions])
    asked = expressions[:measured]
    share = work.expressions / measured
    # Counting slows every operation down: where expressions are asked one by one, one is enough.
    counted = asked if predictor.options.shared_prefix else asked[:1]
    counter = operation_counter()
    operations: float | None
    try:
        with counter:
            passes = counted_passes(predictor, clip, counted)
        operations = counter.get_total_flops() * work.expressions / len(counted)
    except Exception as error:  # the counter meets a shape it does not know; the times matter all the same
        print(f"operations cannot be counted: {error}", file=sys.stderr)
        operations, passes = None, counted_passes(predictor, clip, counted)
    all_of_them = work.expressions / len(counted)
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    best = float("inf")
    for _ in range(rounds):
        start = now()
        tracks = ask(predictor, clip, asked)
        best = min(best, now() - start)
        assert tracks == 2 * measured, f"{tracks} tracks of {measured} expressions"
    peak = None if device == "cpu" else torch.cuda.max_memory_allocated()
    return Cost(
        best * share,
        passes * all_of_them,
        operations,
        measured,
        peak,
        tokens_per_second(predictor, clip, asked, now),
    )


def tokens_per_second(
    predictor: Predictor, clip: FrameArray, expressions: Sequence[str], now: Callable[[], float]
) -> float:
    """Answer tokens a second, once the frames have been read."""
    together = expressions if predictor.options.shared_prefix else expressions[:1]
    predictor.open_video(clip)
    video = predictor._opened()
    with torch.inference_mode():
        video._write(together)
        start = now()
        written = video._write(together)
        seconds = now() - start
    predictor.close_video()
    return sum(len(one.ids) + 1 for one in written) / seconds


def run_size(size: str, work: Work, options: argparse.Namespace) -> dict[str, Any]:
    """Both modes at one size; what fails is told and left out."""
    dtype = getattr(torch, options.dtype)
    start = time.perf_counter()
    model = build(config_of(size), options.device, dtype)
    clip = make_clip(work)
    found: dict[str, Any] = {
        "size": size,
        "parameters": parameter_count(model),
        "build_seconds": time.perf_counter() - start,
        "modes": {},
    }
    print(f"{size}: {found['parameters']:,} weights in {found['build_seconds']:.1f} s", file=sys.stderr)
    for mode in (InferenceMode.DEFAULT, InferenceMode.OFFICIAL):
        measured = work.expressions
        if mode is InferenceMode.OFFICIAL:
            measured = min(options.official_expressions or measured, measured)
        predictor = predictor_of(model, options.device, dtype, options_for(mode, model.config))
        try:
            cost = measure(predictor, clip, work, measured, options.device, options.rounds)
        except Exception:
            found["modes"][mode.value] = {"error": traceback.format_exc()}
            traceback.print_exc()
            continue
        found["modes"][mode.value] = dataclasses.asdict(cost)
        if options.device == "cuda":
            torch.cuda.empty_cache()
        print(f"{size} {mode}: {cost}", file=sys.stderr)
    return found


def table(found: dict[str, Any], work: Work, peak: float | None) -> str:
    """One size as text."""
    lines = [
        f"{found['size']}: {found['parameters']:,} weights, {work.expressions} expressions of a clip of "
        f"{work.frames} frames",
        f"{'mode':<10}{'seconds':>10}{'frames/s':>10}{'passes':>8}{'tokens/s':>10}{'1e12 ops':>10}"
        f"{'floor, s':>10}{'of floor':>10}{'peak GiB':>10}{'asked':>7}",
    ]
    costs = {name: one for name, one in found["modes"].items() if "error" not in one}
    for name, one in costs.items():
        counted = one["operations"]
        floor = None if peak is None or counted is None else counted / (peak * 1e12)
        shown_operations = "-" if counted is None else f"{counted / 1e12:.2f}"
        shown_floor = "-" if floor is None else f"{floor:.2f}"
        times = "-" if floor is None else f"{one['seconds'] / floor:.1f}"
        memory = "-" if one["peak_bytes"] is None else f"{one['peak_bytes'] / 2**30:.1f}"
        lines.append(
            f"{name:<10}{one['seconds']:>10.2f}{work.frames * work.expressions / one['seconds']:>10.1f}"
            f"{one['passes']:>8.0f}{one['tokens_per_second']:>10.1f}{shown_operations:>10}"
            f"{shown_floor:>10}{times:>10}{memory:>10}{one['measured']:>7}"
        )
    if len(costs) == 2:
        new, old = costs["default"], costs["official"]
        lines.append(
            f"default against official: {old['seconds'] / new['seconds']:.1f} times faster, "
            f"{old['passes'] / new['passes']:.1f} times fewer passes of the image encoder"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print a table per size."""
    command = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("--sizes", nargs="+", default=["small"], choices=("small", "1b", "4b"))
    command.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    command.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    command.add_argument("--frames", type=int, default=60)
    command.add_argument("--expressions", type=int, default=8, choices=range(1, len(EXPRESSIONS) + 1))
    command.add_argument(
        "--official-expressions", type=int, help="measure official on so many (default: all)"
    )
    command.add_argument("--rounds", type=int, default=1, help="the least time of so many counts")
    command.add_argument("--peak", type=float, help="1e12 operations a second of the device, for the floor")
    command.add_argument("--output", type=Path, help="JSON file to write")
    options = command.parse_args()
    if options.device == "cpu":
        torch.set_num_threads(1)
    where = torch.cuda.get_device_name() if options.device == "cuda" else "one CPU thread"
    import transformers

    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    print(f"{where}, {options.dtype}, {versions}")
    work = Work(options.frames, options.expressions)
    results: dict[str, Any] = {"device": where, "dtype": options.dtype, "versions": versions, "sizes": []}
    for size in options.sizes:
        found = run_size(size, work, options)
        results["sizes"].append(found)
        print(table(found, work, options.peak), flush=True)
        if options.output is not None:
            options.output.write_text(
                json.dumps(results | {"work": dataclasses.asdict(work)}, indent=2) + "\n"
            )
        if options.device == "cuda":
            torch.cuda.empty_cache()
    failed = [
        f"{one['size']} {mode}"
        for one in results["sizes"]
        for mode, cost in one["modes"].items()
        if "error" in cost
    ]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
