"""Plans of clips: which objects there are, how each one moves, who interacts with whom.

Geometry is planned in pixels and then rounded to sixteenths of a pixel (`STEPS`), so that masks are
decided in integers and don't depend on the last bit of a sine.

No still picture of frame 0 may tell the roles: looks, sizes, layers and the order of objects are drawn
without regard to roles, and an interaction is placed so that its role-swapped twin (turned by 180
degrees about the middle of agent and last patient) would have fitted as well. Later stills do hold a
hint, which a picture of finite size cannot avoid once frame 0 holds none: who goes ahead, or was hit,
has by then come nearer to the border.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.synthetic.draws import chance, pick_weighted, shuffled, uniform
from benchmark.datasets.synthetic.looks import ObjectLook, draw_looks, draw_radius
from benchmark.datasets.synthetic.motions import FRAMES, MOTIONS, TIME, Paths

WIDTH, HEIGHT = 128, 96
STEPS = 16
FRAME_SIZE = np.array([WIDTH, HEIGHT], np.float64)
CLEARANCE = 5.0  # pixels between things that have nothing to do with each other
PLACEMENTS = 32  # places tried at once
TRIES = 12  # for one choice of verbs

VERBS = (
    ("pushing", 1.0),
    ("pulling", 1.0),
    ("chasing", 1.0),
    ("hitting", 1.0),
    ("carrying", 1.0),
    ("circling", 1.0),
    ("covering", 1.0),
    ("handing", 1.0),
)
MUTUAL_VERBS = (("colliding", 1.0), ("swapping", 1.0), ("orbiting", 1.0))
#: verbs of one group never meet in one clip: a person might take one for the other
GROUPS = (
    frozenset({"pushing", "pulling", "carrying", "handing", "chasing"}),
    frozenset({"hitting", "colliding", "covering"}),
    frozenset({"circling", "orbiting", "swapping"}),
)
KINDS = (("one", 0.74), ("two", 0.14), ("mutual", 0.12))
LAYERS_MATTER = "covering"


@dataclass(frozen=True, slots=True)
class PlannedObject:
    """One object: its look, radius and centre in sixteenths of a pixel, and how near the viewer it is.

    `centres` is int (T, 2), (x, y) from the upper left corner; a higher `layer` hides a lower one.
    """

    look: ObjectLook
    radius: int
    centres: NDArray[np.int32]
    layer: int


@dataclass(frozen=True, slots=True)
class Interaction:
    """Who does what to whom: indices of objects. Mutual verbs have no roles, only an order of listing."""

    verb: str
    agent: int
    patients: tuple[int, ...]

    @property
    def is_mutual(self) -> bool:
        """Whether all participants do the same to each other."""
        return self.verb in {verb for verb, _ in MUTUAL_VERBS}

    @property
    def participants(self) -> tuple[int, ...]:
        """Agent and patients."""
        return (self.agent, *self.patients)


@dataclass(frozen=True, slots=True)
class Scene:
    """The plan of a clip."""

    objects: tuple[PlannedObject, ...]
    interactions: tuple[Interaction, ...]


def plan_scene(rng: np.random.Generator, held_out: bool) -> Scene:
    """Draw a scene of 2 to 5 objects; `held_out` allows the combinations kept out of training."""
    while True:
        verbs = _draw_verbs(rng)
        # Verbs that need much room get more tries, or they would be rarer than the others.
        for _ in range(TRIES):
            scene = _try_scene(rng, verbs, held_out)
            if scene is not None:
                return scene


def _try_scene(rng: np.random.Generator, verbs: Sequence[str], held_out: bool) -> Scene | None:
    sizes = [3 if verb == "handing" else 2 for verb in verbs]
    taking_part = sum(sizes)
    count = max(taking_part, min(5, taking_part + pick_weighted(rng, ((0, 0.2), (1, 0.45), (2, 0.35)))))
    members = [tuple(range(sum(sizes[:k]), sum(sizes[: k + 1]))) for k in range(len(verbs))]
    pairs = [(group[0], other) for group in members for other in group[1:]]
    looks = draw_looks(rng, count, pairs, held_out)
    radii = [draw_radius(rng, look.size, count > 3) for look in looks]
    claimed = Claims([], [])
    paths: list[Paths] = []
    for verb, group in zip(verbs, members, strict=True):
        if verb == LAYERS_MATTER:  # otherwise a small agent could not hide its patient
            looks, radii = _equal_size(looks, radii, group)
        placed = _place_interaction(rng, verb, [radii[member] for member in group], claimed)
        if placed is None:
            return None
        paths.extend(placed)
    for index in range(taking_part, count):
        path = _place_bystander(rng, radii[index], claimed)
        if path is None:
            return None
        paths.append(path)
    interactions = [Interaction(v, group[0], group[1:]) for v, group in zip(verbs, members, strict=True)]
    return _finish(rng, looks, radii, paths, interactions)


@dataclass(frozen=True, slots=True)
class Claims:
    """Places that later objects must keep clear of: paths with radii, of objects and of twins."""

    paths: list[Paths]
    radii: list[float]

    def add(self, path: Paths, radius: float) -> None:
        """Claim the way of one object."""
        self.paths.append(path)
        self.radii.append(radius)


def _draw_verbs(rng: np.random.Generator) -> list[str]:
    kind = pick_weighted(rng, KINDS)
    if kind == "mutual":
        return [pick_weighted(rng, MUTUAL_VERBS)]
    verbs = [pick_weighted(rng, VERBS)]
    if kind == "two":
        both = VERBS + MUTUAL_VERBS
        others = [(v, w) for v, w in both if v != "handing" and not _confusable(v, verbs[0])]
        verbs.append(pick_weighted(rng, others))
    return verbs


def _confusable(one: str, other: str) -> bool:
    return any(one in group and other in group for group in GROUPS)


def _equal_size(
    looks: Sequence[ObjectLook], radii: Sequence[float], group: Sequence[int]
) -> tuple[tuple[ObjectLook, ...], list[float]]:
    first = group[0]
    equal = [
        ObjectLook(look.colour, look.shape, look.texture, looks[first].size) if index in group else look
        for index, look in enumerate(looks)
    ]
    return tuple(equal), [radii[first] if index in group else r for index, r in enumerate(radii)]


def _place_interaction(
    rng: np.random.Generator, verb: str, radii: Sequence[float], claimed: Claims
) -> Paths | None:
    """Paths of one interaction where it and its twin fit, away from everything claimed before."""
    for _ in range(24):
        paths = MOTIONS[verb](rng, radii)
        # Now and then the objects may run out of the picture.
        inside = -1.3 if chance(rng, 0.2) else 0.6
        paths = paths - (paths[0, 0] + paths[-1, 0]) / 2
        reach = (np.abs(paths).max(axis=1) + inside * max(radii)).max(axis=0)
        room = FRAME_SIZE - 2 * reach
        if (room < 0).any():
            continue
        places = reach + rng.random((PLACEMENTS, 2)) * room
        found = _first_clear(paths[None] + places[:, None, None, :], radii, claimed)
        if found is not None:
            twin = found[0, 0] + found[-1, 0] - found
            for path, other, radius in zip(found, twin, radii, strict=True):
                claimed.add(path, radius)
                claimed.add(other, radius)
            return found
    return None


def _first_clear(candidates: NDArray[np.float64], radii: Sequence[float], claimed: Claims) -> Paths | None:
    """The first of (K, N, T, 2) candidates that keeps clear of all that is claimed, in every frame."""
    clear = np.ones(len(candidates), bool)
    for own, radius in enumerate(radii):
        for path, other in zip(claimed.paths, claimed.radii, strict=True):
            apart = candidates[:, own] - path
            clear &= ((apart * apart).sum(axis=-1) > (radius + other + CLEARANCE) ** 2).all(axis=1)
    if not clear.any():
        return None
    first: Paths = candidates[int(clear.argmax())]
    return first


BYSTANDERS = (("still", 0.3), ("drifting", 0.34), ("entering", 0.14), ("leaving", 0.14), ("passing", 0.08))


def _place_bystander(rng: np.random.Generator, radius: float, claimed: Claims) -> Paths | None:
    """A path that keeps clear of everything; a passing object may cross in front or behind."""
    for _ in range(8):
        kind = pick_weighted(rng, BYSTANDERS)
        start = rng.random((PLACEMENTS, 2)) * (FRAME_SIZE - 2 * radius) + radius
        angle = rng.random(PLACEMENTS) * 2 * np.pi
        heading = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        speed = uniform(rng, 1.8, 3.8)
        if kind == "still":
            travel = np.zeros(FRAMES)
        elif kind == "drifting":
            travel = speed * TIME
        else:
            return_time = TIME - (FRAMES - 1) if kind == "entering" else TIME
            travel = (speed + 1.5) * return_time
        paths = start[:, None, :] + travel[None, :, None] * heading[:, None, :]
        ends_outside = _is_outside(paths[:, 0 if kind == "entering" else -1], radius)
        if kind in ("entering", "leaving"):
            paths = paths[ends_outside]
        elif kind == "drifting":
            paths = paths[~ends_outside]
        elif kind == "passing":
            middle = FRAME_SIZE / 2 + (rng.random((PLACEMENTS, 2)) - 0.5) * FRAME_SIZE * 0.5
            crossing = (TIME - FRAMES / 2)[None, :, None] * heading[:, None, :] * 11.0
            return np.asarray((middle[:, None, :] + crossing)[0])
        found = _first_clear(paths[:, None], [radius], claimed)
        if found is not None:
            claimed.add(found[0], radius)
            return np.asarray(found[0])
    return None


def _is_outside(points: NDArray[np.float64], radius: float) -> NDArray[np.bool_]:
    outside: NDArray[np.bool_] = np.any((points < -radius) | (points > FRAME_SIZE + radius), axis=-1)
    return outside


def _finish(
    rng: np.random.Generator,
    looks: Sequence[ObjectLook],
    radii: Sequence[float],
    paths: Sequence[Paths],
    interactions: Sequence[Interaction],
) -> Scene:
    """Layers and order of the objects, both at random; only what covers must be above what it covers."""
    count = len(looks)
    layers = shuffled(rng, range(count))
    for interaction in interactions:
        if interaction.verb == LAYERS_MATTER:
            agent, patient = interaction.agent, interaction.patients[0]
            upper, lower = max(layers[agent], layers[patient]), min(layers[agent], layers[patient])
            layers[agent], layers[patient] = upper, lower
    order = shuffled(rng, range(count))
    place = {old: new for new, old in enumerate(order)}
    objects = tuple(
        PlannedObject(
            looks[old],
            round(radii[old] * STEPS),
            np.rint(paths[old] * STEPS).astype(np.int32),
            layers[old],
        )
        for old in order
    )
    renumbered = tuple(
        Interaction(i.verb, place[i.agent], tuple(place[patient] for patient in i.patients))
        for i in interactions
    )
    return Scene(objects, renumbered)
