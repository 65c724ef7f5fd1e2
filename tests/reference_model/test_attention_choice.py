"""The choice of layer and heads, how steady it is, and rank correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_model import config
from reference_model.attention_choice import (
    DRAWS,
    Choice,
    choose,
    default_heads,
    mean_vision,
    rank_correlation,
    steadiness,
)


@dataclass(frozen=True)
class Token:
    clip: int
    vision_YH: np.ndarray


def token(clip: int, *rows: tuple[float, ...]) -> Token:
    return Token(clip, np.array(rows, np.float32))


def test_the_layer_is_chosen_by_its_mean_and_the_heads_within_it():
    """Layer 0 has the single highest head, layer 1 the higher mean."""
    vision = np.array([[0.99, 0.0, 0.1, 0.1], [0.3, 0.9, 0.2, 0.8]])
    assert choose(vision, 3) == Choice(1, (1, 3, 0))
    assert choose(np.full((3, 4), 0.5), 2) == Choice(0, (0, 1))  # ties go to the lower number


def test_the_recipe_line_is_python_that_a_recipe_takes():
    line = Choice(22, (11, 7, 10, 5)).recipe_line
    made = eval(f"dict({line})", {"AttentionLossConfig": config.AttentionLossConfig})
    assert made == {"attention_loss": config.AttentionLossConfig(22, (5, 7, 10, 11))}
    assert "heads=(3,)" in Choice(0, (3,)).recipe_line


@pytest.mark.parametrize(("heads", "chosen"), [(14, 4), (16, 4), (8, 4), (4, 2), (2, 1), (1, 1)])
def test_four_heads_by_default_but_at_most_half(heads, chosen):
    assert default_heads(heads) == chosen


def test_every_token_weighs_the_same():
    tokens = [token(0, (1.0,)), token(0, (1.0,)), token(1, (0.1,))]
    assert mean_vision(tokens)[0, 0] == pytest.approx(0.7)


def test_a_choice_that_all_clips_share_is_steady_and_one_that_hangs_on_a_clip_is_not():
    same = [token(clip, (0.1, 0.2), (0.8, 0.9)) for clip in range(4)]
    found = steadiness(same, 1, seed=0)
    assert (found.layer, found.heads, found.draws) == (1.0, 1.0, DRAWS)
    # One clip of four makes layer 1 win; a draw without it, (3/4)^4 = 32%, does not choose it.
    torn = [token(clip, (0.3, 0.2), (0.2, 0.2)) for clip in range(3)] + [token(3, (0.0, 0.0), (0.9, 0.9))]
    torn_found = steadiness(torn, 2, seed=0)
    assert torn_found.layer == pytest.approx(1 - 0.75**4, abs=0.05)
    assert torn_found == steadiness(torn, 2, seed=0) != steadiness(torn, 2, seed=1)


def test_heads_may_be_less_steady_than_their_layer():
    tokens = [token(0, (0.9, 0.8)), token(1, (0.8, 0.95))]
    found = steadiness(tokens, 1, seed=3)
    assert found.layer == 1.0 and found.heads == pytest.approx(0.75, abs=0.05)


def test_rank_correlation_by_hand():
    """Ranks of x are 1, 2.5, 2.5, 4: covariance 4.5, spreads 4.5 and 5."""
    assert rank_correlation([1, 2, 2, 9], [10, 20, 30, 40]) == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 2], [1, 2]) is None
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=3, max_size=12))
@settings(deadline=None, max_examples=60)
def test_rank_correlation_knows_only_order(pairs):
    x, y = [float(a) for a, _ in pairs], [float(b) for _, b in pairs]
    found = rank_correlation(x, y)
    if found is None:
        assert len(set(x)) == 1 or len(set(y)) == 1
        return
    assert -1 - 1e-12 <= found <= 1 + 1e-12
    assert rank_correlation([a**3 + 5 for a in x], y) == pytest.approx(found)
    assert rank_correlation(y, x) == pytest.approx(found)
    assert rank_correlation([-a for a in x], y) == pytest.approx(-found)
