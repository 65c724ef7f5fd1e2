"""Loss terms against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_model import config, losses


def test_mask_cross_entropy_of_undecided_logits_is_log_two():
    truth = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    assert float(losses.mask_cross_entropy(torch.zeros(1, 2, 2), truth)) == pytest.approx(math.log(2))


@given(st.lists(st.booleans(), min_size=6, max_size=6), st.lists(st.floats(-4, 4), min_size=6, max_size=6))
@settings(deadline=None, max_examples=40)
def test_dice_is_its_formula(truth, logits):
    p = [1 / (1 + math.exp(-x)) for x in logits]
    g = [float(x) for x in truth]
    overlap = sum(a * b for a, b in zip(p, g, strict=True))
    expected = 1 - (2 * overlap + 1) / (sum(p) + sum(g) + 1)
    found = losses.dice_loss(torch.tensor(logits).view(1, 2, 3), torch.tensor(g).view(1, 2, 3))
    assert float(found) == pytest.approx(expected, abs=1e-5)


def test_dice_of_a_perfect_mask_and_of_two_empty_ones_is_zero():
    truth = torch.zeros(2, 4, 4)
    truth[0, 1:3] = 1
    assert float(losses.dice_loss((truth * 2 - 1) * 50, truth)) == pytest.approx(0, abs=1e-6)


def test_attention_truth_is_laid_out_frame_by_frame_and_row_by_row():
    """Frame 0 has its mask upper left, frame 1 lower right: the first and the last cell of each frame."""
    masks = torch.zeros(2, 8, 8)
    masks[0, :4, :4] = 1
    masks[1, 4:, 4:] = 1
    assert losses.attention_truth(masks, 2).tolist() == [1, 0, 0, 0, 0, 0, 0, 1]
    wide = torch.zeros(1, 2, 4)
    wide[0, 0, 2:] = 1
    assert losses.attention_truth(wide, 2).tolist() == [0, 1, 0, 0]


def test_attention_mask_loss_is_binary_cross_entropy_of_probabilities():
    attention = torch.tensor([[[0.5, 0.25, 0.125], [0.1, 0.1, 0.1]]])
    truth = torch.tensor([[1.0, 0.0, 0.0]])
    terms = [math.log(0.5), math.log(0.75), math.log(0.875), math.log(0.1), 2 * math.log(0.9)]
    assert float(losses.attention_mask_loss(attention, truth)) == pytest.approx(-sum(terms) / 6, rel=1e-6)


def test_attention_mask_loss_pulls_attention_onto_the_mask():
    scores = torch.zeros(1, 1, 4, requires_grad=True)
    losses.attention_mask_loss(scores.softmax(-1), torch.tensor([[1.0, 0.0, 0.0, 0.0]])).backward()
    assert scores.grad is not None
    assert float(scores.grad[0, 0, 0]) < 0 < float(scores.grad[0, 0, 1])


def test_prompt_regression_is_one_at_the_mean_and_zero_at_the_truth():
    wanted = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    assert float(losses.prompt_regression(wanted, wanted)) == 0
    mean = wanted.mean(0, keepdim=True).expand_as(wanted)
    assert float(losses.prompt_regression(mean, wanted)) == pytest.approx(1, rel=1e-5)
    assert math.isfinite(float(losses.prompt_regression(wanted[:1], wanted[1:2])))


def test_object_score_loss_asks_whether_there_is_a_pixel():
    truth = torch.zeros(2, 3, 3)
    truth[1, 0, 0] = 1
    right = losses.object_score_loss(torch.tensor([-20.0, 20.0]), truth)
    wrong = losses.object_score_loss(torch.tensor([20.0, -20.0]), truth)
    assert float(right) == pytest.approx(0, abs=1e-6) and float(wrong) == pytest.approx(20, rel=1e-5)


def test_text_loss_and_total_are_plain_sums():
    logits, ids = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 0, 6, 3, 3])
    text = losses.text_loss(logits, ids)
    torch.testing.assert_close(text, -F.log_softmax(logits, -1)[range(5), ids].mean())
    total = losses.total_loss({"text": text, "mask_ce": torch.tensor(2.0)}, {"text": 0.5, "mask_ce": 3.0})
    torch.testing.assert_close(total, 0.5 * text + 6)


def test_resized_logits_keep_the_middle_of_a_step():
    step = torch.tensor([[[-1.0, 1.0], [-1.0, 1.0]]])
    wide = losses.resized_logits(step, 4, 8)
    assert wide.shape == (1, 4, 8)
    assert bool((wide[0, :, :4] < 0).all()) and bool((wide[0, :, 4:] > 0).all())


def named_slots(expressions: int, frames: int) -> torch.Tensor:
    """Grids (E, F x 1) of one cell that hold 100 x expression + frame."""
    return 100 * torch.arange(expressions)[:, None] + torch.arange(frames)


def test_official_attention_layout_by_hand():
    """Two expressions, three frames: stored 0/0 1/0 0/1 1/1 0/2 1/2 (expression/frame), read by threes."""
    mixed = losses.official_attention_layout(named_slots(2, 3), 3)
    assert mixed.tolist() == [[0, 100, 1], [101, 2, 102]]
    wide = losses.official_attention_layout(torch.arange(8).view(2, 4), 2)  # two cells a frame stay together
    assert wide.tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]]


def test_official_attention_layout_gets_two_slots_of_twenty_right():
    right = named_slots(5, 4)
    assert int((losses.official_attention_layout(right, 4) == right).sum()) == 2
    square = named_slots(5, 5)
    transposed = 100 * torch.arange(5) + torch.arange(5)[:, None]
    assert torch.equal(losses.official_attention_layout(square, 5), transposed)


@given(st.integers(1, 7), st.integers(1, 6), st.integers(1, 3))
@settings(deadline=None, max_examples=30)
def test_official_attention_layout_follows_its_formula_and_loses_nothing(expressions, frames, cells):
    truth = torch.arange(expressions * frames * cells).view(expressions, -1)
    mixed = losses.official_attention_layout(truth, frames)
    assert mixed.flatten().sort().values.tolist() == list(range(truth.numel()))
    slots, right = mixed.unflatten(1, (frames, -1)), truth.unflatten(1, (frames, -1))
    for expression in range(expressions):
        for frame in range(frames):
            flat = expression * frames + frame
            assert torch.equal(slots[expression, frame], right[flat % expressions, flat // expressions])


def role_masks() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Four expressions of one frame; the second has a target."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 4, 6, generator=generator)
    truth = (torch.rand(5, 4, 6, generator=generator) > 0.6).float()
    return logits.requires_grad_(), truth, torch.tensor([False, False, True, False, False])


def test_official_target_norm_by_hand():
    """A quarter of the expressions has a target: its loss counts a quarter, blanks fill the rest."""
    logits, truth, target = role_masks()
    for loss, blank in ((losses.mask_cross_entropy, math.log(2)), (losses.dice_loss, 1 - 1 / (24 / 2 + 1))):
        actors, targets = loss(logits[~target], truth[~target]), loss(logits[target], truth[target])
        found = {
            norm: losses.mask_loss_of_roles(loss, logits, truth, target, norm) for norm in config.TargetNorm
        }
        torch.testing.assert_close(found[config.TargetNorm.PAPER], actors + targets)
        expected = actors + targets / 4 + 0.75 * blank
        torch.testing.assert_close(found[config.TargetNorm.OFFICIAL], expected)
        assert torch.equal(found[config.TargetNorm.CORRECT], loss(logits, truth))


@pytest.mark.parametrize("loss", [losses.mask_cross_entropy, losses.dice_loss])
def test_official_target_norm_equals_slots_multiplied_by_zero(loss):
    """The official computation, literally: a target slot for each expression, zeroed where none is."""
    logits, truth, target = role_masks()
    official = losses.mask_loss_of_roles(loss, logits, truth, target, config.TargetNorm.OFFICIAL)
    (gradient,) = torch.autograd.grad(official, logits)
    keep = torch.tensor([0.0, 1.0, 0.0, 0.0]).view(4, 1, 1)
    slots = [2, 2, 2, 2]  # whatever lies in the other slots is multiplied by zero
    literal = loss(logits[~target], truth[~target]) + loss(logits[slots] * keep, truth[slots] * keep)
    torch.testing.assert_close(official, literal)
    torch.testing.assert_close(gradient, torch.autograd.grad(literal, logits)[0])
    paper = losses.mask_loss_of_roles(loss, logits, truth, target, config.TargetNorm.PAPER)
    (undiluted,) = torch.autograd.grad(paper, logits)
    torch.testing.assert_close(gradient[target], undiluted[target] / 4)


@pytest.mark.parametrize("norm", list(config.TargetNorm))
def test_without_targets_there_is_no_target_term(norm):
    logits, truth, _ = role_masks()
    nobody = torch.zeros(5, dtype=torch.bool)
    found = losses.mask_loss_of_roles(losses.dice_loss, logits, truth, nobody, norm)
    assert torch.equal(found, losses.dice_loss(logits, truth))


def test_attention_mask_loss_by_role_adds_role_means_of_each_clip():
    attention = torch.rand(4, 2, 3, generator=torch.Generator().manual_seed(1))
    truth = (torch.rand(4, 3, generator=torch.Generator().manual_seed(2)) > 0.5).float()
    clip, target = torch.tensor([0, 0, 0, 1]), torch.tensor([False, True, False, False])

    def mean(*rows):
        return losses.attention_mask_loss(attention[list(rows)], truth[list(rows)])

    found = losses.attention_mask_loss_by_role(attention, truth, clip, target)
    torch.testing.assert_close(found, (mean(0, 2) + mean(1) + mean(3)) / 2)
