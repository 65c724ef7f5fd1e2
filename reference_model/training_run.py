"""A training in progress: how it starts, how it is stored, and how it goes on as if never stopped."""

from __future__ import annotations

import csv
import dataclasses
import errno
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.errors import CheckpointError, OutputError, UsageError
from benchmark.stored_files import make_folder, write_atomically
from reference_model.config import DataConfig, Recipe, StageConfig, from_mapping
from reference_model.training_data import ClipSource, Epochs

if TYPE_CHECKING:
    import torch

    from reference_model.lessons import Classroom

STATE_FILE = "training-state.safetensors"
CURVE_FILE = "losses.csv"
CURVE_COLUMNS = (
    *("stage", "step", "seconds", "learning_rate", "loss"),
    *("text", "regression", "attention", "mask_ce", "mask_dice", "object_score", "vision", "motion"),
)
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


@contextmanager
def goes_on_by_resuming(folder: Path, resumed: bool) -> Iterator[None]:
    """Say `--resume` where a run stops that has stored a state: the very same command would be refused.

    Raises:
        OutputError: as the block did; where the disk or a quota is full, with what goes on from there.
        KeyboardInterrupt: as the block did, with the sentence that `run_command` prints.
    """
    try:
        yield
    except OutputError as error:
        cause = error.__cause__
        full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
        if resumed or not full or not (folder / STATE_FILE).exists():
            raise
        again = "free some space, then add --resume to the command: it goes on from the last stored state"
        raise OutputError(dataclasses.replace(error.problems[0], fix=again)) from cause
    except KeyboardInterrupt as error:
        if resumed or not (folder / STATE_FILE).exists():
            raise
        raise KeyboardInterrupt(
            "interrupted: the state is kept; add --resume to the command to go on"
        ) from error


def same_seed(stored: int, asked: int | None, path: Path) -> int:
    """The seed of a training to resume.

    Raises:
        CheckpointError: another one was asked for.
    """
    if asked is not None and asked != stored:
        raise CheckpointError(
            "the training to resume has another seed",
            where=str(path),
            expected=f"--seed {stored}",
            found=str(asked),
            fix="leave out --seed, or choose another --output",
        )
    return stored


def restore_run(recipe: Recipe, source: ClipSource, folder: Path, seed: int | None = None) -> Run:
    """The run as `save_state` left it.

    Args:
        seed: what it must have begun with; `None`: whatever it was.

    Raises:
        CheckpointError: when there is no state, it is damaged, or it is of another recipe or seed.
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
    run = start_run(recipe, source, same_seed(facts["seed"], seed, path))
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
