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
    covering      the agent moves onto the still patient and stays on top of it
    handing       the agent takes the item lying between it and the receiver, brings it there and stays;
                  the receiver leaves with it
    colliding     both run into each other and bounce back                           (no roles)
    swapping      each moves to where the other was                                  (no roles)
    orbiting      both run round their common middle                                 (no roles)

In frame 0 an interaction and its role-swapped twin (the same turned by 180 degrees about the middle of
the two participants) look alike: who acts can be told only from later frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.synthetic.draws import chance, uniform

FRAMES = 12
Paths = NDArray[np.float64]
"""(N, T, 2) pixels, (x, y)."""

TIME = np.arange(FRAMES, dtype=np.float64)


def pushing(rng: np.random.Generator, radii: Sequence[float]) -> Paths:
    gap, contact = _touching(radii), uniform(rng, 1.5, 3.0)
    speed = uniform(rng, 3.0, 4.8)
    agent = speed * TIME
    patient = gap + speed * np.maximum(TIME, contact)
    return _along(_direction(rng), agent, patient)


def pulling(rng: np.random.Generator, radii: Sequence[float]) -> Paths:
    rope = _touching(radii) + uniform(rng, 7.0, 12.0)
    speed = uniform(rng, 3.0, 4.8)
    return _along(_direction(rng), rope + speed * TIME, speed * TIME)


def chasing(rng: np.random.Generator, radii: Sequence[float]) -> Paths:
    gap = _touching(radii) + uniform(rng, 8.0, 14.0)
    speed = uniform(rng, 3.4, 5.4)
    bend = uniform(rng, -0.022, 0.022)  # radians of turn per pixel
    start = uniform(rng, 0, 2 * np.pi)
    agent = speed * TIME
    return np.stack([_arc(agent, start, bend), _arc(agent + gap, start, bend)])


def hitting(rng: np.random.Generator, radii: Sequence[float]) -> Paths:
    hit = uniform(rng, 4.0, 5.5)
    approach, speed = uniform(rng, 4.0, 6.0), uniform(rng, 4.0, 6.0)
    agent = approach * np.minimum(TIME, hit)
    patient = approach * hit + _touching(radii) + speed * np.maximum(TIME - hit, 0)
    return _along(_direction(rng), agent, patient)


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
    arrive, rest = uniform(rng, 6.0, 8.0), uniform(rng, 0.0, 0.25) * min(radii)
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
    leave = uniform(rng, 4.0, 5.6) * np.maximum(TIME - left, 0)[:, None] * _unit(line + turn)
    forward = _unit(line)
    agent = (fetch + bring - gap - agent_radius - item_radius)[:, None] * forward
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


def _arc(distance: NDArray[np.float64], start: float, bend: float) -> NDArray[np.float64]:
    """Points of a curve of constant bend; straight where the bend is too small to see."""
    if abs(bend) < 1e-4:
        return distance[:, None] * _unit(start)
    angle = start + bend * distance
    points: NDArray[np.float64] = np.stack([np.sin(angle), -np.cos(angle)], axis=-1) / bend
    return points


def _orbit(rng: np.random.Generator, radius: float, half_turns: float) -> Paths:
    turned = half_turns * np.pi * (1 if chance(rng, 0.5) else -1) * np.clip((TIME - 0.5) / (FRAMES - 2), 0, 1)
    place = radius * _units(uniform(rng, 0, 2 * np.pi) + turned)
    return np.stack([place, -place])
