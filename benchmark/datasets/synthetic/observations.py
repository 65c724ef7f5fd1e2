"""What can be said of a rendered clip: who may be called what, who is seen, who moves where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.synthetic.looks import ObjectLook
from benchmark.datasets.synthetic.phrases import MOVES, Phrase
from benchmark.datasets.synthetic.rendering import Rendering
from benchmark.datasets.synthetic.scenes import STEPS, Scene

STILL_PIXELS = 2.5  # an object that never gets farther from its start stays in place
TRAVEL_PIXELS = 14.0  # shortest way that is called moving in a direction
HINT_PIXELS = 5.0  # another object going this far in the same direction makes the sentence doubtful
SEEN_PIXELS = 12  # an object counts as visible in a frame from this many pixels on
SEEN_FRAMES = 3  # and can be meant by an expression if visible in this many frames


@dataclass(frozen=True)
class Observation:
    """What can be said about a clip: its plan and what came out of rendering it."""

    scene: Scene
    looks: tuple[ObjectLook, ...]
    visible: NDArray[np.int64]  # (N, T) pixels
    unhidden: NDArray[np.int64]  # (N, T) pixels, before others hide them

    @property
    def nameable(self) -> tuple[int, ...]:
        """Objects seen long enough to be meant by an expression."""
        frames = (self.visible >= SEEN_PIXELS).sum(axis=1)
        return tuple(int(index) for index in np.flatnonzero(frames >= SEEN_FRAMES))

    def fitting(self, phrase: Phrase) -> list[int]:
        """Objects that may be called so."""
        return [index for index, look in enumerate(self.looks) if phrase.fits(look)]


def observe(scene: Scene, rendering: Rendering) -> Observation:
    """Collect what sentences depend on."""
    visible = np.count_nonzero(rendering.masks, axis=(2, 3))
    looks = tuple(thing.look for thing in scene.objects)
    return Observation(scene, looks, visible, rendering.unhidden_areas)


def _travel(seen: Observation, index: int) -> tuple[float, float]:
    centres = seen.scene.objects[index].centres
    way = (centres[-1] - centres[0]) / STEPS
    return float(way[0]), float(way[1])


def _farthest(seen: Observation, index: int) -> float:
    centres = seen.scene.objects[index].centres / STEPS
    return float(np.hypot(*(centres - centres[0]).T).max())


def _component(what: str, seen: Observation, index: int) -> float:
    """How far an object goes, in pixels, in the direction that a sentence names."""
    x, y = _travel(seen, index)
    return {"moving left": -x, "moving right": x, "moving up": -y, "moving down": y}[what]


def _moves(what: str) -> Callable[[Observation, int], bool]:
    def does(seen: Observation, index: int) -> bool:
        x, y = _travel(seen, index)
        ahead = _component(what, seen, index)
        return ahead >= TRAVEL_PIXELS and ahead >= 2 * min(abs(x), abs(y)) and ahead == max(abs(x), abs(y))

    return does


def _stays(seen: Observation, index: int) -> bool:
    return _farthest(seen, index) <= STILL_PIXELS


def _enters(seen: Observation, index: int) -> bool:
    return bool(seen.unhidden[index, 0] == 0 and seen.unhidden[index, -1] > 0)


def _leaves(seen: Observation, index: int) -> bool:
    return bool(seen.unhidden[index, 0] > 0 and seen.unhidden[index, -1] == 0)


DEEDS: dict[str, Callable[[Observation, int], bool]] = {
    **{what: _moves(what) for what in MOVES},
    "staying in place": _stays,
    "entering the picture": _enters,
    "leaving the picture": _leaves,
}


def nearly(what: str, seen: Observation, index: int) -> bool:
    """Whether a person might say this of an object too, so that the sentence would leave a doubt."""
    if what == "staying in place":
        return _farthest(seen, index) < TRAVEL_PIXELS
    if what in ("entering the picture", "leaving the picture"):
        end = 0 if what == "entering the picture" else -1
        return bool(seen.unhidden[index, end] < seen.unhidden[index].max())
    return _component(what, seen, index) > HINT_PIXELS
