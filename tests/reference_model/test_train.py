"""Training: every stage runs, one batch is learnt, a resumed run equals one that never stopped."""

from __future__ import annotations

import csv
import dataclasses
import io

import numpy as np
import pytest
import torch

from benchmark.errors import CheckpointError, OutputError, UsageError
from reference_model import train
from reference_model.config import AnswerStyle, LossWeights, StageKind
from reference_model.train import train_step, train_steps
from reference_model.training_data import TrainingClip, TrainingExpression
from reference_model.training_run import STATE_FILE, curve_csv, restore_run, save_state, start_run
from tests.reference_model.mini_reviosa import ClipList, mini_recipe, square_clip, stage

EVERY_TERM = LossWeights(mask_ce=1.0, mask_dice=1.0, regression=0.5, object_score=0.2, vision=0.5, motion=0.5)
TERMS = {
    StageKind.VISION: {"vision"},
    StageKind.OBJECT_PROMPTS: {"mask_ce", "mask_dice", "object_score"},
    StageKind.OBJECT_MEMORY: {"mask_ce", "mask_dice", "object_score"},
    StageKind.LANGUAGE: {"text", "regression", "attention", "vision", "motion"},
    StageKind.JOINT: {
        *("text", "regression", "attention", "vision", "motion", "mask_ce", "mask_dice", "object_score")
    },
}
TERMS[StageKind.MEMORY] = TERMS[StageKind.JOINT]


def clips(count: int = 6) -> ClipList:
    return ClipList([square_clip() for _ in range(count)])


def run_of(*stages, source=None, **training):
    recipe = mini_recipe(*stages)
    data = dataclasses.replace(recipe.training.data, held_back=2, mirror=False)
    changed = dataclasses.replace(recipe.training, data=data, **training)
    return start_run(dataclasses.replace(recipe, training=changed), source or clips(), seed=0)


@pytest.mark.parametrize("kind", list(StageKind))
def test_every_stage_gives_its_terms_and_trains_its_own_weights(kind):
    frames = 5 if kind in (StageKind.MEMORY, StageKind.OBJECT_MEMORY) else 1
    run = run_of(stage(kind, steps=1, frames=frames, weights=EVERY_TERM))
    before = {name: one.detach().clone() for name, one in run.room.model.named_parameters()}
    train_steps(run, None, show=False)
    (row,) = run.curve
    assert set(row) - {"stage", "step", "seconds", "learning_rate", "loss"} == TERMS[kind]
    assert all(np.isfinite(row[name]) for name in (*TERMS[kind], "loss"))
    moved = {
        name.split(".")[0] for name, one in run.room.model.named_parameters() if (one != before[name]).any()
    }
    expected = {
        StageKind.VISION: {"vision_language"},
        StageKind.OBJECT_PROMPTS: {"mask_decoder"},
        StageKind.OBJECT_MEMORY: {"mask_decoder"},
        StageKind.LANGUAGE: {"vision_language", "projector"},
    }
    assert moved == expected.get(kind, {"vision_language", "projector", "mask_decoder"})
    assert run.finished


@pytest.mark.parametrize(
    ("switch", "still"),
    [("train_mask_decoder", {"mask_decoder"}), ("train_vision_language", {"vision_language", "projector"})],
)
def test_frozen_halves_do_not_move(switch, still):
    run = run_of(stage(StageKind.JOINT, steps=1, weights=EVERY_TERM, **{switch: False}))
    before = {name: one.detach().clone() for name, one in run.room.model.named_parameters()}
    train_steps(run, None, show=False)
    for name, one in run.room.model.named_parameters():
        if name.split(".")[0] in still:
            assert torch.equal(one, before[name]), name


def test_one_clip_is_learnt_by_the_language_stage():
    weights = LossWeights(text=1.0, attention=0.5, regression=0.5)
    run = run_of(
        stage(StageKind.LANGUAGE, steps=70, clips=1, expressions=3, learning_rate=1e-2, weights=weights)
    )
    train_steps(run, None, show=False)
    first, last = run.curve[0], run.curve[-1]
    assert last["text"] < 0.4 < 3 < first["text"]
    assert last["attention"] < first["attention"]


def test_one_clip_is_learnt_by_the_mask_stage():
    weights = LossWeights(mask_ce=1.0, mask_dice=1.0, object_score=0.2)
    run = run_of(
        stage(StageKind.OBJECT_PROMPTS, steps=35, clips=2, expressions=2, learning_rate=2e-3, weights=weights)
    )
    train_steps(run, None, show=False)
    assert run.curve[-1]["mask_dice"] < 0.5 < 0.8 < run.curve[0]["mask_dice"]


def test_paper_answers_need_no_looks():
    """A dataset that does not know looks can train the stages of pretrained models."""
    recipe = mini_recipe(stage(StageKind.JOINT, steps=1, weights=LossWeights()))
    prompts = dataclasses.replace(recipe.model.prompts, answer_style=AnswerStyle.PAPER)
    recipe = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, prompts=prompts))
    source = ClipList([square_clip(looks=False) for _ in range(4)])
    run = start_run(recipe, source, seed=0)
    train_steps(run, None, show=False)
    assert np.isfinite(run.curve[-1]["loss"])


def test_expressions_without_a_target_and_truth_without_a_pixel():
    """No interaction in a batch; an object that is never seen on the chosen frames."""
    plain = square_clip()
    masks = plain.masks_NTHW.copy()
    masks[0, :] = False
    masks[0, 3, :2, :2] = True
    single = TrainingClip(
        plain.frames_THWC, masks, (TrainingExpression("red square", (0,), ()),), plain.looks
    )
    run = run_of(stage(StageKind.JOINT, steps=2, weights=EVERY_TERM), source=ClipList([single] * 4))
    train_steps(run, None, show=False)
    assert all(np.isfinite(value) for row in run.curve for value in row.values() if isinstance(value, float))


def two_stages():
    return (
        stage(StageKind.OBJECT_PROMPTS, steps=3, weights=EVERY_TERM),
        stage(StageKind.LANGUAGE, steps=3, weights=EVERY_TERM),
    )


@pytest.mark.parametrize("stop_at", [2, 4])
def test_a_resumed_run_equals_one_that_never_stopped(tmp_path, stop_at):
    whole = run_of(*two_stages())
    while not whole.finished:
        train_steps(whole, None, show=False)
    cut = run_of(*two_stages())
    stopped = stop_after(cut, stop_at, tmp_path)
    resumed = restore_run(stopped.recipe, clips(), tmp_path)
    assert (resumed.stage, resumed.step) == (stopped.stage, stopped.step)
    while not resumed.finished:
        train_steps(resumed, None, show=False)
    without_time = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in r.curve] for r in (whole, resumed)
    ]
    assert without_time[0] == without_time[1]
    for name, one in whole.room.model.state_dict().items():
        assert torch.equal(one, resumed.room.model.state_dict()[name]), name


def stop_after(run, steps, folder):
    """Train so many steps and be interrupted, as by Ctrl-C."""
    original, done = train.train_step, 0

    def counted(run_, stage_):
        nonlocal done
        if done == steps:
            raise KeyboardInterrupt
        done += 1
        return original(run_, stage_)

    train.train_step = counted
    try:
        with pytest.raises(KeyboardInterrupt):
            while True:
                train_steps(run, folder, show=False)
    finally:
        train.train_step = original
    return run


def test_stages_draw_independently_of_what_came_before():
    """A stage sees the same clips whether or not another one ran first."""
    language = stage(StageKind.LANGUAGE, steps=2, weights=EVERY_TERM)
    alone = run_of(language)
    after = run_of(stage(StageKind.OBJECT_PROMPTS, steps=1, weights=EVERY_TERM), language)
    train_steps(after, None, show=False)
    assert alone.draws.rng.bit_generator.state == after.draws.rng.bit_generator.state


def test_another_recipe_is_not_resumed_but_later_stages_may_change(tmp_path):
    run = run_of(*two_stages())
    train_step_of(run)
    save_state(run, tmp_path)
    first, second = two_stages()
    longer = run_of(first, dataclasses.replace(second, steps=9)).recipe
    assert restore_run(longer, clips(), tmp_path).step == 1
    other = run_of(dataclasses.replace(first, steps=9), second).recipe
    with pytest.raises(CheckpointError, match="another recipe"):
        restore_run(other, clips(), tmp_path)


def train_step_of(run):
    train.prepare_stage(run, run.stages[run.stage])
    return train_step(run, run.stages[run.stage])


def test_a_step_needs_a_prepared_stage():
    run = run_of(stage(StageKind.VISION))
    with pytest.raises(ValueError, match="prepare_stage was not called"):
        train_step(run, run.stages[0])


def test_damaged_and_missing_states_are_named(tmp_path):
    run = run_of(*two_stages())
    with pytest.raises(CheckpointError, match="no training to resume"):
        restore_run(run.recipe, clips(), tmp_path)
    (tmp_path / STATE_FILE).write_bytes(b"not a tensor file")
    with pytest.raises(CheckpointError, match="training state is damaged"):
        restore_run(run.recipe, clips(), tmp_path)


def test_too_few_clips_are_refused():
    with pytest.raises(UsageError, match="more than the 2 that are held back"):
        run_of(stage(StageKind.VISION), source=clips(2))


def test_the_curve_is_a_table():
    rows = [{"stage": "a", "step": 1, "seconds": 0.5, "learning_rate": 0.1, "loss": 2.0, "text": 1 / 3}]
    (row,) = csv.DictReader(io.StringIO(curve_csv(rows)))
    assert (row["text"], row["mask_ce"], row["step"]) == ("0.333333", "", "1")


@pytest.fixture
def mini_recipe_by_name(monkeypatch):
    recipe = mini_recipe(stage(StageKind.OBJECT_PROMPTS), stage(StageKind.LANGUAGE))
    monkeypatch.setattr(train, "find_recipe", lambda name: recipe)


def test_the_command_trains_and_leaves_checkpoints(tmp_path, mini_recipe_by_name, capsys):
    from reference_model.checkpoint import load_checkpoint

    folder = tmp_path / "run"
    arguments = ["--recipe", "mini", "--output", str(folder), "--steps-scale", "0.34"]
    assert train.main(arguments) == 0
    for place in (folder, folder / "after-language"):
        facts = load_checkpoint(place).facts
        assert facts["stages_done"] == ["object_prompts", "language"]
        assert facts["trained_on"] == ["interrvos-synthetic:train"]
        assert facts["provenance"]["command"].startswith("python -m reference_model.train --recipe mini")
    assert load_checkpoint(folder / "after-object_prompts").facts["stages_done"] == ["object_prompts"]
    assert "language: done" in capsys.readouterr().out
    with pytest.raises(OutputError, match="add --resume"):
        train.main(arguments)
    with pytest.raises(CheckpointError, match="another seed; expected --seed 0"):
        train.main([*arguments, "--resume", "--seed", "3"])
    assert train.main([*arguments, "--resume"]) == 0  # nothing left to do


@pytest.mark.parametrize(
    "words",
    [
        *(["--steps-scale", "0"], ["--steps-scale", "inf"], ["--threads", "0"]),
        *(["--seed", "-1"], ["--seed", str(2**63)]),
        ["--recipe", "reviosa_1b_tiny", "--workers", "-1"],
        ["--recipe", "reviosa_1b_tiny", "--steps", "0"],
    ],
)
def test_numbers_that_make_no_sense(words):
    with pytest.raises(UsageError, match=f"{words[-2]}: .*expected"):
        train.main(words)
