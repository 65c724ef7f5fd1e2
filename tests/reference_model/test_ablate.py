"""The ablation command on a model of a few weights: it trains, scores, tables, and goes on after a stop."""

from __future__ import annotations

import dataclasses
import json

import pytest

from benchmark.errors import OutputError, UsageError
from reference_model import ablate, ablation_runs, checkpoint
from reference_model.ablation_recipes import ROWS
from reference_model.ablation_runs import Job, make_start, run_job
from reference_model.config import LossWeights, StageKind, TaughtRoles
from reference_model.training_data import open_source
from reference_model.training_run import STATE_FILE, start_run
from tests.reference_model.mini_reviosa import mini_recipe, stage

SILENT = LossWeights(mask_ce=0.0, mask_dice=0.0, attention=0.0)


@pytest.fixture
def mini(monkeypatch, tmp_path):
    """Recipes of the mini model in place of those of `tiny`, and a shipped checkpoint of its size."""
    teacher = stage(StageKind.OBJECT_PROMPTS, steps=1, train_mask_decoder=False)
    words = stage(StageKind.LANGUAGE, name="words", steps=1, weights=SILENT, taught=TaughtRoles.NONE)
    answers = stage(
        StageKind.LANGUAGE, name="answers", steps=2, weights=dataclasses.replace(SILENT, regression=0.5)
    )
    shipped = mini_recipe(teacher)
    model = start_run(shipped, open_source(shipped.training.data), seed=5).room.model
    checkpoint.save_checkpoint(tmp_path / "shipped", model, shipped, {"trained_on": []})
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(ablation_runs, "tiny_start", lambda: mini_recipe(teacher, words))
    for row in ROWS:
        monkeypatch.setitem(ROWS, row, lambda: mini_recipe(answers))
    return model


def test_rows_are_trained_scored_and_tabled(mini, tmp_path, capsys):
    arguments = ["--output", str(tmp_path / "out"), "--rows", "baseline,both", "--seeds", "1", "--limit", "2"]
    assert ablate.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "| RVOS | both - baseline | +0.0 |" in printed
    summary = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert [(one["row"], one["seed"]) for one in summary["runs"]] == [("baseline", 0), ("both", 0)]
    assert (tmp_path / "out" / "ablation.png").read_bytes().startswith(b"\x89PNG")
    facts = checkpoint.read_config(tmp_path / "out" / "both-0")["training"]
    assert facts["seed"] == 0
    assert len(facts["start_digest"]) == 64
    # Nothing is left to do: the same words come again, from the same files.
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("result.json")}
    assert ablate.main(arguments) == 0
    assert capsys.readouterr().out == printed
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("result.json")} == before


def test_start_keeps_the_shipped_eyes_and_mask_decoder_and_goes_on_after_a_stop(mini, tmp_path, monkeypatch):
    from reference_model import train

    step, taken = train.train_step, []

    def interrupted(*arguments):
        if len(taken) == 1:
            raise KeyboardInterrupt
        taken.append(step(*arguments))
        return taken[-1]

    monkeypatch.setattr(train, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_start(tmp_path, show=False)
    monkeypatch.setattr(train, "train_step", step)
    assert (tmp_path / "start" / STATE_FILE).exists()
    run = make_start(tmp_path, show=False)
    whole = make_start(tmp_path / "other", show=False)
    for key, value in run.room.model.state_dict().items():
        assert (value == whole.room.model.state_dict()[key]).all(), key
        if key.startswith("mask_decoder."):
            assert (value == mini.state_dict()[key]).all(), key


def test_seeds_change_the_projector_and_nothing_else_of_the_start(mini, tmp_path):
    begun = make_start(tmp_path, show=False)
    recipe = Job(tmp_path, "both", 0).recipe()
    first, second = (ablation_runs._begin(recipe, begun.source, seed, begun).room for seed in (0, 1))
    changed = {
        key.split(".")[0]
        for key, value in first.model.state_dict().items()
        if (value != second.model.state_dict()[key]).any()
    }
    assert changed == {"projector"}
    for key, value in begun.room.model.vision_language.state_dict().items():
        assert (value == first.model.vision_language.state_dict()[key]).all(), key


def test_another_recipe_in_the_folder_is_refused(mini, tmp_path):
    job = Job(tmp_path, "both", 0, limit=1)
    begun = make_start(tmp_path, show=False)
    checkpoint.save_checkpoint(job.place, begun.room.model, begun.recipe, {"trained_on": []})
    with pytest.raises(OutputError, match="another recipe"):
        run_job(job)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "amll"], "did you mean aml"),
        (["--seeds", "0"], "--seeds"),
        (["--first-seed", "-1"], "--first-seed"),
        (["--jobs", "0"], "--jobs"),
        (["--steps-scale", "0"], "--steps-scale"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_trained(tmp_path, arguments, message):
    with pytest.raises(UsageError, match=message):
        ablate.main(["--output", str(tmp_path / "out"), *arguments])
    assert not (tmp_path / "out").exists()
