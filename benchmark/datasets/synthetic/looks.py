"""What objects look like: colour, shape, texture, size; and the combinations kept out of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.datasets.synthetic.draws import chance, pick, pick_weighted, shuffled, uniform

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (222, 44, 40),
    "green": (44, 178, 66),
    "blue": (48, 92, 236),
    "yellow": (242, 210, 40),
    "purple": (184, 62, 206),
    "white": (240, 240, 240),
}
SHAPES = ("disc", "square", "triangle", "cross")
TEXTURES = ("plain", "striped", "dotted", "checked")
SIZES = ("small", "large")

#: (colour, shape) pairs that no object of the train split has; every colour and every shape is trained
HELD_OUT_LOOKS = frozenset({("red", "triangle"), ("blue", "cross"), ("yellow", "disc"), ("white", "square")})
#: colours that never interact with each other in the train split, in either order, so that holding them
#: out does not teach that one of the two is always the actor
HELD_OUT_PAIRINGS = frozenset({frozenset({"green", "purple"}), frozenset({"blue", "yellow"})})

SMALL_SHARE = 0.14
RADIUS_PIXELS = {"small": (5.75, 6.75), "large": (9.0, 12.5)}
CROWDED_RADIUS_PIXELS = (8.5, 10.5)  # large objects when a clip holds four or more
TEXTURE_WEIGHTS = (("plain", 0.34), ("striped", 0.22), ("dotted", 0.22), ("checked", 0.22))


@dataclass(frozen=True, slots=True)
class ObjectLook:
    """The look of one object, in words."""

    colour: str
    shape: str
    texture: str
    size: str

    @property
    def is_held_out(self) -> bool:
        """Whether no object of the train split has this colour and shape together."""
        return (self.colour, self.shape) in HELD_OUT_LOOKS


def draw_looks(
    rng: np.random.Generator, count: int, pairs: Sequence[tuple[int, int]], held_out: bool
) -> tuple[ObjectLook, ...]:
    """Looks of `count` objects, no two alike in colour, shape and texture together.

    In about six of ten clips all colours differ; in the rest two objects share one. `pairs` are the
    object indices that interact. With `held_out` false, nothing that is kept out of training occurs;
    with true it occurs freely, and in a fifth of the clips on purpose.
    """
    while True:
        colours = _draw_colours(rng, count, pairs)
        if held_out and pairs and chance(rng, 0.2):
            index = pick(rng, pick(rng, pairs))
            forced = pick(rng, sorted(HELD_OUT_LOOKS))
            trade = {colours[index]: forced[0], forced[0]: colours[index]}
            colours = [trade.get(colour, colour) for colour in colours]
            shapes = [forced[1] if place == index else pick(rng, SHAPES) for place in range(count)]
        else:
            shapes = [pick(rng, SHAPES) for _ in range(count)]
        looks = tuple(
            ObjectLook(
                colour,
                shape,
                pick_weighted(rng, TEXTURE_WEIGHTS),
                "small" if chance(rng, SMALL_SHARE) else "large",
            )
            for colour, shape in zip(colours, shapes, strict=True)
        )
        if _all_different(looks) and (held_out or _may_train(looks, pairs)):
            return looks


def _draw_colours(rng: np.random.Generator, count: int, pairs: Sequence[tuple[int, int]]) -> list[str]:
    colours = shuffled(rng, tuple(COLOURS))[:count]
    if chance(rng, 0.4):
        one, other = shuffled(rng, range(count))[:2]
        colours[one] = colours[other]
    return colours


def _all_different(looks: Sequence[ObjectLook]) -> bool:
    return len({(look.colour, look.shape, look.texture) for look in looks}) == len(looks)


def _may_train(looks: Sequence[ObjectLook], pairs: Sequence[tuple[int, int]]) -> bool:
    return not any(look.is_held_out for look in looks) and not any(
        is_held_out_pairing(looks[one], looks[other]) for one, other in pairs
    )


def is_held_out_pairing(one: ObjectLook, other: ObjectLook) -> bool:
    """Whether objects of these two colours never interact in the train split."""
    return frozenset({one.colour, other.colour}) in HELD_OUT_PAIRINGS


def draw_radius(rng: np.random.Generator, size: str, crowded: bool) -> float:
    """Radius in pixels of an object of a size; in crowded clips large ones are somewhat smaller."""
    low, high = CROWDED_RADIUS_PIXELS if crowded and size == "large" else RADIUS_PIXELS[size]
    return uniform(rng, low, high)
