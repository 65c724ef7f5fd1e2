"""A small fine-tuning for tests: eight synthetic clips on disk and a session on the CPU."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from reference_model.config import Recipe
from reference_model.dataset_mix import open_parts
from reference_model.full_recipes import tuning_of
from reference_model.recipes import find_recipe
from reference_model.starting_model import starting_model
from reference_model.tuning_config import Precision
from reference_model.tuning_session import Session, make_accelerator, open_session

CLIPS = 8


def write_clips(folder: Path, clips: int = CLIPS) -> Path:
    """The first synthetic clips of the train split in the released layout."""
    from benchmark.datasets.synthetic import write_split

    return write_split(folder, "train", clips)


def small_tuning(name: str = "reviosa_1b_tiny", **changes: Any) -> Recipe:
    """A sibling recipe, cheaper still."""
    recipe = find_recipe(name)
    cheap: dict[str, Any] = {"videos_per_step": 2, "videos_per_pass": 1, "expressions": 3, "points": 64}
    tuning = replace(tuning_of(recipe), **(cheap | changes))
    return replace(recipe, training=replace(recipe.training, tuning=tuning, log_every=1))


def small_session(
    root: Path, recipe: Recipe | None = None, steps: int = 4, text: Path | None = None
) -> Session:
    """A session before its first step, with seed 0."""
    recipe = recipe or small_tuning()
    parts = open_parts(tuning_of(recipe), root, text, recipe.training.data.held_back)
    model, recipe = starting_model(recipe, 0)
    return open_session(recipe, model, parts, 0, steps, accelerator())


@cache
def accelerator() -> Any:
    """accelerate keeps one state per process."""
    return make_accelerator(Precision.FLOAT32, "cpu")
