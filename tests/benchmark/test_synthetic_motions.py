"""Interactions look like what they are called, and no still picture tells who acts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmark.datasets.synthetic.looks import COLOURS, SHAPES, SIZES, TEXTURES
from benchmark.datasets.synthetic.motions import FRAMES, MOTIONS
from benchmark.datasets.synthetic.scenes import (
    FRAME_SIZE,
    MUTUAL_VERBS,
    STEPS,
    VERBS,
    Interaction,
    Scene,
    plan_scene,
)

SCENES = 1500
radius = st.floats(5.75, 12.5)
seeds = st.integers(0, 2**32)


def paths_of(verb: str, seed: int, *radii: float) -> NDArray[np.float64]:
    return MOTIONS[verb](np.random.default_rng(seed), radii)


def gap(one: NDArray[np.float64], other: NDArray[np.float64], touching: float) -> NDArray[np.float64]:
    return np.linalg.norm(one - other, axis=-1) - touching


def ahead(path: NDArray[np.float64], other: NDArray[np.float64], t: int) -> float:
    """How far `other` lies before `path` in the direction in which `path` moves at frame t."""
    step = path[t + 1] - path[t]
    return float((other[t] - path[t]) @ step / np.linalg.norm(step))


@settings(max_examples=60, deadline=None)
@given(seeds, radius, radius)
def test_who_pushes_comes_from_behind_and_stays_in_contact(seed: int, a: float, b: float) -> None:
    agent, patient = paths_of("pushing", seed, a, b)
    apart = gap(agent, patient, a + b)
    # At least 1.5 frames of 3.6 pixels along the most bent curve of the smallest pair: 4.21 apart.
    assert abs(apart[4:]).max() < 1e-6 and apart[0] > 4.2
    assert np.linalg.norm(patient[1] - patient[0]) == 0
    assert all(ahead(agent, patient, t) > 0.5 * (a + b) for t in range(4, FRAMES - 1))


@settings(max_examples=60, deadline=None)
@given(seeds, radius, radius)
def test_who_pulls_goes_ahead_and_who_chases_comes_behind(seed: int, a: float, b: float) -> None:
    agent, patient = paths_of("pulling", seed, a, b)
    assert all(ahead(patient, agent, t) > 0 for t in range(FRAMES - 1))
    np.testing.assert_allclose(gap(agent, patient, a + b), gap(agent, patient, a + b)[0], atol=1e-9)
    agent, patient = paths_of("chasing", seed, a, b)
    assert all(ahead(agent, patient, t) > 0 for t in range(FRAMES - 1))
    assert gap(agent, patient, a + b).min() > 7.9


@settings(max_examples=60, deadline=None)
@given(seeds, radius, radius)
def test_who_hits_arrives_and_stops_and_the_other_leaves(seed: int, a: float, b: float) -> None:
    agent, patient = paths_of("hitting", seed, a, b)
    assert np.ptp(patient[:5], axis=0).max() == 0 and np.ptp(agent[6:], axis=0).max() == 0
    assert np.linalg.norm(agent[0] - agent[-1]) > 15 and np.linalg.norm(patient[-1] - patient[0]) > 18
    assert -0.01 < gap(agent, patient, a + b).min() < 4


@settings(max_examples=60, deadline=None)
@given(seeds, radius, radius)
def test_who_carries_fetches_and_then_both_go_together(seed: int, a: float, b: float) -> None:
    agent, patient = paths_of("carrying", seed, a, b)
    assert np.ptp(patient[:4], axis=0).max() < 1e-9 and gap(agent, patient, a + b)[0] > 4
    together = agent[5:] - patient[5:]
    np.testing.assert_allclose(together, together[:1].repeat(len(together), 0), atol=1e-9)
    assert gap(agent, patient, a + b)[-1] < 0 and np.linalg.norm(patient[-1] - patient[4]) > 20


@settings(max_examples=60, deadline=None)
@given(seeds, radius, radius)
def test_who_circles_runs_round_the_other(seed: int, a: float, b: float) -> None:
    agent, patient = paths_of("circling", seed, a, b)
    around = agent - patient
    turned = np.unwrap(np.arctan2(around[:, 1], around[:, 0]))
    assert abs(turned[-1] - turned[0]) > 1.4 * np.pi
    assert np.linalg.norm(patient[-1] - patient[0]) < 6


@settings(max_examples=60, deadline=None)
@given(seeds, radius)
def test_who_covers_moves_onto_the_still_one(seed: int, a: float) -> None:
    agent, patient = paths_of("covering", seed, a, a)
    assert np.ptp(patient, axis=0).max() == 0
    assert gap(agent, patient, 2 * a)[0] > 5
    assert np.linalg.norm(agent[-1] - patient[-1]) < 0.76 * a


@settings(max_examples=60, deadline=None)
@given(seeds, radius, radius, radius)
def test_what_is_handed_goes_from_the_giver_to_the_receiver(seed: int, a: float, b: float, c: float) -> None:
    giver, item, receiver = paths_of("handing", seed, a, b, c)
    to_giver, to_receiver = gap(giver, item, a + b), gap(item, receiver, b + c)
    assert abs(to_giver[0] - to_receiver[0]) < 1e-9, "before, the item lies half-way"
    assert abs(to_giver[2:5]).max() < 1e-6 and abs(to_receiver[6:]).max() < 1e-6
    assert to_giver[-1] > 10 and np.ptp(receiver[:6], axis=0).max() < 1e-9


@settings(max_examples=40, deadline=None)
@given(seeds, radius, radius)
def test_mutual_motions_treat_both_alike(seed: int, a: float, b: float) -> None:
    for verb, _ in MUTUAL_VERBS:
        one, other = paths_of(verb, seed, a, b)
        np.testing.assert_allclose(one, -other, atol=1e-9)
    one, other = paths_of("swapping", seed, a, b)
    np.testing.assert_allclose(one[-1], other[0], atol=1e-9)


@cache
def scenes() -> tuple[Scene, ...]:
    return tuple(plan_scene(np.random.default_rng([7, index]), False) for index in range(SCENES))


def roles() -> list[tuple[Scene, Interaction]]:
    return [(scene, i) for scene in scenes() for i in scene.interactions if not i.is_mutual]


def border(point: NDArray[np.float64]) -> float:
    return float(np.minimum(point, FRAME_SIZE - point).min())


def near_others(scene: Scene, interaction: Interaction, index: int) -> float:
    others = [o for k, o in enumerate(scene.objects) if k not in interaction.participants]
    mine = scene.objects[index].centres[0]
    return min((float(np.linalg.norm(o.centres[0] - mine)) for o in others), default=0.0)


#: what a still picture of frame 0, or the file, shows of an object
STILL_CUES: dict[str, Callable[[Scene, Interaction, int], float]] = {
    "radius": lambda scene, _, k: scene.objects[k].radius,
    "index": lambda scene, _, k: k,
    "layer": lambda scene, _, k: scene.objects[k].layer,
    "x": lambda scene, _, k: scene.objects[k].centres[0, 0],
    "y": lambda scene, _, k: scene.objects[k].centres[0, 1],
    "distance to the border": lambda scene, _, k: border(scene.objects[k].centres[0] / STEPS),
    "distance to the middle": lambda scene, _, k: float(
        np.linalg.norm(scene.objects[k].centres[0] / STEPS - FRAME_SIZE / 2)
    ),
    "distance to bystanders": near_others,
}


def lead(cue: str, verb: str | None = None) -> tuple[float, int]:
    """How often the agent has more of a cue than its (last) patient, and of how many that differ."""
    measure, won = STILL_CUES[cue], []
    for scene, i in roles():
        if verb in (None, i.verb):
            difference = measure(scene, i, i.agent) - measure(scene, i, i.patients[-1])
            if abs(difference) > 1e-6:
                won.append(difference > 0)
    return float(np.mean(won)) if won else 0.5, len(won)


@pytest.mark.parametrize("cue", STILL_CUES)
def test_no_still_cue_tells_the_roles(cue: str) -> None:
    for verb in (None, *(name for name, _ in VERBS)):
        if (cue, verb) == ("layer", "covering") or (cue == "layer" and verb is None):
            continue  # who covers is on top: that is what covering means, and frame 0 does not show it
        share, count = lead(cue, verb)
        assert abs(share - 0.5) < 4 * 0.5 / np.sqrt(max(count, 1)), (cue, verb, share, count)


def test_the_test_above_would_notice_a_cue() -> None:
    share, count = lead("layer", "covering")
    assert share == 1.0 and count > 50


def test_no_look_tells_the_roles() -> None:
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for scene, i in roles():
        for place, index in enumerate((i.agent, i.patients[-1])):
            look = scene.objects[index].look
            for word in (look.colour, look.shape, look.texture, look.size):
                counts[word][place] += 1
    assert set(counts) == {*COLOURS, *SHAPES, *TEXTURES, *SIZES}
    for word, (acting, acted_on) in counts.items():
        assert abs(acting - acted_on) < 4 * np.sqrt(acting + acted_on), (word, acting, acted_on)


def test_the_role_swapped_twin_would_fit_the_picture_too() -> None:
    for scene, i in roles():
        path = [scene.objects[k].centres / STEPS for k in i.participants]
        twice_the_middle = path[0][0] + path[-1][0]
        largest = max(scene.objects[k].radius for k in i.participants) / STEPS
        for each in path:
            for point in np.concatenate([each, twice_the_middle - each]):
                assert (point > -1.3 * largest - 0.2).all()
                assert (point < FRAME_SIZE + 1.3 * largest + 0.2).all()


def test_bystanders_keep_away_from_interactions() -> None:
    """All but the few that pass through quickly; those never stay with anybody."""
    close = 0
    for scene, i in roles():
        for k, thing in enumerate(scene.objects):
            if k in i.participants or any(k in other.participants for other in scene.interactions):
                continue
            for member in i.participants:
                apart = np.linalg.norm((thing.centres - scene.objects[member].centres) / STEPS, axis=1)
                near = apart < (thing.radius + scene.objects[member].radius) / STEPS + 4.5
                assert near.sum() <= FRAMES // 2
                close += bool(near.any())
    assert close < 0.1 * SCENES
