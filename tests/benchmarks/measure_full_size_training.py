"""What a training step of ReVIOSa costs at full size: time, memory, and distance to the arithmetic alone.

    python -m tests.benchmarks.measure_full_size_training --device cuda --output full_size_training.json
    python -m tests.benchmarks.measure_full_size_training --recipes reviosa_1b_tiny --device cpu --rounds 1
    python -m tests.benchmarks.measure_full_size_training --recipes reviosa_1b --device cpu --rounds 1 \\
        --precision bfloat16 --videos 1 --frames 1

The models have random weights, made on the device: nothing is fetched or read. A step is one pass of the
recipe (two videos of four frames, five questions each, random pixels and masks, the recipe's own losses) with
its backward pass, and one step of AdamW. In bfloat16 (what a GPU computes in) frozen weights are stored so,
trained ones are float32, and products run under autocast, as in training. Each recipe is measured with and
without activation checkpointing; what does not fit into the memory is left out and said.

The floor is the number of multiplications and additions of the step (video by video, without padding and
without what checkpointing computes again) over the rate at which this device multiplies large matrices of
that type, measured in the same run. Least time of some rounds; wall time with the device finished.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reference_model.config import LanguageFamily, Recipe
from reference_model.conversation_batches import ConversationBatch, make_batch, normalised, sizes_of
from reference_model.conversations import expression_turn
from reference_model.dataset_mix import Sample, Sizes
from reference_model.full_recipes import tuning_of
from reference_model.lora import add_lora, choose_trained, set_types, trained_parameters
from reference_model.model import Reviosa
from reference_model.recipes import find_recipe
from reference_model.starting_model import sibling_tokenizer
from reference_model.tuning_config import Precision
from reference_model.tuning_model import TuningModel
from tests.benchmarks.counted_operations import operation_counter

RELEASED_ROWS = {LanguageFamily.INTERNVL: 151_680, LanguageFamily.QWEN2_5_VL: 151_936}
"""Rows of the embeddings at full size."""

EXPRESSIONS = (
    ("woman in a red coat handing a cup to the child beside her", True),
    ("child taking a cup from a woman in a red coat", True),
    ("brown dog running after a ball across the lawn", True),
    ("cup held above the table", False),
    ("two people standing next to each other near the window", False),
)


@dataclass(frozen=True)
class Bench:
    """A model on a device, the samples of a pass, the same as a batch, and an optimizer."""

    recipe: Recipe
    room: TuningModel
    samples: tuple[Sample, ...]
    batch: ConversationBatch
    optimizer: torch.optim.Optimizer
    device: torch.device

    @property
    def narrow(self) -> bool:
        """Whether products are in bfloat16."""
        return tuning_of(self.recipe).precision is Precision.BFLOAT16


@dataclass(frozen=True, slots=True)
class Pass:
    """What is asked for beside the recipe; `None` leaves it as the recipe has it."""

    precision: Precision
    videos: int | None = None
    frames: int | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of the table.

    Attributes:
        forward, backward, optimizer: seconds of one pass, of its backward pass, of AdamW's step.
        peak_gib: memory at its highest, all of it included; `None` on a CPU.
        tera_operations: floating-point operations of one pass and its backward pass.
        floor_seconds: those at the device's own rate for large matrices.
    """

    recipe: str
    checkpointing: bool
    videos: int
    tokens: int
    role_tokens: int
    forward: float
    backward: float
    optimizer: float
    peak_gib: float | None
    tera_operations: float
    floor_seconds: float
    trained: int
    weights: int
    parts: dict[str, float]

    @property
    def seconds(self) -> float:
        """Of one pass with its backward pass."""
        return self.forward + self.backward


def asked_of(recipe: Recipe, asked: Pass) -> Recipe:
    """The recipe with what is asked for."""
    changes: dict[str, Any] = {"precision": asked.precision}
    if asked.videos is not None:
        changes["videos_per_pass"] = asked.videos
    if asked.frames is not None:
        changes["frames"] = asked.frames
    tuning = dataclasses.replace(tuning_of(recipe), **changes)
    return dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, tuning=tuning))


def build(recipe: Recipe, device: torch.device, seed: int = 0) -> Bench:
    """Random weights on the device, one random batch."""
    torch.manual_seed(seed)
    tokenizer = sibling_tokenizer(recipe)
    tuning = tuning_of(recipe)
    if tuning.pretrained:
        language = recipe.model.vision_language
        language = dataclasses.replace(language, vocabulary=RELEASED_ROWS[language.family])
        recipe = dataclasses.replace(
            recipe, model=dataclasses.replace(recipe.model, vision_language=language)
        )
    with device:
        model = Reviosa(recipe.model, tokenizer)
        add_lora(model, tuning.lora)
    model.to(device)
    choose_trained(model)
    set_types(model, torch.bfloat16 if tuning.precision is Precision.BFLOAT16 else torch.float32)
    rng = np.random.default_rng(seed)
    samples = tuple(sample(recipe, sizes_of(model), rng) for _ in range(tuning.videos_per_pass))
    room = TuningModel(model, recipe.training).train()
    settings = recipe.training.optimizer
    optimizer = torch.optim.AdamW(
        list(trained_parameters(room).values()),
        lr=tuning.learning_rate,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=device.type == "cuda",
    )
    return Bench(recipe, room, samples, make_batch(samples, model, tuning).to(device), optimizer, device)


def sample(recipe: Recipe, sizes: Sizes, rng: np.random.Generator) -> Sample:
    """A clip of noise with blocks as masks."""
    tuning = tuning_of(recipe)
    frames = tuning.frames
    chosen = EXPRESSIONS[: tuning.expressions]
    turns = tuple(expression_turn(text, target, True, recipe.model.tokens, rng) for text, target in chosen)
    blocks = rng.random((2, len(chosen), frames, 4, 4)) > 0.7
    masks = np.kron(blocks, np.ones((sizes.truth // 4, sizes.truth // 4), bool))
    has_target = np.array([target for _, target in chosen])
    return Sample(
        "noise",
        turns,
        rng.integers(0, 256, (frames, sizes.language, sizes.language, 3), np.uint8),
        rng.integers(0, 256, (frames, sizes.mask, sizes.mask, 3), np.uint8),
        masks[0],
        masks[1] & has_target[:, None, None, None],
        tuple(target for _, target in chosen),
    )


def set_checkpointing(model: Reviosa, on: bool) -> None:
    """Switch activation checkpointing of the language model."""
    if on:
        model.vision_language.checkpoint_activations()
    for module in model.vision_language.language_model.modules():
        if hasattr(module, "gradient_checkpointing"):
            module.gradient_checkpointing = on


def finished(device: torch.device) -> float:
    """Seconds on the clock once the device has nothing left to do."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def empty(device: torch.device) -> None:
    """Give back what nothing holds any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


@contextmanager
def autocast(bench: Bench) -> Iterator[None]:
    """Products in bfloat16 where the bench wants them so."""
    with torch.autocast(bench.device.type, torch.bfloat16, enabled=bench.narrow):
        yield


def loss_of(bench: Bench, batch: ConversationBatch) -> Tensor:
    """The loss of one pass."""
    loss: Tensor = bench.room(batch)["loss"]
    return loss


def operations(bench: Bench) -> float:
    """Floating-point operations of one pass and its backward pass."""
    set_checkpointing(bench.room.model, False)
    counter, total = operation_counter(), 0
    for one in bench.samples:
        batch = make_batch([one], bench.room.model, tuning_of(bench.recipe)).to(bench.device)
        with counter:
            loss_of(bench, batch).backward()
        total += counter.get_total_flops()
        bench.optimizer.zero_grad(set_to_none=True)
    return float(total)


def rate(device: torch.device, narrow: bool) -> float:
    """Operations a second in the product of two large matrices."""
    side = 8192 if device.type == "cuda" else 512
    kind = torch.bfloat16 if narrow else torch.float32
    left, right = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    best = float("inf")
    for turn in range(12):
        start = finished(device)
        left @ right
        if turn > 1:
            best = min(best, finished(device) - start)
    return 2 * side**3 / best


def parts(bench: Bench) -> dict[str, float]:
    """Seconds of the two frozen encoders, which every pass runs forward."""
    model, batch = bench.room.model, bench.batch
    clips, frames = batch.language_BFSSC.shape[:2]
    language = normalised(batch.language_BFSSC.flatten(0, 1)).unflatten(0, (clips, frames))
    mask = normalised(batch.mask_BFSSC.flatten(0, 1))
    runs: dict[str, Callable[[], Any]] = {
        "vision tower and connector": lambda: model.vision_language.visual_tokens(language),
        "SAM2 image encoder": lambda: model.mask_decoder.encode(mask),
    }
    found = {}
    for name, run in runs.items():
        best = float("inf")
        for _ in range(3):
            start = finished(bench.device)
            with torch.no_grad(), autocast(bench):
                run()
            best = min(best, finished(bench.device) - start)
        found[name] = best
    return found


def measure(
    bench: Bench,
    checkpointing: bool,
    rounds: int,
    count: float,
    speed: float,
    encoders: dict[str, float],
) -> Measured:
    """Least times of some rounds after one to warm up.

    Raises:
        torch.OutOfMemoryError: the device has too little memory.
    """
    set_checkpointing(bench.room.model, checkpointing)
    cuda = bench.device.type == "cuda"
    times: list[tuple[float, float, float]] = []
    for turn in range(rounds + 1):
        if cuda and turn == 1:
            torch.cuda.reset_peak_memory_stats()
        start = finished(bench.device)
        loss = loss_of(bench, bench.batch)
        read = finished(bench.device)
        loss.backward()
        back = finished(bench.device)
        bench.optimizer.step()
        done = finished(bench.device)
        bench.optimizer.zero_grad(set_to_none=True)
        times.append((read - start, back - read, done - back))
    best = min(times[1:], key=lambda one: one[0] + one[1])
    batch = bench.batch
    return Measured(
        bench.recipe.name,
        checkpointing,
        len(batch.language_BFSSC),
        batch.tokens,
        len(batch.rows_R2),
        best[0],
        best[1],
        min(one[2] for one in times[1:]),
        torch.cuda.max_memory_allocated() / 2**30 if cuda else None,
        count / 1e12,
        count / speed,
        sum(one.numel() for one in trained_parameters(bench.room).values()),
        weight_count(bench.room),
        encoders,
    )


def weight_count(model: nn.Module) -> int:
    """Number of weights, LoRA included."""
    return sum(one.numel() for one in model.parameters())


def table(rows: list[Measured]) -> str:
    """One line per recipe and variant."""
    head = (
        f"{'recipe':<24}{'checkpointing':>14}{'forward':>9}{'backward':>10}{'AdamW':>8}{'videos/s':>10}"
        f"{'tokens/s':>10}{'peak GiB':>10}{'TFLOP':>8}{'floor':>8}{'of floor':>10}"
    )
    lines = [head]
    for one in rows:
        peak = "-" if one.peak_gib is None else f"{one.peak_gib:.1f}"
        lines.append(
            f"{one.recipe:<24}{'yes' if one.checkpointing else 'no':>14}{one.forward:>9.3f}"
            f"{one.backward:>10.3f}{one.optimizer:>8.3f}{one.videos / one.seconds:>10.2f}"
            f"{one.tokens / one.seconds:>10.0f}{peak:>10}{one.tera_operations:>8.2f}"
            f"{one.floor_seconds:>8.3f}{one.seconds / one.floor_seconds:>9.1f}x"
        )
    for one in {row.recipe: row for row in rows}.values():
        seconds = ", ".join(f"{name} {value:.3f} s" for name, value in one.parts.items())
        lines.append(
            f"{one.recipe}: {one.trained:,} of {one.weights:,} weights trained; {one.videos} videos, "
            f"{one.tokens} tokens, {one.role_tokens} role tokens a pass; {seconds}"
        )
    return "\n".join(lines)


def run(
    names: list[str],
    device: torch.device,
    rounds: int,
    limit: float,
    asked: Pass,
    keep: Callable[[list[Measured]], None] = lambda rows: None,
) -> list[Measured]:
    """Measure recipes one after the other; what would begin after the time limit is left out and said.

    Args:
        keep: is given what there is after each row.
    """
    begun, rows = time.perf_counter(), list[Measured]()
    speed = rate(device, asked.precision is Precision.BFLOAT16)
    print(f"large matrices, {asked.precision}: {speed / 1e12:.2f} TFLOP/s", flush=True)
    for name in names:
        if time.perf_counter() - begun > limit:
            print(f"{name}: left out, {limit:.0f} s are over", flush=True)
            continue
        try:
            for row in variants(asked_of(find_recipe(name), asked), device, rounds, speed):
                rows.append(row)
                print(table(rows[-1:]), flush=True)
                keep(rows)
        except torch.OutOfMemoryError as error:
            print(f"{name}: left out from here, {str(error).splitlines()[0]}", flush=True)
        empty(device)
    return rows


def variants(recipe: Recipe, device: torch.device, rounds: int, speed: float) -> Iterator[Measured]:
    """One recipe with activation checkpointing and without."""
    start = finished(device)
    bench = build(recipe, device)
    print(f"{recipe.name}: built in {finished(device) - start:.1f} s", flush=True)
    count, encoders = operations(bench), parts(bench)
    for checkpointing in (True, False):
        empty(device)
        yield measure(bench, checkpointing, rounds, count, speed, encoders)


def main() -> None:
    """Measure and print a table."""
    command = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("--recipes", nargs="+", default=["reviosa_1b", "reviosa_4b"])
    command.add_argument("--device", default="cuda", choices=("cpu", "cuda"))
    command.add_argument("--precision", choices=list(Precision), help="(default: bfloat16 on a GPU)")
    command.add_argument("--videos", type=int, help="videos of a pass (default: the recipe's)")
    command.add_argument("--frames", type=int, help="frames of a video (default: the recipe's)")
    command.add_argument("--rounds", type=int, default=5)
    command.add_argument("--limit", type=float, default=70.0, help="seconds after which no recipe is begun")
    command.add_argument("--output", type=Path, help="JSON file with all numbers")
    options = command.parse_args()
    if options.device == "cpu":
        torch.set_num_threads(1)
    device = torch.device(options.device)
    where = torch.cuda.get_device_name() if options.device == "cuda" else "one CPU thread"
    print(f"{where}, torch {torch.__version__}", flush=True)
    usual = Precision.BFLOAT16 if device.type == "cuda" else Precision.FLOAT32
    asked = Pass(Precision(options.precision or usual), options.videos, options.frames)

    def keep(rows: list[Measured]) -> None:
        if options.output:
            facts = {
                "device": where,
                "torch": torch.__version__,
                "precision": asked.precision,
                "rows": [dataclasses.asdict(one) for one in rows],
            }
            options.output.write_text(json.dumps(facts, indent=2) + "\n")

    rows = run(options.recipes, device, options.rounds, options.limit, asked, keep)
    print(f"\n{table(rows)}")
    if len(rows) < 2 * len(options.recipes):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
