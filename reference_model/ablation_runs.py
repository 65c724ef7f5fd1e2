"""The runs of the ablation: a start that is made once, and one short training and scoring per row and seed.

Folders, all below one:

    start/            the state after the start's training
    ROW-SEED/         checkpoint, losses.csv, state to go on from
    ROW-SEED/scores/  what `python -m benchmark.evaluate` wrote; a run with a result.json is finished
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import CheckpointError, OutputError, RefereeError
from benchmark.provenance import collect
from reference_model.ablation_recipes import ROWS, tiny_start
from reference_model.recipes import with_scaled_steps
from reference_model.training_data import ClipSource, open_source
from reference_model.training_run import STATE_FILE, Run, restore_run, start_run

if TYPE_CHECKING:
    from torch import nn

    from reference_model.config import Recipe
    from reference_model.model import Reviosa

START, SCORES, RESULT = "start", "scores", "result.json"
START_SEED = 0


@dataclass(frozen=True, slots=True)
class Job:
    """One run.

    Attributes:
        steps_scale: multiplies the steps of the recipe.
        limit: score the first so many expressions; `None` means all.
    """

    folder: Path
    row: str
    seed: int
    steps_scale: float = 1.0
    limit: int | None = None

    @property
    def place(self) -> Path:
        """The folder of the run."""
        return self.folder / f"{self.row}-{self.seed}"

    @property
    def result(self) -> Path:
        """Its scores; they are written last."""
        return self.place / SCORES / RESULT

    def recipe(self) -> Recipe:
        """What it trains."""
        return with_scaled_steps(ROWS[self.row](), self.steps_scale)


def make_start(folder: Path, steps_scale: float = 1.0, show: bool = True) -> Run:
    """Train the start to its end, go on with one that was interrupted, or read a finished one."""
    from reference_model.checkpoint import SHIPPED, load_checkpoint
    from reference_model.train import train_steps

    recipe = with_scaled_steps(tiny_start(), steps_scale)
    source = open_source(recipe.training.data)
    place = folder / START
    if (place / STATE_FILE).exists():
        run = restore_run(recipe, source, place)
    else:
        run = start_run(recipe, source, START_SEED)
        shipped = _shipped_parts(load_checkpoint(SHIPPED).model)
        for name, part in _shipped_parts(run.room.model).items():
            part.load_state_dict(shipped[name].state_dict())
    while not run.finished:
        train_steps(run, place, show)
    return run


def _shipped_parts(model: Reviosa) -> dict[str, nn.Module]:
    """The parts that are not learnt anew: what sees, and what draws masks."""
    internvl = model.vision_language.internvl.model
    return {
        "vision_tower": internvl.vision_tower,
        "multi_modal_projector": internvl.multi_modal_projector,
        "mask_decoder": model.mask_decoder,
    }


def run_job(job: Job, show: bool = False) -> Job:
    """Train one row with one seed on one thread, and score it; what is done already is not done again."""
    import torch

    torch.set_num_threads(1)
    if not (job.place / "config.json").exists():
        _train(job, show)
    _check_recipe(job)
    if not job.result.exists():
        _score(job)
    return job


def _train(job: Job, show: bool) -> None:
    from reference_model.checkpoint import save_checkpoint, weights_digest
    from reference_model.train import train_steps, training_facts

    recipe = job.recipe()
    begun = make_start(job.folder, job.steps_scale, show=False)
    if (job.place / STATE_FILE).exists():
        run = restore_run(recipe, begun.source, job.place)
    else:
        run = _begin(recipe, begun.source, job.seed, begun)
    provenance = collect("reference_model.ablate", sys.argv[1:], {"training": job.seed})
    while not run.finished:
        train_steps(run, job.place, show)
    run.room.model.eval()
    facts = training_facts(run, provenance)
    facts["start_digest"] = weights_digest(begun.room.model.state_dict())
    save_checkpoint(job.place, run.room.model, recipe, facts)


def _begin(recipe: Recipe, source: ClipSource, seed: int, begun: Run) -> Run:
    """A run that has everything from the start but the projector: that is new, and so are the draws."""
    run = start_run(recipe, source, seed)
    for mine, its in (
        (run.room.model.vision_language, begun.room.model.vision_language),
        (run.room.model.mask_decoder, begun.room.model.mask_decoder),
        (run.room.teacher, begun.room.teacher),
        (run.room.probe, begun.room.probe),
    ):
        mine.load_state_dict(its.state_dict())
    return run


def _check_recipe(job: Job) -> None:
    from reference_model.checkpoint import read_recipe

    if read_recipe(job.place) != job.recipe():
        raise OutputError(
            "there is a run of another recipe in this folder",
            where=str(job.place),
            fix="choose another --output, or give the same options as before",
        )


def _score(job: Job) -> None:
    """Score in a process of its own, by the command that everybody uses."""
    command = [sys.executable, "-m", "benchmark.evaluate", "--adapter", "reviosa", "--device", "cpu"]
    command += ["--option", f"checkpoint={job.place}", "--output", str(job.place / SCORES)]
    command += [] if job.limit is None else ["--limit", str(job.limit)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode:
        raise RefereeError("scoring failed", where=str(job.place), found=done.stderr.strip()[-500:])


def check_start(folder: Path) -> None:
    """Refuse runs of other beginnings in one table.

    Raises:
        CheckpointError: when finished runs below `folder` do not share one start.
    """
    from reference_model.checkpoint import read_config

    digests = {
        str(read_config(place.parent)["training"].get("start_digest"))
        for place in folder.glob(f"*-*/{SCORES}")
        if (place.parent / "config.json").exists()
    }
    if len(digests) > 1:
        raise CheckpointError(
            "the runs in this folder do not share one start",
            where=str(folder),
            found=", ".join(sorted(digests)),
            fix="keep runs of one start in a folder of their own",
        )
