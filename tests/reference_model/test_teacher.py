"""The training aids: descriptions, labels and moves of cells."""

from __future__ import annotations

import pytest
import torch

from reference_model.teacher import (
    ATTRIBUTES,
    UNSAID,
    LookWords,
    ObjectTeacher,
    VisualProbe,
    cell_labels,
    cell_moves,
    described_objects,
    partial_role_prompts,
    role_prompts,
)
from tests.reference_model.mini_reviosa import square_clip


@pytest.fixture
def described():
    clip = square_clip()
    words = LookWords([clip])
    return words, described_objects(clip, words, [0, 5])


def test_look_words_are_numbered_from_one(described):
    words, (attributes, _) = described
    assert words.words == [["blue", "red"], ["square"], ["plain"], ["large"]]
    assert attributes.tolist() == [[2, 1, 1, 1], [1, 1, 1, 1]]


def test_unknown_looks_are_unsaid():
    clip = square_clip(looks=False)
    assert LookWords([clip]).describe(clip).tolist() == [[UNSAID] * len(ATTRIBUTES)] * 2


def test_prompts_of_several_objects_are_sums(described):
    words, one = described
    teacher = ObjectTeacher(words.counts, 16)
    red, blue, both = role_prompts(teacher, [one], [[(0,), (1,), (0, 1)]])
    torch.testing.assert_close(both, red + blue)


def test_left_out_parts_never_make_a_description_ambiguous(described):
    """Two squares that differ in colour and place: at least one of the two must be said."""
    words, one = described
    teacher, seen = ObjectTeacher(words.counts, 16), []

    class Watched(torch.nn.Module):
        def forward(self, attributes, places, placed):
            seen.extend(zip(attributes[:, 0].tolist(), placed.tolist(), strict=True))
            return teacher(attributes, places, placed)

    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        partial_role_prompts(Watched(), [one], [[(0,), (1,)]], generator)
    assert all(colour != UNSAID or placed for colour, placed in seen)
    assert any(colour == UNSAID for colour, _ in seen) and any(not placed for _, placed in seen)


def test_cells_name_the_object_that_covers_them():
    masks = torch.zeros(2, 1, 8, 8)
    masks[0, 0, :4, :4] = 1
    masks[1, 0, :4, 4:6] = 1  # half of the second cell
    masks[1, 0, 4:5, 4:6] = 1  # an eighth of the fourth
    labels = cell_labels(masks, torch.tensor([[3, 1], [5, 2]]), 2)
    assert labels.tolist() == [[[3, 1], [5, 2], [0, 0], [0, 0]]]


def test_cells_tell_moves_since_the_frame_before():
    masks = torch.zeros(1, 3, 8, 8)
    masks[0, 0, :4, :4] = 1
    masks[0, 1, :4, 4:] = 1  # half a frame to the right; gone in the last frame
    moves, known = cell_moves(masks, 2)
    assert known.tolist() == [[False] * 4, [False, True, False, False], [False] * 4]
    assert moves[1, 1].tolist() == pytest.approx([5.0, 0.0])


def test_probe_losses_fall_when_they_are_right():
    probe = VisualProbe([2], 4)
    visual, labels = torch.randn(1, 1, 6, 4), torch.tensor([0, 1, 2, 0, 1, 2]).view(1, 1, 6, 1)
    optimizer = torch.optim.Adam(probe.parameters(), 0.1)
    before = float(probe.loss(visual, labels).detach())
    for _ in range(200):
        optimizer.zero_grad()
        probe.loss(visual, labels).backward()
        optimizer.step()
    assert float(probe.loss(visual, labels).detach()) < 0.5 * before
    assert probe.accuracy(visual, labels)[0] > 0.7
    nothing = probe.motion_loss(torch.randn(3, 4), torch.zeros(3, 2), torch.zeros(3, dtype=torch.bool))
    assert float(nothing.detach()) == 0
