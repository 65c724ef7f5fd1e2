"""The rows of the ablation: each is the baseline with what its name says, and answers are taught so."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from reference_model.ablation_recipes import ROWS, tiny_start
from reference_model.config import AttentionLossConfig, LossWeights, Recipe, StageKind, TaughtRoles
from reference_model.lessons import loss_terms
from reference_model.recipes import tiny
from reference_model.train import prepare_stage, train_step
from reference_model.training_data import draw_batch
from reference_model.training_run import start_run
from tests.reference_model.mini_reviosa import ClipList, mini_recipe, square_clip, stage

ACTOR, BOTH, NONE = TaughtRoles.ACTOR, TaughtRoles.BOTH, TaughtRoles.NONE
WEIGHTS = LossWeights(mask_ce=0.0, mask_dice=0.0, regression=0.5)
SILENT = LossWeights(mask_ce=0.0, mask_dice=0.0, attention=0.0, motion=0.5)


def differences(first: Recipe, second: Recipe) -> dict[str, tuple]:
    """Where two recipes of the same form differ: path to the pair of values."""
    found = {}

    def walk(one, other, path):
        if dataclasses.is_dataclass(one):
            for field in dataclasses.fields(one):
                walk(getattr(one, field.name), getattr(other, field.name), f"{path}.{field.name}")
        elif isinstance(one, tuple) and one and dataclasses.is_dataclass(one[0]):
            assert len(one) == len(other)
            for number, pair in enumerate(zip(one, other, strict=True)):
                walk(*pair, f"{path}[{number}]")
        elif one != other:
            found[path] = (one, other)

    walk(first, second, "")
    return found


def test_rows_differ_from_the_baseline_in_nothing_but_their_component():
    loss = {".training.stages[0].weights.attention": (0.0, 1.0)}
    tokens = {".training.stages[0].taught": (ACTOR, BOTH)}
    baseline = ROWS["baseline"]()
    expected = {"baseline": {}, "aml": loss, "tokens": tokens, "both": loss | tokens}
    for row, wanted in expected.items():
        found = differences(baseline, ROWS[row]())
        found.pop(".name", None)
        assert found == wanted, row


def test_start_and_rows_have_the_model_and_data_of_tiny():
    for recipe in (tiny_start(), *(row() for row in ROWS.values())):
        assert recipe.model == tiny().model
        assert recipe.training.data == tiny().training.data
    # All rows name the layer and heads that were chosen, which are not those of `tiny`.
    losses = {row().training.attention_loss for row in ROWS.values()}
    assert losses == {AttentionLossConfig(layer=1, heads=(0, 2))}
    # The start knows neither tokens nor the attention loss, so it favours no row.
    assert all(one.weights.attention == 0 for one in tiny_start().training.stages)
    assert tiny_start().training.stages[-1].taught is NONE


def taught_run(taught: TaughtRoles, weights: LossWeights = WEIGHTS, **changes):
    plan = stage(StageKind.LANGUAGE, expressions=3, weights=weights, taught=taught, **changes)
    return start_run(mini_recipe(plan), ClipList([square_clip()] * 6), seed=0)


def batch_of(run):
    config = run.recipe.model
    return draw_batch(
        ClipList([square_clip()]),
        (0,),
        np.random.default_rng(0),
        expressions=3,
        frames=1,
        config=config.frames,
        language_side=config.vision_language.image_size,
        mask_side=config.mask_decoder.image_size,
        mirror=False,
    )


@pytest.mark.parametrize(
    ("taught", "weights", "actors", "targets", "answer"),
    [
        (BOTH, WEIGHTS, 3, 2, "red square x1 y2 [SEG_ACT] blue square x2 y2 [SEG_TAR] <|im_end|>"),
        (ACTOR, WEIGHTS, 3, 0, "red square x1 y2 [SEG_ACT] <|im_end|>"),
        (NONE, SILENT, 0, 0, "red square x1 y2 and blue square x2 y2 <|im_end|>"),
    ],
)
def test_answers_hold_the_roles_that_a_stage_teaches(monkeypatch, taught, weights, actors, targets, answer):
    run = taught_run(taught, weights)
    said = []
    teach = run.room.model.teach

    def remember(*arguments):
        found = teach(*arguments)
        said.append(found)
        return found

    monkeypatch.setattr(run.room.model, "teach", remember)
    terms = loss_terms(
        run.room, run.stages[0], batch_of(run), 0.5, np.random.default_rng(1), torch.Generator()
    )
    assert all(torch.isfinite(one) for one in terms.values())
    (found,) = said
    ids = found.next_ids_L.tolist()
    assert ids.count(run.room.model.actor_id) == actors
    assert ids.count(run.room.model.target_id) == targets
    assert len(found.rows_R2) == actors + targets
    text = run.room.model.tokenizer.decode(ids)
    assert text.startswith(answer), text


def test_frozen_vision_tower_stays_as_it_is_and_the_rest_learns():
    run = taught_run(ACTOR, train_vision_tower=False)
    prepare_stage(run, run.stages[0])
    before = {name: one.detach().clone() for name, one in run.room.model.named_parameters()}
    train_step(run, run.stages[0])
    moved = {name for name, one in run.room.model.named_parameters() if (one != before[name]).any()}
    assert not any("vision_tower" in name for name in moved)
    assert any("multi_modal_projector" in name for name in moved)
    assert any("language_model" in name for name in moved)


def test_teacher_alone_learns_where_the_mask_decoder_is_kept():
    plan = stage(StageKind.OBJECT_PROMPTS, train_mask_decoder=False)
    run = start_run(mini_recipe(plan), ClipList([square_clip()] * 6), seed=0)
    prepare_stage(run, plan)
    before = {name: one.detach().clone() for name, one in run.room.model.named_parameters()}
    taught = [one.detach().clone() for one in run.room.teacher.parameters()]
    train_step(run, plan)
    assert all(torch.equal(one, before[name]) for name, one in run.room.model.named_parameters())
    assert any((one != two).any() for one, two in zip(run.room.teacher.parameters(), taught, strict=True))
