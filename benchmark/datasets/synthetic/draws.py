"""Random draws that stay the same on every platform and numpy version.

Only `Generator.random` is used below them: its stream is fixed by the PCG64 bit generator, while the
streams of `integers`, `choice` or `normal` may change between numpy versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number in [low, high)."""
    return low + (high - low) * float(rng.random())


def below(rng: np.random.Generator, count: int) -> int:
    """An integer in 0..count-1."""
    return int(rng.random() * count)


def chance(rng: np.random.Generator, probability: float) -> bool:
    """True with the given probability."""
    return bool(rng.random() < probability)


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """One item, all equally likely."""
    return items[below(rng, len(items))]


def pick_weighted(rng: np.random.Generator, items: Sequence[tuple[T, float]]) -> T:
    """One item of (item, weight) pairs."""
    rest = float(rng.random()) * sum(weight for _, weight in items)
    for item, weight in items:
        rest -= weight
        if rest < 0:
            return item
    return items[-1][0]


def shuffled(rng: np.random.Generator, items: Sequence[T]) -> list[T]:
    """The items in random order (Fisher-Yates)."""
    order = list(items)
    for last in range(len(order) - 1, 0, -1):
        other = below(rng, last + 1)
        order[last], order[other] = order[other], order[last]
    return order
