"""The part of `python -m reference_model.train` that is about recipes with pretrained halves."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import UsageError
from benchmark.provenance import collect
from benchmark.stored_files import make_folder
from reference_model.config import AttentionLayout, Recipe, TargetNorm
from reference_model.environment import require_training_packages
from reference_model.full_recipes import (
    official_attention_layout,
    tuning_of,
    with_joint_mix,
    with_target_norm,
)
from reference_model.option_bounds import refuse_taken_folder, require_at_least
from reference_model.tuning_config import Precision, TurnLayout

if TYPE_CHECKING:
    from reference_model.full_training import Schedule
    from reference_model.tuning_session import Session


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options that only these recipes have."""
    group = command.add_argument_group("recipes with pretrained halves (reviosa_1b, ...) and their siblings")
    group.add_argument("--internvl", type=Path, help="converted InternVL2.5 folder, or a Qwen2.5-VL folder")
    group.add_argument("--sam2", type=Path, help="converted SAM2 folder")
    group.add_argument("--joint", action="store_true", help="mix in MeViS, Ref-YouTube-VOS and Ref-DAVIS")
    group.add_argument("--text", type=Path, help="text-only conversations to mix in (JSON lines)")
    group.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    group.add_argument("--precision", choices=list(Precision), help="of matrix products")
    group.add_argument("--steps", type=int, help="steps of the optimizer (default: all epochs of the recipe)")
    group.add_argument("--videos-per-step", type=int, help="over all processes (default: the recipe's)")
    group.add_argument("--videos-per-pass", type=int, help="on one GPU at once (default: the recipe's)")
    group.add_argument("--no-activation-checkpointing", action="store_true", help="faster, more memory")
    group.add_argument("--turns", choices=list(TurnLayout), help="what questions see of each other")
    group.add_argument(
        "--aml-layout",
        choices=list(AttentionLayout),
        default=AttentionLayout.CORRECT,
        help="truth of the attention mask loss; official: frames and expressions mixed up (default: correct)",
    )
    group.add_argument(
        "--target-norm",
        choices=list(TargetNorm),
        default=TargetNorm.CORRECT,
        help="how mask losses of targets are averaged (default: correct)",
    )
    group.add_argument("--no-tensorboard", action="store_true", help="write no TensorBoard logs")
    group.add_argument("--workers", type=int, default=2, help="processes that read frames (default: 2)")
    group.add_argument("--save-every", type=int, default=100, help="steps between states (default: 100)")
    group.add_argument("--checkpoint-every", type=int, help="steps between models (default: at the end only)")
    group.add_argument("--validate-every", type=int, help="steps between validations (default: none)")
    group.add_argument("--validation-clips", type=int, default=4, help="held-back clips (default: 4)")


def refuse_options(recipe: Recipe, options: Any) -> None:
    """Refuse what only these recipes understand where another recipe is trained.

    Raises:
        UsageError: naming the options.
    """
    empty = argparse.ArgumentParser(add_help=False)
    add_options(empty)
    usual = vars(empty.parse_args([]))
    changed = [name for name, value in usual.items() if getattr(options, name) != value]
    given = [f"--{name.replace('_', '-')}" for name in changed]
    if given:
        raise UsageError(
            f"the recipe {recipe.name} is trained in stages and does not know these options",
            where="command line",
            found=" ".join(given),
            fix="leave them out, or choose a recipe such as reviosa_1b_tiny",
        )


POSITIVE = (
    *("steps", "videos_per_step", "videos_per_pass"),
    *("save_every", "checkpoint_every", "validate_every", "validation_clips"),
)


def chosen_recipe(recipe: Recipe, options: Any) -> Recipe:
    """The recipe with what the command line changes.

    Raises:
        UsageError: a number is too small.
    """
    for name in POSITIVE:
        require_at_least(1, f"--{name.replace('_', '-')}", getattr(options, name))
    require_at_least(0, "--workers", options.workers)
    if options.joint:
        recipe = with_joint_mix(recipe)
    if options.aml_layout == AttentionLayout.OFFICIAL:
        recipe = official_attention_layout(recipe)
    recipe = with_target_norm(recipe, TargetNorm(options.target_norm))
    changes: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("videos_per_step", "videos_per_pass")
        if getattr(options, name) is not None
    }
    if options.precision is not None:
        changes["precision"] = Precision(options.precision)
    if options.turns is not None:
        changes["turns"] = TurnLayout(options.turns)
    if options.no_activation_checkpointing:
        changes["checkpoint_activations"] = False
    training = replace(recipe.training, tuning=replace(tuning_of(recipe), **changes))
    return replace(recipe, training=training)


def run_full(recipe: Recipe, folder: Path, options: Any, arguments: Sequence[str]) -> int:
    """Train, resume if asked to, and leave a checkpoint."""
    require_training_packages(tensorboard=not options.no_tensorboard)
    import torch

    torch.set_num_threads(options.threads)
    # The tokenizer's own threads do not go together with processes that are forked to read frames.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from reference_model.dataset_mix import names_of_parts
    from reference_model.full_training import describe, train_all

    recipe = chosen_recipe(recipe, options)
    session, schedule = prepare(recipe, folder, options)
    if session.accelerator.is_main_process:
        print(describe(session))
    provenance = collect("reference_model.train", arguments, {"training": session.progress.seed})
    parts = names_of_parts(session.mix.parts, options.data_root)
    began = [one.name for one in (options.internvl, options.sam2) if one is not None]
    train_all(session, schedule, {"trained_on": parts, "began_with": began, "provenance": provenance})
    if session.accelerator.is_main_process:
        print(os.fspath(folder))
    session.accelerator.end_training()
    return 0


def prepare(recipe: Recipe, folder: Path, options: Any) -> tuple[Session, Schedule]:
    """The session of a command line, where it stopped if it is to be resumed.

    Raises:
        OutputError: there is a training or a model in the folder, and it is not to be resumed.
        UsageError: options that do not go together.
    """
    from reference_model.checkpoint import WEIGHTS_FILE
    from reference_model.dataset_mix import open_parts
    from reference_model.deepspeed_state import load_folder
    from reference_model.full_training import Schedule
    from reference_model.starting_model import frozen_digest, starting_model
    from reference_model.training_run import STATE_FILE
    from reference_model.tuning_run import load_progress, same_halves, stored_seed
    from reference_model.tuning_session import make_accelerator, open_session, restore_tensors

    if options.resume:
        # What is not trained comes from the seed, too, so the model must begin as that of the state did.
        seed = stored_seed(folder, options.seed)
    else:
        seed = options.seed or 0
        refuse_taken_folder(folder, STATE_FILE, WEIGHTS_FILE)
        make_folder(folder)
    tuning = tuning_of(recipe)
    accelerator = make_accelerator(tuning.precision, options.device)
    parts = open_parts(tuning, options.data_root, options.text, recipe.training.data.held_back)
    model, recipe = starting_model(recipe, seed, options.internvl, options.sam2)
    # Without halves, what is frozen follows from the seed, which is compared already.
    halves = None if options.internvl is None else frozen_digest(model)
    session = open_session(recipe, model, parts, seed, options.steps, accelerator, options.steps_scale)
    session.progress.halves = halves
    if session.sharded and options.validate_every is not None:
        raise UsageError(
            "validation needs the whole model on one GPU, and here it is spread over several",
            where="--validate-every",
            fix="write models with --checkpoint-every and give them to python -m reference_model.validate",
        )
    if options.resume:
        steps = session.progress.steps
        session.progress, tensors = load_progress(folder, recipe, len(session.mix))
        session.progress.halves = same_halves(session.progress.halves, halves, folder / STATE_FILE)
        if session.progress.steps != steps:
            raise UsageError(
                "the training to resume has another number of steps",
                where="--steps",
                expected=str(session.progress.steps),
                found=str(steps),
                fix=f"add --steps {session.progress.steps}",
            )
        if session.deepspeed:
            load_folder(session, folder)
        else:
            restore_tensors(session, tensors, str(folder / STATE_FILE))
    schedule = Schedule(
        folder,
        options.save_every,
        options.checkpoint_every,
        options.validate_every,
        options.validation_clips,
        options.workers,
        tensorboard=not options.no_tensorboard,
    )
    return session, schedule
