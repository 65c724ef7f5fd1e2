"""Losses of a fine-tuning: sampled points, switches of the official code, activation checkpointing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from reference_model.config import AttentionLayout, TargetNorm
from reference_model.conversation_batches import make_batch
from reference_model.full_recipes import tuning_of
from reference_model.losses import attention_mask_loss_by_role, attention_truth, official_attention_layout
from reference_model.point_sampling import sampled_points
from reference_model.tuning_model import TuningModel
from tests.reference_model.small_tuning import small_session, small_tuning, write_clips


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    clips = write_clips(tmp_path_factory.mktemp("clips"), 6)
    made = small_session(clips, small_tuning(points=None, videos_per_pass=2))
    made.room.eval()  # no dropout: values are to be compared
    return made


@pytest.fixture(scope="module")
def batch(session):
    samples = [session.mix.sample(position) for position in range(2)]
    made = make_batch(samples, session.room.model, tuning_of(session.recipe))
    generator = torch.Generator().manual_seed(0)
    # Masks of noise: small objects fall through the coarse grid of the visual tokens.
    actors, targets = (torch.rand(made.actors_BEFhw.shape, generator=generator) > 0.5 for _ in range(2))
    return replace(made, actors_BEFhw=actors, targets_BEFhw=targets)


def terms_of(session, batch, **training):
    room = TuningModel(session.room.model, replace(session.recipe.training, **training)).eval()
    return {name: float(one) for name, one in room(batch).items() if name != "loss"} | {
        "loss": float(room(batch)["loss"].detach())
    }


def test_the_loss_is_the_weighted_sum_of_its_terms(session, batch):
    terms = terms_of(session, batch)
    expected = terms["text"] + 2 * terms["mask_ce"] + 0.5 * terms["mask_dice"] + terms["attention"]
    assert terms["loss"] == pytest.approx(expected, rel=1e-5)


def test_the_official_layout_mixes_frames_and_expressions_up(session, batch):
    config = session.recipe.training.attention_loss
    correct = terms_of(session, batch)
    official = terms_of(session, batch, attention_loss=replace(config, layout=AttentionLayout.OFFICIAL))
    assert official["attention"] != correct["attention"]
    assert {name: official[name] for name in ("text", "mask_ce", "mask_dice")} == {
        name: correct[name] for name in ("text", "mask_ce", "mask_dice")
    }
    # The same by hand: truth by clip, expression and role.
    model = session.room.model
    taught = session.room.read(batch)
    attention = model.visual_attention(taught, config.layer, config.heads).detach()
    side, frames = model.config.vision_language.tokens_per_side, batch.actors_BEFhw.shape[2]
    for layout, found in ((False, correct), (True, official)):
        truth = []
        for clip, number, target in zip(batch.clip_R, batch.expression_R, batch.target_R, strict=True):
            masks = (batch.targets_BEFhw if target else batch.actors_BEFhw)[clip].float()
            grids = torch.stack([attention_truth(one, side) for one in masks])
            truth.append((official_attention_layout(grids, frames) if layout else grids)[number])
        by_hand = attention_mask_loss_by_role(attention, torch.stack(truth), batch.clip_R, batch.target_R)
        assert found["attention"] == pytest.approx(float(by_hand), rel=1e-5)


def test_target_norms_differ_as_they_say(session, batch):
    found = {norm: terms_of(session, batch, target_norm=norm) for norm in TargetNorm}
    count = int(batch.target_R.sum()) / int((~batch.target_R).sum())
    assert 0 < count < 1
    paper, official, correct = (found[one]["mask_ce"] for one in ("paper", "official", "correct"))
    # With a as the mean over actors and t over targets: paper a + t, correct (a + v t) / (1 + v),
    # official a + v t + (1 - v) ln 2.
    a_plus_vt = correct * (1 + count)
    assert official == pytest.approx(a_plus_vt + (1 - count) * torch.log(torch.tensor(2.0)).item(), rel=1e-4)
    assert paper > a_plus_vt


def test_checkpointing_and_the_plain_pass_give_the_same_gradients(session, batch):
    model = session.room.model
    gradients = []
    for on in (True, False):
        for module in model.vision_language.language_model.modules():
            if hasattr(module, "gradient_checkpointing"):
                module.gradient_checkpointing = on
        session.room.train()
        torch.manual_seed(3)
        session.room(batch)["loss"].backward()
        named = session.room.named_parameters()
        gradients.append({name: one.grad.clone() for name, one in named if one.grad is not None})
        session.room.zero_grad()
        session.room.eval()
    assert set(gradients[0]) == set(gradients[1])
    for name, one in gradients[0].items():
        torch.testing.assert_close(one, gradients[1][name], rtol=1e-4, atol=1e-6)


def test_points_lie_where_the_mask_is_undecided():
    torch.manual_seed(0)
    ramp = torch.linspace(-8, 8, 64).expand(2, 64, 64)
    truth = (ramp > 0).float()
    logits, labels = sampled_points(ramp, truth, 1000)
    assert logits.shape == labels.shape == (2, 1, 1000)
    # 1,000 points of 3,000 candidates: the 750 least decided come from a quarter of the range.
    assert float((logits.abs() < 2.2).float().mean()) > 0.75
    assert float((logits.abs() > 4).float().mean()) > 0.05
    # At the border of the object and at the edge of the frame truth lies between 0 and 1.
    assert bool((logits[labels > 0.999] > 0).all()) and bool((logits[labels == 0] < 0).all())
    assert 0.4 < float(labels.mean()) < 0.6


def test_points_keep_gradients_and_follow_the_generator():
    logits = torch.randn(3, 16, 16, requires_grad=True)
    truth = (torch.rand(3, 16, 16) > 0.5).float()
    drawn = []
    for _ in range(2):
        torch.manual_seed(1)
        drawn.append(sampled_points(logits, truth, 50)[0])
    assert torch.equal(*drawn)
    drawn[0].sum().backward()
    assert float(logits.grad.abs().sum()) > 0
