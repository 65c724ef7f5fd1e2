"""How objects move in each interaction: paths of the participants around a common origin.

Every function takes the radii of the participants (pixels) and gives their paths, float (N, T, 2) in
(x, y) pixels. Participants are in the order agent first, then patients as the active sentence names
them. What makes each one recognisable in a few frames:

    pushing       the agent comes up behind the still patient, then both move on in contact
    pulling       the agent goes ahead, the patient follows on a rope
    chasing       both run along one curve with a clear gap, the agent behind
    hitting       the agent runs into the still patient and stops; the patient flies off
    carrying      the agent fetches the still patient, then both go another way, overlapping
    circling      the agent runs round the patient, which stays or drifts
    covering      the agent moves onto the still patient and stays there, hiding more than half of it
    handing       the agent takes the item lying between it and the receiver and brings it there; then
                  the receiver leaves with the item and the agent leaves without
    colliding     both run into each other and bounce back                           (no roles)
    swapping      each moves to where the other was                                  (no roles)
    orbiting      both run round their common middle                                 (no roles)

In frame 0 an interaction and its role-swapped twin (the same turned by 180 degrees about the middle of
the two participants) look alike: who acts can be told only from later frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.synthetic.draws import chance, uniform

FRAMES = 12
Paths = NDArray[np.float64]
"""(N, T, 2) pixels, (x, y)."""

TIME = np.arange(FRAMES, dtype=np.float64)


def pushing(rng: np.random.Generator, radii: Sequence[float]) -> Paths:
    curve, ahead = _draw_curve(rng, _touching(radii))
    contact, speed = uniform(rng, 1.5, 3.0), uniform(rng, 3.6, 5.4)
    return np.stack([curve.points(speed * TIME), curve.points(ahead + speed * np.maximum(TIME, contact))])


def pulling(rng: np.random.Generator, radii: Sequence[float]) -> Paths:
    curve, ahead = _draw_curve(rng, _touching(radii) + uniform(rng, 7.0, 12.0))
    patient = uniform(rng, 3.6, 5.4) * TIME
    return np.stack([curve.points(patient + ahead), curve.points(patient)])


def chasing(rng: np.random.Generator, radii: Sequence[float]) -> Paths:
    curve, ahead = _draw_curve(rng, _touching(radii) + uniform(rng, 8.0, 14.0))
    agent = uniform(rng, 3.4, 5.6) * TIME
    return np.stack([curve.points(agent), curve.points(agent + ahead)])


def hitting(rng: np.random.Generator, radii: Sequence[float]) -> Paths:
    hit = uniform(rng, 4.0, 5.5)
    first = uniform(rng, 0, 2 * np.pi)
    turn = uniform(rng, -0.3, 0.3) * np.pi
    agent = uniform(rng, 4.0, 6.5) * np.minimum(TIME, hit)[:, None] * _unit(first)
    contact = agent[-1] + _touching(radii) * _unit(first)
    flight = uniform(rng, 3.4, 5.4) * np.maximum(TIME - hit, 0)[:, None] * _unit(first + turn)
    return np.stack([agent, contact + flight])


def carrying(rng: np.random.Generator, radii: Sequence[float]) -> Paths:
    first = uniform(rng, 0, 2 * np.pi)
    turn = uniform(rng, 0.35, 0.85) * np.pi * (1 if chance(rng, 0.5) else -1)
    meet = uniform(rng, 3.0, 4.5)
    overlap = 0.68 * _touching(radii)
    approach = _touching(radii) + uniform(rng, 5.0, 10.0) - overlap
    leg = uniform(rng, 3.8, 5.6) * np.maximum(TIME - meet, 0)[:, None] * _unit(first + turn)
    agent = (approach * np.minimum(TIME / meet, 1))[:, None] * _unit(first) + leg
    patient = (approach + overlap) * _unit(first) + leg
    return np.stack([agent, patient])


def circling(rng: np.random.Generator, radii: Sequence[float]) -> Paths:
    distance = _touching(radii) + uniform(rng, 2.5, 5.5)
    sweep = uniform(rng, 1.45, 2.1) * np.pi * (1 if chance(rng, 0.5) else -1)
    angle = uniform(rng, 0, 2 * np.pi) + sweep * TIME / (FRAMES - 1)
    drift = (uniform(rng, 0.0, 0.5) * TIME)[:, None] * _direction(rng)
    return np.stack([drift + distance * _units(angle), drift])


def covering(rng: np.random.Generator, radii: Sequence[float]) -> Paths:
    distance = _touching(radii) + uniform(rng, 6.0, 16.0)
    arrive, rest = uniform(rng, 6.0, 8.0), uniform(rng, 0.45, 0.75) * min(radii)
    agent = (distance - rest) * np.minimum(TIME / arrive, 1)
    return _along(_direction(rng), agent, np.full(FRAMES, distance))


def handing(rng: np.random.Generator, radii: Sequence[float]) -> Paths:
    agent_radius, item_radius, receiver_radius = radii
    gap = uniform(rng, 5.0, 9.0)
    taken, given, left = 2.0, uniform(rng, 5.0, 5.8), 6.6
    fetch = gap * np.minimum(TIME / taken, 1)
    bring = gap * np.clip((TIME - taken) / (given - taken), 0, 1)
    line = 0.12 * np.pi * (2 * uniform(rng, 0, 1) - 1) + (np.pi if chance(rng, 0.5) else 0.0)
    turn = uniform(rng, 0.25, 0.5) * np.pi * (1 if chance(rng, 0.5) else -1)
    leave = uniform(rng, 3.6, 5.2) * np.maximum(TIME - left, 0)[:, None] * _unit(line + turn)
    forward = _unit(line)
    back = uniform(rng, 2.6, 4.4) * np.maximum(TIME - left, 0)[:, None] * _unit(line + np.pi + turn)
    agent = (fetch + bring - gap - agent_radius - item_radius)[:, None] * forward + back
    item = bring[:, None] * forward + leave
    receiver = (gap + item_radius + receiver_radius) * forward + leave
    return np.stack([agent, item, receiver])


def colliding(rng: np.random.Generator, radii: Sequence[float]) -> Paths:
    hit, speed, back = uniform(rng, 4.5, 6.0), uniform(rng, 2.6, 4.0), uniform(rng, 2.6, 4.0)
    along = _touching(radii) / 2 + speed * np.maximum(hit - TIME, 0) + back * np.maximum(TIME - hit, 0)
    return _along(_direction(rng), -along, along)


def swapping(rng: np.random.Generator, radii: Sequence[float]) -> Paths:
    return _orbit(rng, _touching(radii) / 2 + uniform(rng, 6.0, 10.0), 1.0)


def orbiting(rng: np.random.Generator, radii: Sequence[float]) -> Paths:
    return _orbit(rng, _touching(radii) / 2 + uniform(rng, 2.0, 5.0), uniform(rng, 1.7, 2.3))


MOTIONS: dict[str, Callable[[np.random.Generator, Sequence[float]], Paths]] = {
    "pushing": pushing,
    "pulling": pulling,
    "chasing": chasing,
    "hitting": hitting,
    "carrying": carrying,
    "circling": circling,
    "covering": covering,
    "handing": handing,
    "colliding": colliding,
    "swapping": swapping,
    "orbiting": orbiting,
}


def _touching(radii: Sequence[float]) -> float:
    return radii[0] + radii[1]


def _unit(angle: float) -> NDArray[np.float64]:
    return np.array([np.cos(angle), np.sin(angle)])


def _units(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def _direction(rng: np.random.Generator) -> NDArray[np.float64]:
    return _unit(uniform(rng, 0, 2 * np.pi))


def _along(direction: NDArray[np.float64], *distances: NDArray[np.float64]) -> Paths:
    return np.stack([distance[:, None] * direction for distance in distances])


@dataclass(frozen=True, slots=True)
class Curve:
    """A path of constant bend through the origin: `bend` is the turn in radians per pixel of way."""

    heading: float
    bend: float

    def points(self, way: NDArray[np.float64]) -> NDArray[np.float64]:
        """Places after so many pixels of way, (T, 2)."""
        angle = self.heading + self.bend * way
        around: NDArray[np.float64] = np.stack([np.sin(angle), -np.cos(angle)], axis=-1) / self.bend
        return around


def _draw_curve(rng: np.random.Generator, distance: float) -> tuple[Curve, float]:
    """A curve, and the way on it between two places `distance` apart as the crow flies.

    Between the two places it turns by 35 to 63 degrees: enough that not always the front one is nearer
    to the border, not so much that the two seem to run round each other.
    """
    turn = uniform(rng, 0.2, 0.35) * np.pi
    way = distance * (turn / 2) / float(np.sin(turn / 2))
    sign = 1 if chance(rng, 0.5) else -1
    return Curve(uniform(rng, 0, 2 * np.pi), sign * turn / way), way


def _orbit(rng: np.random.Generator, radius: float, half_turns: float) -> Paths:
    turned = half_turns * np.pi * (1 if chance(rng, 0.5) else -1) * np.clip((TIME - 0.5) / (FRAMES - 2), 0, 1)
    place = radius * _units(uniform(rng, 0, 2 * np.pi) + turned)
    return np.stack([place, -place])
