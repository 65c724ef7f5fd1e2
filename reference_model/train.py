"""Train a ReVIOSa model by recipe.

The stages of a recipe run one after the other. After each stage a checkpoint that can be used is written
to OUTPUT/after-STAGE; the last one is also written to OUTPUT itself. OUTPUT/losses.csv holds the loss
curve. Ctrl-C saves and stops; --resume goes on at the very step, with the same losses as a run that was
never stopped.

    python -m reference_model.train --recipe tiny
    python -m reference_model.train --recipe tiny --output runs/short --steps-scale 0.02
    python -m reference_model.train --recipe tiny --output runs/tiny --resume

Recipes at full size begin with two pretrained halves (folders of `reference_model.convert`) and fine-tune
them as the paper does, on one GPU or many:

    python -m reference_model.train --recipe reviosa_1b --data-root data --internvl DIR --sam2 DIR
    torchrun --nproc-per-node 4 -m reference_model.train --recipe reviosa_4b ...
    python -m reference_model.train --recipe reviosa_1b_tiny --output runs/sibling --steps 20
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.command_line import parser, run_command
from benchmark.provenance import collect
from benchmark.stored_files import make_folder
from reference_model.config import Recipe, StageConfig, StageKind
from reference_model.environment import enough_memory, require_packages
from reference_model.full_command import add_options, refuse_options, run_full
from reference_model.option_bounds import refuse_taken_folder, require_at_least, require_scale, require_seed
from reference_model.recipes import find_recipe, with_scaled_steps
from reference_model.training_data import draw_batch, open_source
from reference_model.training_run import (
    STATE_FILE,
    Run,
    goes_on_by_resuming,
    restore_run,
    save_state,
    stage_draws,
    start_run,
    trained_clips,
)

STATE_SECONDS = 120  # a killed run loses at most this much


def train_steps(run: Run, folder: Path | None, show: bool = True) -> None:
    """Train from where the run stands to the end of its current stage.

    State is saved to `folder` every two minutes, at the end, and when interrupted; `None` saves nothing.
    """
    from tqdm import tqdm

    stage = run.stages[run.stage]
    prepare_stage(run, stage)
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
    """One step of the optimizer, after `prepare_stage`; the values of all loss terms."""
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
    if run.optimizer is None:
        raise ValueError("prepare_stage was not called")
    set_learning_rate(run.optimizer, learning_rate(run.step, stage))
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.room.parameters(stage), stage.clip_gradient)
    run.optimizer.step()
    run.step += 1
    return {"loss": float(loss.detach())} | {name: float(term.detach()) for name, term in terms.items()}


def prepare_stage(run: Run, stage: StageConfig) -> None:
    """Let gradients reach what the stage trains, and make its optimizer unless one was restored."""
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
    command.add_argument(
        "--seed", type=int, help="seed of weights and data order (default: 0; resumed: as it began)"
    )
    command.add_argument("--steps-scale", type=float, default=1.0, help="multiply the steps of all stages")
    command.add_argument("--threads", type=int, default=1, help="CPU threads of torch (default: 1)")
    command.add_argument("--resume", action="store_true", help="go on with the run in OUTPUT")
    add_options(command)
    return command


@enough_memory(
    "lower --videos-per-pass, keep activation checkpointing, share the work among GPUs (FSDP), or free some "
    "memory; where a state was stored, go on with --resume"
)
def main(arguments: Sequence[str]) -> int:
    """Train, saving a checkpoint after each stage."""
    options = build_parser().parse_args(arguments)
    require_scale("--steps-scale", options.steps_scale)
    require_seed("--seed", options.seed)
    require_at_least(1, "--threads", options.threads)
    require_packages()
    import torch

    # More threads than free cores make every step many times slower; one suffices at this size.
    torch.set_num_threads(options.threads)
    recipe = find_recipe(options.recipe)
    folder = options.output or Path("runs") / recipe.name
    with goes_on_by_resuming(folder, options.resume):
        if recipe.training.tuning is not None:
            return run_full(recipe, folder, options, arguments)
        refuse_options(recipe, options)
        return _run_stages(recipe, folder, options, arguments)


def _run_stages(recipe: Recipe, folder: Path, options: Any, arguments: Sequence[str]) -> int:
    from reference_model.checkpoint import WEIGHTS_FILE, save_checkpoint

    recipe = with_scaled_steps(recipe, options.steps_scale)
    if not options.resume:
        refuse_taken_folder(folder, STATE_FILE, WEIGHTS_FILE)
        make_folder(folder)
    source = open_source(recipe.training.data, options.data_root)
    if options.resume:
        run = restore_run(recipe, source, folder, options.seed)
    else:
        run = start_run(recipe, source, options.seed or 0)
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
