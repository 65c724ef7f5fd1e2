"""The switches for the official code's faults: off by default, and doing what they say in a training step."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from reference_model.checkpoint import SHIPPED, read_recipe
from reference_model.config import (
    AttentionLayout,
    AttentionLossConfig,
    LossWeights,
    Recipe,
    StageKind,
    TargetNorm,
    from_mapping,
)
from reference_model.lessons import attention_truths, loss_terms
from reference_model.losses import attention_truth
from reference_model.recipes import tiny
from reference_model.training_data import draw_batch
from reference_model.training_run import start_run
from tests.reference_model.mini_reviosa import ClipList, mini_recipe, square_clip, stage

WEIGHTS = LossWeights(mask_ce=1.0, mask_dice=1.0, object_score=0.2)
KINDS = (StageKind.JOINT, StageKind.MEMORY)


def run_of(kind: StageKind = StageKind.JOINT, aml: dict | None = None, **training):
    frames = 5 if kind is StageKind.MEMORY else 1
    recipe = mini_recipe(stage(kind, expressions=3, frames=frames, weights=WEIGHTS))
    aml_config = AttentionLossConfig(1, (0, 1), **(aml or {}))
    changed = dataclasses.replace(recipe.training, attention_loss=aml_config, **training)
    return start_run(dataclasses.replace(recipe, training=changed), ClipList([square_clip()] * 6), seed=0)


def batch_of(run):
    config, plan = run.recipe.model, run.stages[0]
    return draw_batch(
        ClipList([square_clip(), square_clip(5)]),
        (0, 1),
        np.random.default_rng(0),
        expressions=plan.expressions,
        frames=plan.frames,
        config=config.frames,
        language_side=config.vision_language.image_size,
        mask_side=config.mask_decoder.image_size,
        mirror=False,
    )


def terms_of(run) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        terms = loss_terms(run.room, run.stages[0], batch_of(run), 0.5, np.random.default_rng(1), generator)
    return {name: float(value) for name, value in terms.items()}


def test_stored_configurations_without_the_switches_are_correct():
    stored = json.loads((SHIPPED / "config.json").read_text())["recipe"]
    stored["training"].pop("target_norm", None)
    stored["training"]["attention_loss"] = {"layer": 2, "heads": [0, 1]}
    for recipe in (from_mapping(Recipe, stored), read_recipe(SHIPPED), tiny()):
        assert recipe.training.target_norm is TargetNorm.CORRECT
        assert recipe.training.attention_loss == AttentionLossConfig(
            2, (0, 1), AttentionLayout.CORRECT, False
        )


def test_the_correct_truth_is_each_roles_own_masks():
    batch = batch_of(run_of())
    truth = attention_truths(batch, 4, AttentionLayout.CORRECT)
    expected = [
        attention_truth(masks[list(role)].amax(0), 4)
        for masks, chosen in zip(batch.language_masks, batch.expressions, strict=True)
        for one in chosen
        for role in one.roles
    ]
    assert torch.equal(truth, torch.stack(expected))


def test_the_official_truth_mixes_frames_and_expressions_of_one_clip():
    """Clip 0: red pushes blue, blue is pushed by red, red alone; three frames, so it is a transpose."""
    batch = batch_of(run_of())
    assert [one.actors for one in batch.expressions[0]] == [(0,), (1,), (0,)]
    red, blue = (attention_truth(masks, 4).view(3, 16) for masks in batch.language_masks[0])
    none = torch.zeros(16)
    truth = attention_truths(batch, 4, AttentionLayout.OFFICIAL)
    first, second = torch.stack([red[0], blue[0], red[0]]), torch.stack([red[1], blue[1], red[1]])
    assert torch.equal(truth[0], first.flatten())  # actor of expression 0: frame 0 of all three actors
    assert torch.equal(truth[1], torch.stack([blue[0], red[0], none]).flatten())
    assert torch.equal(truth[2], second.flatten())
    assert len(truth) == 10 and not torch.equal(truth, attention_truths(batch, 4, AttentionLayout.CORRECT))


@pytest.mark.parametrize("kind", KINDS)
def test_target_norms_change_the_mask_terms_and_nothing_else(kind):
    plain, paper, official = (terms_of(run_of(kind, target_norm=norm)) for norm in TargetNorm)
    for name in set(plain) - {"mask_ce", "mask_dice"}:
        assert plain[name] == paper[name] == official[name]
    for name, loss_of_a_blank in (("mask_ce", np.log(2)), ("mask_dice", 1 - 1 / (48 * 64 / 2 + 1))):
        # Six actors a, four targets t: plain is (6a + 4t) / 10, paper a + t, official a + 4/6 t + 2/6 blank.
        targets = (paper[name] - official[name] + loss_of_a_blank / 3) * 3
        actors = paper[name] - targets
        assert plain[name] == pytest.approx((6 * actors + 4 * targets) / 10, rel=1e-4)


def test_attention_switches_change_the_attention_term_and_nothing_else():
    plain = terms_of(run_of())
    for aml in ({"layout": AttentionLayout.OFFICIAL}, {"by_role": True}):
        other = terms_of(run_of(aml=aml))
        assert other["attention"] != plain["attention"]
        assert {**other, "attention": 0.0} == {**plain, "attention": 0.0}
