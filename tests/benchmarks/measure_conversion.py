"""What it costs to convert a model of released size, in and out: seconds of the processor and peak memory.

    python -m tests.benchmarks.measure_conversion FOLDER
    python -m tests.benchmarks.measure_conversion FOLDER --recipe reviosa_4b

FOLDER gets a checkpoint of ours whose weights are all alike (bfloat16; 2.3 GB for the 1B model, 7.9 GB for
4B), the released form of it, and a checkpoint again: room for three. Each conversion is the command in a
process of its own. The digest that comes back must be the one that went out.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from reference_model.checkpoint import read_config, save_weights
from reference_model.config import Recipe
from reference_model.recipes import find_recipe
from reference_model.released_recipes import RELEASED
from reference_model.released_weights import empty_weights
from reference_model.starting_model import sibling_tokenizer

ROWS = 151_680  # of the embeddings; the tokenizer used here has fewer words


@dataclass(frozen=True, slots=True)
class Cost:
    """One run of the command: seconds of the processor, the most memory in bytes."""

    seconds: float
    peak_bytes: int


def write_checkpoint(folder: Path, recipe: Recipe, rows: int = ROWS) -> int:
    """A checkpoint of ours with all weights alike; returns the number of values."""
    language = dataclasses.replace(recipe.model.vision_language, vocabulary=rows)
    model = dataclasses.replace(recipe.model, vision_language=language)
    tokenizer = sibling_tokenizer(find_recipe("reviosa_1b"))
    shapes = {name: one.shape for name, one in empty_weights(model, tokenizer).items()}
    # Views of one value: the file is large, the memory is not.
    value = torch.full((1,), 0.01, dtype=torch.bfloat16)
    weights = {name: value.expand(shape) for name, shape in shapes.items()}
    text: str = tokenizer.backend_tokenizer.to_str()
    save_weights(folder, weights, text, dataclasses.replace(recipe, model=model), {})
    return sum(shape.numel() for shape in shapes.values())


def convert(*words: object) -> Cost:
    """Run the command.

    Raises:
        subprocess.CalledProcessError: when it fails.
    """
    command = [sys.executable, "-m", "reference_model.convert", *map(str, words)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, command)
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def measure(folder: Path, recipe: Recipe, rows: int = ROWS) -> dict[str, Cost]:
    """Write a checkpoint, convert it out and in again.

    Raises:
        ValueError: other weights came back.
    """
    ours, released, again = (folder / name for name in ("ours", "released", "again"))
    write_checkpoint(ours, recipe, rows)
    out = convert("--checkpoint", ours, "--output", released)
    back = convert("--released", released, "--output", again)
    digests = [read_config(one)["weights_digest"] for one in (ours, again)]
    if digests[0] != digests[1]:
        raise ValueError(f"other weights came back: {digests}")
    return {"to the released form": out, "from the released form": back}


def main() -> None:
    """Measure and print a table."""
    command = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("folder", type=Path, help="empty folder, or one that is not there")
    command.add_argument("--recipe", default="reviosa_1b", choices=list(RELEASED))
    options = command.parse_args()
    costs = measure(options.folder, RELEASED[options.recipe]())
    size = (options.folder / "released" / "model.safetensors").stat().st_size / 1e9
    print(f"{options.recipe}: {size:.2f} GB, the same digest after the way out and in")
    print(f"{'':<24}{'CPU seconds':>12}{'peak GiB':>10}")
    for name, cost in costs.items():
        print(f"{name:<24}{cost.seconds:>12.1f}{cost.peak_bytes / 2**30:>10.2f}")


if __name__ == "__main__":
    main()
