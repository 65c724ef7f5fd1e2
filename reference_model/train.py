"""Train a ReVIOSa model by recipe.

The stages of a recipe run one after the other. After each stage a checkpoint that can be used is written
to OUTPUT/after-STAGE; the last one is also written to OUTPUT itself. OUTPUT/losses.csv holds the loss
curve. Ctrl-C saves and stops; --resume goes on at the very step, with the same losses as a run that was
never stopped.

    python -m reference_model.train --recipe tiny
    python -m reference_model.train --recipe tiny --output runs/short --steps-scale 0.02
    python -m reference_model.train --recipe tiny --output runs/tiny --resume
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.command_line import parser, run_command
from benchmark.errors import CheckpointError, OutputError, UsageError
from benchmark.provenance import collect
from benchmark.stored_files import make_folder, write_atomically
from reference_model.config import DataConfig, Recipe, StageConfig, StageKind, from_mapping
from reference_model.environment import require_packages
from reference_model.recipes import find_recipe, with_scaled_steps
from reference_model.training_data import ClipSource, Epochs, draw_batch, open_source

if TYPE_CHECKING:
    import torch

    from reference_model.lessons import Classroom

STATE_FILE = "training-state.safetensors"
CURVE_FILE = "losses.csv"
CURVE_COLUMNS = (
    *("stage", "step", "seconds", "learning_rate", "loss"),
    *("text", "regression", "attention", "mask_ce", "mask_dice", "object_score", "vision", "motion"),
)
STATE_SECONDS = 120  # a killed run loses at most this much
LOOK_SAMPLE = 256  # clips that are looked at to collect the words for looks


@dataclass
class StageDraws:
    """The random choices of one stage: which clips, which expressions, what the teacher leaves out."""

    rng: np.random.Generator
    generator: torch.Generator
    epochs: Epochs


@dataclass
class Run:
    """A training in progress; everything that `save_state` stores."""

    recipe: Recipe
    room: Classroom
    source: ClipSource
    seed: int
    draws: StageDraws
    stage: int = 0
    step: int = 0
    seconds: float = 0.0
    optimizer: torch.optim.AdamW | None = None
    curve: list[dict[str, Any]] = field(default_factory=list)

    @property
    def stages(self) -> tuple[StageConfig, ...]:
        """All stages of the recipe."""
        return self.recipe.training.stages

    @property
    def finished(self) -> bool:
        """Whether the last stage is done."""
        return self.stage >= len(self.stages)


def start_run(recipe: Recipe, source: ClipSource, seed: int) -> Run:
    """A run before its first step; weights depend on the seed alone."""
    import torch

    from reference_model.lessons import Classroom
    from reference_model.model import Reviosa
    from reference_model.prompts import build_word_tokenizer
    from reference_model.teacher import LookWords, ObjectTeacher, VisualProbe

    model = recipe.model
    count = trained_clips(source, recipe.training.data)
    sample = [source.clip(index) for index in range(min(LOOK_SAMPLE, count))]
    words = LookWords(sample)
    tokenizer = build_word_tokenizer(recipe_words(recipe, sample), model.prompts, model.tokens)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        room = Classroom(
            Reviosa(model, tokenizer),
            ObjectTeacher(words.counts, model.mask_decoder.width),
            VisualProbe(words.counts, model.vision_language.width),
            words,
            recipe.training,
        )
    return Run(recipe, room, source, seed, stage_draws(seed, recipe.training.stages[0], count))


def stage_draws(seed: int, stage: StageConfig, clips: int) -> StageDraws:
    """The draws of a stage depend on the seed and its name, not on what was trained before it."""
    import torch

    rng = np.random.default_rng([seed, *stage.name.encode()])
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    return StageDraws(rng, generator, Epochs(clips, rng))


def recipe_words(recipe: Recipe, sample: Sequence[Any]) -> list[str]:
    """The words that a tokenizer made for this recipe must know."""
    if recipe.training.data.dataset == "interrvos-synthetic":
        from benchmark.datasets.synthetic import VOCABULARY

        return list(VOCABULARY)
    return sorted({word for clip in sample for one in clip.expressions for word in one.text.split()})


def trained_clips(source: ClipSource, config: DataConfig) -> int:
    """How many clips are trained on; the last ones of the split are held back.

    Raises:
        UsageError: when nothing would be left.
    """
    count = len(source) - config.held_back
    if count < 1:
        raise UsageError(
            "too few clips to train on",
            where=f"{config.dataset} {config.split}",
            expected=f"more than the {config.held_back} that are held back",
            found=str(len(source)),
        )
    return count


def train_steps(run: Run, folder: Path | None, show: bool = True) -> None:
    """Train from where the run stands to the end of its current stage.

    State is saved to `folder` every two minutes, at the end, and when interrupted; `None` saves nothing.
    """
    from tqdm import tqdm

    stage = run.stages[run.stage]
    _prepare_stage(run, stage)
    saved = time.monotonic()
    bar = tqdm(total=stage.steps, initial=run.step, desc=stage.name, file=sys.stderr, disable=not show)
    recent: list[dict[str, float]] = []
    try:
        with bar:
            while run.step < stage.steps:
                begun = time.perf_counter()
                recent.append(train_step(run, stage))
                run.seconds += time.perf_counter() - begun
                bar.update()
                if run.step % run.recipe.training.log_every == 0 or run.step == stage.steps:
                    bar.set_postfix_str(_log(run, stage, recent))
                    recent = []
                    if folder and time.monotonic() - saved > STATE_SECONDS:
                        save_state(run, folder)
                        saved = time.monotonic()
    except KeyboardInterrupt:
        if folder:
            save_state(run, folder)
        raise
    run.stage, run.step, run.optimizer = run.stage + 1, 0, None
    if not run.finished:
        clips = trained_clips(run.source, run.recipe.training.data)
        run.draws = stage_draws(run.seed, run.stages[run.stage], clips)
    if folder:
        save_state(run, folder)


def train_step(run: Run, stage: StageConfig) -> dict[str, float]:
    """One step of the optimizer; the values of all loss terms."""
    import torch

    from reference_model.lessons import loss_terms
    from reference_model.losses import total_loss
    from reference_model.optimizer import learning_rate, set_learning_rate

    model = run.recipe.model
    batch = draw_batch(
        run.source,
        run.draws.epochs.take(stage.clips),
        run.draws.rng,
        expressions=stage.expressions,
        frames=stage.frames,
        config=model.frames,
        language_side=model.vision_language.image_size,
        mask_side=model.mask_decoder.image_size,
        mirror=run.recipe.training.data.mirror,
        for_language=stage.kind not in (StageKind.OBJECT_PROMPTS, StageKind.OBJECT_MEMORY),
        for_masks=stage.kind not in (StageKind.VISION, StageKind.LANGUAGE),
    )
    terms = loss_terms(run.room, stage, batch, run.step / stage.steps, run.draws.rng, run.draws.generator)
    loss = total_loss(terms, dataclasses.asdict(stage.weights))
    assert run.optimizer is not None  # set by _prepare_stage
    set_learning_rate(run.optimizer, learning_rate(run.step, stage))
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.room.parameters(stage), stage.clip_gradient)
    run.optimizer.step()
    run.step += 1
    return {"loss": float(loss.detach())} | {name: float(term.detach()) for name, term in terms.items()}


def _prepare_stage(run: Run, stage: StageConfig) -> None:
    from reference_model.optimizer import build_optimizer

    room = run.room
    chosen = room.parameters(stage)
    trained = {id(one) for one in chosen}
    for module in (room.model, room.teacher, room.probe):
        module.train()
        for one in module.parameters():
            one.requires_grad_(id(one) in trained)
    if run.optimizer is None:
        run.optimizer = build_optimizer(chosen, stage, run.recipe.training.optimizer)


def _log(run: Run, stage: StageConfig, recent: Sequence[dict[str, float]]) -> str:
    from reference_model.optimizer import learning_rate

    means = {name: sum(one[name] for one in recent) / len(recent) for name in recent[-1]}
    row = {"stage": stage.name, "step": run.step, "seconds": round(run.seconds, 1)}
    run.curve.append(row | {"learning_rate": learning_rate(run.step - 1, stage)} | means)
    return " ".join(f"{name} {value:.3f}" for name, value in means.items())


def save_state(run: Run, folder: Path) -> None:
    """Everything that going on needs, in one file, and the loss curve beside it.

    Raises:
        OutputError: when the folder cannot be written to.
    """
    from safetensors.torch import save

    from reference_model.checkpoint import own_weights

    make_folder(folder)
    tensors = {"generator": run.draws.generator.get_state()}
    for name, module in _modules(run).items():
        tensors |= {f"{name}.{key}": value for key, value in own_weights(module).items()}
    if run.optimizer is not None:
        for index, moments in run.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value for key, value in moments.items()}
    facts = {
        "recipe": dataclasses.asdict(run.recipe),
        "seed": run.seed,
        "stage": run.stage,
        "step": run.step,
        "seconds": run.seconds,
        "rng": run.draws.rng.bit_generator.state,
        "waiting": run.draws.epochs.state(),
        "curve": run.curve,
        "optimizer": run.optimizer is not None,
    }
    content = save(
        {name: one.detach().contiguous() for name, one in tensors.items()}, {"run": json.dumps(facts)}
    )
    write_atomically(folder / STATE_FILE, content)
    write_atomically(folder / CURVE_FILE, curve_csv(run.curve).encode())


def restore_run(recipe: Recipe, source: ClipSource, folder: Path) -> Run:
    """The run as `save_state` left it.

    Raises:
        CheckpointError: when there is no state, it is damaged, or it is of another recipe.
    """
    from safetensors import SafetensorError, safe_open

    from reference_model.checkpoint import fill_weights
    from reference_model.optimizer import build_optimizer

    path = folder / STATE_FILE
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads(file.metadata()["run"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise CheckpointError(
            "there is no training to resume", where=str(path), fix="leave out --resume"
        ) from error
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError("training state is damaged", where=str(path), found=str(error)) from error
    if not _same_start(from_mapping(Recipe, facts["recipe"]), recipe, facts["stage"]):
        raise CheckpointError(
            "the training to resume was started with another recipe",
            where=str(path),
            fix="give the same --recipe and --steps-scale, or another --output",
        )
    run = start_run(recipe, source, facts["seed"])
    for name, module in _modules(run).items():
        own = {
            key.removeprefix(f"{name}."): one for key, one in tensors.items() if key.startswith(f"{name}.")
        }
        fill_weights(module, own, str(path))
    run.stage, run.step, run.seconds = facts["stage"], facts["step"], facts["seconds"]
    run.draws.rng.bit_generator.state = facts["rng"]
    run.draws.generator.set_state(tensors["generator"])
    run.draws.epochs.restore(facts["waiting"])
    run.curve = facts["curve"]
    if facts["optimizer"]:
        stage = run.stages[run.stage]
        run.optimizer = build_optimizer(run.room.parameters(stage), stage, recipe.training.optimizer)
        _fill_optimizer(run.optimizer, tensors)
    return run


def _same_start(old: Recipe, new: Recipe, stage: int) -> bool:
    """Whether two recipes agree in everything up to the given stage; what comes later may change."""

    def begun(recipe: Recipe) -> Recipe:
        stages = recipe.training.stages[: stage + 1]
        return dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, stages=stages))

    return begun(old) == begun(new)


def _fill_optimizer(optimizer: torch.optim.AdamW, tensors: dict[str, Any]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def _modules(run: Run) -> dict[str, Any]:
    return {"model": run.room.model, "teacher": run.room.teacher, "probe": run.room.probe}


def curve_csv(curve: Sequence[dict[str, Any]]) -> str:
    """The loss curve as CSV; terms that a stage does not have stay blank."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CURVE_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in curve:
        writer.writerow(
            {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()}
        )
    return text.getvalue()


def training_facts(run: Run, provenance: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of its training."""
    data = run.recipe.training.data
    return {
        "trained_on": [f"{data.dataset}:{data.split}"],
        "seed": run.seed,
        "stages_done": [stage.name for stage in run.stages[: run.stage]],
        "steps": sum(stage.steps for stage in run.stages[: run.stage]),
        "seconds": round(run.seconds, 1),
        "provenance": provenance,
    }


def build_parser() -> Any:
    """The command line."""
    command = parser("reference_model.train", __doc__)
    command.add_argument("--recipe", default="tiny", help="name of the recipe (default: tiny)")
    command.add_argument("--output", type=Path, help="folder of the run (default: runs/RECIPE)")
    command.add_argument("--data-root", type=Path, help="folder of a dataset on disk")
    command.add_argument("--seed", type=int, default=0, help="seed of weights and data order (default: 0)")
    command.add_argument("--steps-scale", type=float, default=1.0, help="multiply the steps of all stages")
    command.add_argument("--threads", type=int, default=1, help="CPU threads of torch (default: 1)")
    command.add_argument("--resume", action="store_true", help="go on with the run in OUTPUT")
    return command


def main(arguments: Sequence[str]) -> int:
    """Train, saving a checkpoint after each stage."""
    options = build_parser().parse_args(arguments)
    if not options.steps_scale > 0:
        raise UsageError("steps must be positive", where="--steps-scale", found=str(options.steps_scale))
    require_packages()
    import torch

    from reference_model.checkpoint import save_checkpoint

    # More threads than free cores make every step many times slower; one suffices at this size.
    torch.set_num_threads(options.threads)
    recipe = with_scaled_steps(find_recipe(options.recipe), options.steps_scale)
    folder = options.output or Path("runs") / recipe.name
    if not options.resume and (folder / STATE_FILE).exists():
        raise OutputError(
            "there is a training in this folder",
            where=str(folder),
            fix="add --resume to go on with it, or choose another --output",
        )
    source = open_source(recipe.training.data, options.data_root)
    if options.resume:
        run = restore_run(recipe, source, folder)
    else:
        run = start_run(recipe, source, options.seed)
    provenance = collect("reference_model.train", arguments, {"training": run.seed})
    provenance["threads"] = options.threads
    while not run.finished:
        name = run.stages[run.stage].name
        train_steps(run, folder)
        run.room.model.eval()
        facts = training_facts(run, provenance)
        save_checkpoint(folder / f"after-{name}", run.room.model, recipe, facts)
        if run.finished:
            save_checkpoint(folder, run.room.model, recipe, facts)
        print(f"{name}: done after {run.seconds:.0f} s of training, checkpoint in {folder / f'after-{name}'}")
    print(os.fspath(folder))
    return 0


if __name__ == "__main__":
    run_command(main)
