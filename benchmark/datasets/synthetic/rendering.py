"""Pixels and exact masks of a planned scene.

A pixel belongs to the topmost object whose shape holds the pixel's centre; that is decided in integers
(sixteenths of a pixel). Colours at the rims are blended over five sample points; blending never changes
a mask. Ropes (of pulling) and the background belong to no object.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.synthetic.draws import below, chance, pick, uniform
from benchmark.datasets.synthetic.looks import COLOURS
from benchmark.datasets.synthetic.motions import FRAMES
from benchmark.datasets.synthetic.scenes import HEIGHT, STEPS, WIDTH, PlannedObject, Scene

Patch = NDArray[np.bool_]
Steps = NDArray[np.int32]

MARGIN = 24  # pixels by which the background texture is larger than the frame, for its slow pan
ROPE_COLOUR = np.array([214, 190, 140], np.int16)
RIM_PIXELS = 1.1
DARK_SHARE = 0.42  # brightness of the second tone of a texture
RIM_SHARE = 0.6
SAMPLES = ((0, 0), (-5, -5), (5, -5), (-5, 5), (5, 5))  # sixteenths of a pixel, around its centre


@dataclass(frozen=True, slots=True)
class Rendering:
    """Frames uint8 (T, H, W, 3), masks bool (N, T, H, W) of what is visible, and for every object and
    frame its number of pixels inside the picture before others hide it, int (N, T)."""

    frames: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    unhidden_areas: NDArray[np.int64]


def render(rng: np.random.Generator, scene: Scene) -> Rendering:
    """Draw a scene; `rng` decides the background alone."""
    canvas = _background(rng)
    for interaction in scene.interactions:
        if interaction.verb == "pulling":
            _draw_rope(canvas, scene.objects[interaction.agent], scene.objects[interaction.patients[0]])
    owner = np.full((FRAMES, HEIGHT, WIDTH), -1, np.int8)
    areas = np.zeros((len(scene.objects), FRAMES), np.int64)
    for index in sorted(range(len(scene.objects)), key=lambda i: scene.objects[i].layer):
        areas[index] = _draw_object(canvas, owner, index, scene.objects[index])
    masks = owner[None] == np.arange(len(scene.objects), dtype=np.int8)[:, None, None, None]
    return Rendering(canvas.astype(np.uint8), masks, areas)


def _draw_object(
    canvas: NDArray[np.int16], owner: NDArray[np.int8], index: int, thing: PlannedObject
) -> NDArray[np.int64]:
    side = 2 * (thing.radius * 5 // (4 * STEPS) + 2)  # the widest shape reaches 5/4 of its radius
    corners = thing.centres // STEPS - side // 2  # (T, 2) pixels
    offsets = np.arange(side, dtype=np.int32) * STEPS + STEPS // 2
    # Steps from the object's centre to the pixel centres, (T, 1, side) and (T, side, 1).
    x = (corners[:, 0, None] * STEPS + offsets - thing.centres[:, 0, None])[:, None, :]
    y = (corners[:, 1, None] * STEPS + offsets - thing.centres[:, 1, None])[:, :, None]
    shape, radius = thing.look.shape, thing.radius
    inside = contains(shape, x, y, radius)
    coverage = sum(contains(shape, x + i, y + j, radius).astype(np.int16) for i, j in SAMPLES[1:])
    coverage = np.asarray(coverage + inside, np.int16)
    inner = contains(shape, x, y, radius - round(RIM_PIXELS * STEPS))
    pixels = _surface(thing, x, y, inner)
    areas = np.zeros(FRAMES, np.int64)
    for t in range(FRAMES):
        left, top = int(corners[t, 0]), int(corners[t, 1])
        x0, x1, y0, y1 = max(left, 0), min(left + side, WIDTH), max(top, 0), min(top + side, HEIGHT)
        if x0 >= x1 or y0 >= y1:
            continue
        part = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        under = canvas[t, y0:y1, x0:x1]
        under += (pixels[t][part] - under) * coverage[t][part][..., None] // np.int16(len(SAMPLES))
        owned = inside[t][part]
        owner[t, y0:y1, x0:x1][owned] = index
        areas[t] = np.count_nonzero(owned)
    return areas


def contains(shape: str, x: Steps, y: Steps, radius: int) -> Patch:
    """Whether points (steps from the centre, y down) lie inside a shape of a radius (steps).

    Sizes are chosen so that all shapes of one radius have about the same area.
    """
    if shape == "disc":
        inside: Patch = x * x + y * y <= radius * radius
    elif shape == "square":
        half = radius * 7 // 8
        inside = (abs(x) <= half) & (abs(y) <= half)
    elif shape == "triangle":
        # Upright; the slanted sides run from (0, -1.25 r) to (+-1.25 r, 0.85 r).
        inside = (y * 20 <= radius * 17) & (abs(x) * 42 <= (y * 20 + radius * 25) * 5 // 4)
    else:
        wide, narrow = radius * 17 // 16, radius * 7 // 16
        ax, ay = abs(x), abs(y)
        inside = ((ax <= wide) & (ay <= narrow)) | ((ax <= narrow) & (ay <= wide))
    return inside


def _surface(thing: PlannedObject, x: Steps, y: Steps, inner: Patch) -> NDArray[np.int16]:
    """Colour of every point of the patches, (T, side, side, 3); textures move with their object."""
    colour = COLOURS[thing.look.colour]
    tones = np.array([tone(colour, share) for share in (1.0, DARK_SHARE, RIM_SHARE)], np.int16)
    texture = np.where(_pattern(thing.look.texture, x, y), 1, 0) + np.zeros(inner.shape, np.int8)
    return tones[np.where(inner, texture, 2)]


def tone(colour: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    """A darker tone of a colour, (R, G, B)."""
    red, green, blue = colour
    return int(red * share), int(green * share), int(blue * share)


def _pattern(texture: str, x: Steps, y: Steps) -> Patch:
    """Where the dark tone of a texture lies."""
    if texture == "striped":
        band: Patch = (x + y) % (6 * STEPS) < 2 * STEPS
        return band
    if texture == "dotted":
        cell = 5 * STEPS
        u, v = x % cell - cell // 2, y % cell - cell // 2
        dots: Patch = u * u + v * v <= (25 * STEPS // 16) ** 2
        return dots
    if texture == "checked":
        tile = 7 * STEPS // 2
        checks: Patch = (x // tile + y // tile) % 2 == 0
        return checks
    plain: Patch = np.zeros((1, 1, 1), bool)
    return plain


def _draw_rope(canvas: NDArray[np.int16], one: PlannedObject, other: PlannedObject) -> None:
    """A line between two centres, about two pixels wide, under all objects."""
    for t in range(FRAMES):
        start, end = one.centres[t].astype(np.int64), other.centres[t].astype(np.int64)
        count = int(np.abs(end - start).max()) // (STEPS // 2) + 1
        points = start + (end - start) * np.arange(count + 1)[:, None] // count
        for shift in ((0, 0), (STEPS, 0), (0, STEPS)):
            pixels = (points + shift) // STEPS
            seen = ((pixels >= 0) & (pixels < (WIDTH, HEIGHT))).all(axis=1)
            canvas[t, pixels[seen, 1], pixels[seen, 0]] = ROPE_COLOUR


def _background(rng: np.random.Generator) -> NDArray[np.int16]:
    """A muted texture that pans slowly, (T, H, W, 3)."""
    height, width = HEIGHT + MARGIN, WIDTH + MARGIN
    cell = pick(rng, (12, 20, 32))
    level = uniform(rng, 48, 108)
    tint = rng.random(3) * 26 - 13
    texture = level + tint + _clouds(rng, height, width, cell) * uniform(rng, 14, 26)
    texture = texture + _ornament(rng, height, width)[..., None] * uniform(rng, 5, 11)
    texture = texture + (rng.random((height, width, 1)) - 0.5) * 10
    whole = np.rint(texture).astype(np.int16)
    speed = (rng.random(2) - 0.5) * 2 * (MARGIN - 1) / (FRAMES - 1)
    travel = speed * np.arange(FRAMES)[:, None]
    corners = np.rint(travel - travel.min(axis=0)).astype(int)
    return np.stack([whole[y : y + HEIGHT, x : x + WIDTH] for x, y in corners.tolist()])


def _clouds(rng: np.random.Generator, height: int, width: int, cell: int) -> NDArray[np.float64]:
    """Smooth noise in -1..1, (height, width, 3), mostly grey."""
    rows, columns = height // cell + 2, width // cell + 2
    coarse = (rng.random((rows, columns, 1)) * 2 - 1) + (rng.random((rows, columns, 3)) - 0.5) * 0.5
    down, across = _interpolation(height, rows, cell), _interpolation(width, columns, cell)
    return np.stack([down @ coarse[..., c] @ across.T for c in range(3)], axis=-1)


def _interpolation(length: int, count: int, cell: int) -> NDArray[np.float64]:
    """Matrix (length, count) that interpolates linearly between grid points `cell` apart."""
    place = np.arange(length) / cell
    near = np.abs(place[:, None] - np.arange(count)[None, :])
    weights: NDArray[np.float64] = np.clip(1 - near, 0, None)
    return weights


def _ornament(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """A faint regular pattern in -1..1: tiles, slanted bars, or none."""
    y, x = np.mgrid[0:height, 0:width]
    size = 6 + below(rng, 9)
    kind = pick(rng, ("tiles", "bars", "none"))
    if kind == "tiles":
        return np.asarray(((x // size + y // size) % 2) * 2.0 - 1)
    if kind == "bars":
        slant = x + y if chance(rng, 0.5) else x - y
        return np.asarray((slant // size % 2) * 2.0 - 1)
    return np.zeros((height, width))
