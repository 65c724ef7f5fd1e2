"""Small seeded clips on which the evaluators of other projects were run; see `golden/presets.json`.

Every rule in which they differ shows up in them: objects that come late, leave, or never show; ids with
a gap; void pixels; frames without truth; predictions that are missing an object; more than 255 frames;
instances of one expression that overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.uint8]
Masks = NDArray[np.bool_]

SHAPES = {"late": (7, 90, 121), "void": (6, 64, 100), "long": (401, 12, 21)}
"""Frames, height and width of the clips of index maps."""


@dataclass(frozen=True)
class IndexClip:
    name: str
    truth: Maps  # (T, H, W)
    predicted: Maps
    proposals: Maps  # a prediction with its own ids, for matching


@dataclass(frozen=True)
class ExpressionClip:
    """`instances` are (N, T, H, W); an expression's truth is the union of some of them."""

    name: str
    instances: Masks
    expressions: tuple[tuple[int, ...], ...]
    predicted: Masks  # (expressions, T, H, W)


def ellipse(height: int, width: int, centre: tuple[float, float], size: tuple[float, float]) -> Masks:
    y, x = np.mgrid[:height, :width]
    inside: Masks = ((y - centre[0]) / size[0]) ** 2 + ((x - centre[1]) / size[1]) ** 2 <= 1
    return inside


def moving_ellipses(rng: np.random.Generator, frames: int, height: int, width: int) -> Masks:
    """One object's (T, H, W) masks, drifting and sometimes leaving the frame."""
    start, drift = rng.uniform(0.2, 0.8, 2), rng.normal(0, 0.3, 2)
    size = rng.uniform(0.1, 0.28, 2)
    masks = []
    for place in np.linspace(0, 1, frames):
        at = start + drift * place
        centre, radii = (at[0] * height, at[1] * width), (size[0] * height, size[1] * width)
        masks.append(ellipse(height, width, centre, radii))
    return np.stack(masks)


def worse(rng: np.random.Generator, masks: Masks) -> Masks:
    """A prediction of (T, H, W) masks: shifted more and more, with noise, sometimes lost."""
    result = np.zeros_like(masks)
    for index, mask in enumerate(masks):
        shift = tuple(int(step) for step in rng.normal(0, 0.5 + 3 * index / len(masks), 2).round())
        result[index] = np.roll(mask, shift, (0, 1)) ^ (rng.random(mask.shape) < 0.002)
        if rng.random() < 0.1:
            result[index] = False
    return result


@cache
def index_clips() -> list[IndexClip]:
    rng = np.random.default_rng(2017)
    clips = []
    for name, (frames, height, width) in SHAPES.items():
        truth, predicted = (np.zeros((frames, height, width), np.uint8) for _ in range(2))
        ids = {"late": (1, 2, 4), "void": (1, 2), "long": (1,)}[name]  # "late" has no object 3
        for number in ids:
            masks = moving_ellipses(rng, frames, height, width)
            answer = worse(rng, masks)
            if name == "late" and number == 2:
                masks[:3] = answer[:2] = False
            if name == "late" and number == 4:
                answer[:] = False
            truth[masks] = number
            predicted[answer] = number
        truth[0, 0, 0] = max(ids)  # so that the first frame names the highest id
        if name == "void":
            truth[:, :9, 40:60] = 255
            truth[3:, 50:, :30] = 255
        order = rng.permutation(6) + 1
        proposals = np.zeros_like(predicted)
        for number in ids:
            proposals[predicted == number] = order[number]
        extra = moving_ellipses(rng, frames, height, width)
        proposals[extra & (proposals == 0)] = order[0]
        clips.append(IndexClip(name, truth, predicted, proposals))
    return clips


@cache
def leaving_clips() -> list[IndexClip]:
    """Objects small and large that leave and come back, one of them from the start; two frame sizes."""
    rng = np.random.default_rng(5024)
    clips = []
    for name, (frames, height, width) in {"leaving": (37, 160, 210), "wide": (9, 96, 330)}.items():
        truth, predicted = (np.zeros((frames, height, width), np.uint8) for _ in range(2))
        for number, size in ((1, 0.04), (2, 0.15), (3, 0.3)):
            centre = rng.uniform(0.3, 0.7, 2) * (height, width)
            mask = ellipse(height, width, (centre[0], centre[1]), (size * height, size * height))
            masks = np.stack([np.roll(mask, step, 1) for step in range(frames)])
            answer = worse(rng, masks)
            for start in rng.integers(0, frames, 3):
                masks[start : start + int(rng.integers(1, 6))] = False
            if number == 1:
                masks[:4] = False
            if number == 2:
                answer[masks.any(axis=(1, 2)) < rng.random(frames).round()] = False
            truth[masks] = number
            predicted[answer] = number
        clips.append(IndexClip(name, truth, predicted, predicted))
    return clips


@cache
def expression_clips() -> list[ExpressionClip]:
    """Two clips; the instances of the second one overlap."""
    rng = np.random.default_rng(127)
    clips = []
    for name, (frames, height, width) in {"apart": (6, 72, 110), "stacked": (5, 70, 96)}.items():
        instances = np.stack([moving_ellipses(rng, frames, height, width) for _ in range(4)])
        instances[1, 2:] = False
        instances[3] = False
        if name == "apart":
            for index in range(1, 4):
                instances[index] &= ~instances[:index].any(axis=0)
        expressions = ((0,), (1,), (0, 1), (2,), (0, 2), (3,), (0, 1, 2))
        predicted = np.stack([worse(rng, instances[list(ids)].any(axis=0)) for ids in expressions])
        predicted[5, :2] = ellipse(height, width, (20, 30), (9, 12))
        clips.append(ExpressionClip(name, instances, expressions, predicted))
    return clips


def groups(names: tuple[str, ...], count: int) -> list[str]:
    """The group of each expression: the first gets more than its share."""
    return [names[0] if index % 4 == 3 else names[index % len(names)] for index in range(count)]
