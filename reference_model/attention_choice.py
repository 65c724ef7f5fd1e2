"""From many role tokens to the layer and the heads for the attention mask loss, and how sure that is.

The protocol of the paper (supplement A.1): the layer whose heads look most at visual tokens on average,
then in it the heads that do so most, the first few of them. Ties go to the lower number.

Legend of shape suffixes:
    Y layers   H heads   C clips   D draws   N tokens
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

PAPER_HEADS = 4  # found by trial on the 1B model: 1, 2, 3, 4 and 5 heads gave 61.3, 60.5, 61.2, 62.0, 60.6
DRAWS = 1000

Values = NDArray[np.float64]


class Looked(Protocol):
    """What the choice needs of a role token."""

    @property
    def clip(self) -> int:
        """Which clip it belongs to."""
        ...

    @property
    def vision_YH(self) -> NDArray[np.float32]:
        """Share of the attention on visual tokens."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """A layer and heads of it, the head that looks most at the frames first."""

    layer: int
    heads: tuple[int, ...]

    @property
    def recipe_line(self) -> str:
        """The line of a recipe that trains these."""
        return f"attention_loss=AttentionLossConfig(layer={self.layer}, heads={tuple(sorted(self.heads))}),"


@dataclass(frozen=True, slots=True)
class Steadiness:
    """How often the same choice comes out when clips are drawn again, with replacement.

    Attributes:
        layer: share of the draws with the same layer.
        heads: share of the draws with the same layer and the same set of heads.
    """

    layer: float
    heads: float
    draws: int
    seed: int


def choose(vision_YH: Values, top: int) -> Choice:
    """The layer with the highest mean over heads, and its `top` highest heads."""
    layer = int(vision_YH.mean(1).argmax())
    order = np.argsort(-vision_YH[layer], kind="stable")
    return Choice(layer, tuple(int(head) for head in order[:top]))


def default_heads(heads: int) -> int:
    """How many heads to choose: the paper's four, but at most half of those a layer has."""
    return max(1, min(PAPER_HEADS, heads // 2))


def mean_vision(tokens: Sequence[Looked]) -> Values:
    """Mean vision share (Y, H); every token weighs the same."""
    return np.mean([one.vision_YH for one in tokens], axis=0, dtype=np.float64)


def steadiness(tokens: Sequence[Looked], top: int, seed: int) -> Steadiness:
    """Draw the clips again and again and choose each time; tokens of one clip stay together."""
    chosen = choose(mean_vision(tokens), top)
    clips = sorted({one.clip for one in tokens})
    sums_CYH = np.stack(
        [np.sum([one.vision_YH for one in tokens if one.clip == clip], 0, dtype=np.float64) for clip in clips]
    )
    counts_C = np.array([sum(one.clip == clip for one in tokens) for clip in clips])
    rng = np.random.default_rng(seed)
    same_layer = same_heads = 0
    for _ in range(DRAWS):
        drawn = rng.integers(len(clips), size=len(clips))
        other = choose(sums_CYH[drawn].sum(0) / counts_C[drawn].sum(), top)
        same_layer += other.layer == chosen.layer
        same_heads += other.layer == chosen.layer and set(other.heads) == set(chosen.heads)
    return Steadiness(same_layer / DRAWS, same_heads / DRAWS, DRAWS, seed)


def rank_correlation(x_N: Sequence[float], y_N: Sequence[float]) -> float | None:
    """Spearman's rank correlation, ties share their mean rank.

    `None` for fewer than three pairs, or when one side is all equal.
    """
    if len(x_N) < 3:
        return None
    ranks = [_ranks(np.asarray(side, np.float64)) for side in (x_N, y_N)]
    x, y = (side - side.mean() for side in ranks)
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale else None


def _ranks(values_N: Values) -> Values:
    _, group, counts = np.unique(values_N, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[group]
