"""Seeded mask pairs for tests and benchmarks: adversarial families, and one that looks like real masks.

`adversarial_pair` walks through every family that has ever separated a right engine from a wrong one:
noise of all densities, blobs, thin lines, holes, dust, empty, full, one pixel, masks that touch borders,
lone pixels one radius apart piled on the borders (the family that finds bits lost at an image edge),
frames of one row or column, and prime sizes. `object_pair` makes an object and a prediction of it.
Everything is a function of the generator that is passed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Generator = np.random.Generator

PRIMES = (2, 3, 5, 7, 13, 31, 61, 67, 127, 131, 251, 257, 509, 521)
WORD_EDGES = (63, 64, 65, 127, 128, 129, 191, 192, 193, 255, 256, 257, 447, 448, 449, 511, 512, 513)


@dataclass(frozen=True)
class Pair:
    """Two masks of one frame, the boundary tolerance to use, and where they came from."""

    truth: Mask
    predicted: Mask
    radius: int
    family: str


def noise(rng: Generator, height: int, width: int, radius: int) -> Mask:
    return rng.random((height, width)) < rng.choice([0.0003, 0.003, 0.03, 0.3, 0.5, 0.9, 0.997])


def blobs(rng: Generator, height: int, width: int, radius: int) -> Mask:
    field = smooth_noise(rng, height, width, int(rng.integers(2, 9)))
    return field > rng.choice([0.35, 0.5, 0.65, 0.8])


def thin_lines(rng: Generator, height: int, width: int, radius: int) -> Mask:
    mask = np.zeros((height, width), bool)
    for _ in range(int(rng.integers(1, 6))):
        steps = 2 * (height + width)
        rows = np.linspace(rng.integers(height), rng.integers(height), steps).round().astype(int)
        columns = np.linspace(rng.integers(width), rng.integers(width), steps).round().astype(int)
        mask[rows, columns] = True
    return mask


def holes(rng: Generator, height: int, width: int, radius: int) -> Mask:
    return ~dust(rng, height, width, radius)


def dust(rng: Generator, height: int, width: int, radius: int) -> Mask:
    mask = np.zeros((height, width), bool)
    count = int(rng.integers(1, 40))
    mask[rng.integers(height, size=count), rng.integers(width, size=count)] = True
    return mask


def empty(rng: Generator, height: int, width: int, radius: int) -> Mask:
    return np.zeros((height, width), bool)


def full(rng: Generator, height: int, width: int, radius: int) -> Mask:
    return np.ones((height, width), bool)


def one_pixel(rng: Generator, height: int, width: int, radius: int) -> Mask:
    mask = np.zeros((height, width), bool)
    mask[rng.choice([0, height // 2, height - 1]), rng.choice([0, width // 2, width - 1])] = True
    return mask


def one_pixel_missing(rng: Generator, height: int, width: int, radius: int) -> Mask:
    return ~one_pixel(rng, height, width, radius)


def border_touching(rng: Generator, height: int, width: int, radius: int) -> Mask:
    mask = np.zeros((height, width), bool)
    rows, columns = sorted(rng.integers(0, height + 1, 2)), sorted(rng.integers(0, width + 1, 2))
    if rng.random() < 0.8:
        rows[int(rng.integers(2))] = int(rng.choice([0, height]))
    if rng.random() < 0.8:
        columns[int(rng.integers(2))] = int(rng.choice([0, width]))
    mask[min(rows) : max(rows), min(columns) : max(columns)] = True
    return mask


def lone_border_pixels(rng: Generator, height: int, width: int, radius: int) -> Mask:
    """Single pixels about one radius apart, most of them within a radius of a border."""
    mask = np.zeros((height, width), bool)
    apart = max(1, radius + int(rng.integers(-1, 2)))
    phase = int(rng.integers(apart))
    for _ in range(int(rng.integers(1, 5))):
        depth = int(rng.choice([0, 0, 1, 2, radius - 1, radius, radius + 1]))
        depth = max(depth, 0)
        side = int(rng.integers(4))
        if side < 2 and depth < height:
            mask[depth if side == 0 else height - 1 - depth, phase::apart] = True
        elif side >= 2 and depth < width:
            mask[phase::apart, depth if side == 2 else width - 1 - depth] = True
    return mask & (rng.random(mask.shape) < rng.choice([0.1, 0.5, 1.0]))


FAMILIES: dict[str, Callable[[Generator, int, int, int], Mask]] = {
    maker.__name__: maker
    for maker in (
        noise,
        blobs,
        thin_lines,
        holes,
        dust,
        empty,
        full,
        one_pixel,
        one_pixel_missing,
        border_touching,
        lone_border_pixels,
    )
}


def adversarial_pair(rng: Generator, longest: int = 400, widest_radius: int = 40) -> Pair:
    """A pair from a random family and of a random size and radius; sides of at most `longest`."""
    height, width = _size(rng, longest)
    radius = int(rng.integers(1, widest_radius + 1))
    names = list(FAMILIES)
    name = str(rng.choice(names, p=_weights(names)))
    truth = FAMILIES[name](rng, height, width, radius)
    kind = rng.random()
    if kind < 0.45:
        predicted = FAMILIES[name](rng, height, width, radius)
    elif kind < 0.65:
        predicted = FAMILIES[str(rng.choice(names))](rng, height, width, radius)
    elif kind < 0.75:
        predicted = truth.copy()
    else:
        shift = tuple(int(step) for step in rng.integers(-radius - 1, radius + 2, 2))
        predicted = np.roll(truth, shift, (0, 1))
    return Pair(truth, predicted, radius, name)


def _weights(names: list[str]) -> NDArray[np.float64]:
    weights = np.array([4.0 if name == "lone_border_pixels" else 1.0 for name in names])
    return weights / weights.sum()


def _size(rng: Generator, longest: int) -> tuple[int, int]:
    def side() -> int:
        kind = rng.random()
        if kind < 0.4:
            return int(rng.integers(1, min(longest, 120) + 1))
        if kind < 0.6:
            return min(int(rng.choice(WORD_EDGES)), longest)
        if kind < 0.75:
            return min(int(rng.choice(PRIMES)), longest)
        return int(rng.integers(1, longest + 1))

    height, width = side(), side()
    kind = rng.random()
    if kind < 0.04:
        height = 1
    elif kind < 0.08:
        width = 1
    elif kind < 0.12:
        height = 2
    return height, width


def smooth_noise(rng: Generator, height: int, width: int, cells: int) -> NDArray[np.float64]:
    """Values 0 to 1 that vary smoothly, about `cells` bumps along the longer side."""
    across = max(2, round(cells * width / max(height, width)) + 1)
    down = max(2, round(cells * height / max(height, width)) + 1)
    return stretched(rng.random((down, across)), height, width)


def stretched(grid: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Bilinear enlargement of a small grid."""
    rows = np.linspace(0, grid.shape[0] - 1, height)
    columns = np.linspace(0, grid.shape[1] - 1, width)
    top = np.minimum(rows.astype(int), grid.shape[0] - 2)
    left = np.minimum(columns.astype(int), grid.shape[1] - 2)
    down, right = (rows - top)[:, None], (columns - left)[None, :]
    upper = grid[top][:, left] * (1 - right) + grid[top][:, left + 1] * right
    lower = grid[top + 1][:, left] * (1 - right) + grid[top + 1][:, left + 1] * right
    result: NDArray[np.float64] = upper * (1 - down) + lower * down
    return result


def object_mask(rng: Generator, height: int, width: int) -> Mask:
    """An object of a few limbs with an uneven outline; the median covers some 4% of the frame."""
    mask = np.zeros((height, width), bool)
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        size = np.sqrt(height * width * 0.021 * np.exp(rng.normal(0, 0.9)))
        centre = np.array([rng.uniform(0.1, 0.9) * height, rng.uniform(0.1, 0.9) * width])
        rough = smooth_noise(rng, height, width, int(rng.integers(5, 14)))
        for _ in range(int(rng.integers(1, 7))):
            _add_limb(mask, rng, centre + rng.normal(0, 0.45, 2) * size, size, rough)
    return mask


def _add_limb(
    mask: Mask, rng: Generator, centre: NDArray[np.float64], size: float, rough: NDArray[np.float64]
) -> None:
    long, short = size * rng.uniform(0.3, 0.9), size * rng.uniform(0.1, 0.4)
    reach = int(1.5 * long) + 2
    top, left = max(int(centre[0]) - reach, 0), max(int(centre[1]) - reach, 0)
    bottom, right = min(int(centre[0]) + reach, mask.shape[0]), min(int(centre[1]) + reach, mask.shape[1])
    if top >= bottom or left >= right:
        return
    y, x = np.mgrid[top:bottom, left:right].astype(float)
    y, x = y - centre[0], x - centre[1]
    angle = rng.uniform(0, np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    part = mask[top:bottom, left:right]
    part |= (along / long) ** 2 + (across / short) ** 2 < 0.4 + 1.2 * rough[top:bottom, left:right]


def predicted_mask(rng: Generator, truth: Mask) -> Mask:
    """What a segmenter would make of a mask: soft and coarse, shifted, parts lost, blobs added."""
    height, width = truth.shape
    factor = max(2, height // 120)
    small = truth[: height // factor * factor, : width // factor * factor]
    grid = small.reshape(height // factor, factor, width // factor, factor).mean(axis=(1, 3))
    soft = stretched(grid + rng.normal(0, 0.1, grid.shape), height, width)
    predicted = soft > 0.45
    shift = tuple(int(step) for step in rng.normal(0, height / 180, 2).round())
    predicted = np.roll(predicted, shift, (0, 1))
    if rng.random() < 0.4:
        top, left = int(rng.integers(height)), int(rng.integers(width))
        predicted[top : top + height // 6, left : left + width // 6] = False
    if rng.random() < 0.4:
        _add_limb(
            predicted,
            rng,
            np.array([rng.uniform(0, height), rng.uniform(0, width)]),
            height * 0.12,
            smooth_noise(rng, height, width, 30),
        )
    return predicted


def object_pair(rng: Generator, height: int, width: int) -> tuple[Mask, Mask]:
    """An object and a prediction of it; about one in thirty is without pixels on either side."""
    truth = object_mask(rng, height, width)
    predicted = predicted_mask(rng, truth)
    if rng.random() < 0.03:
        truth = np.zeros_like(truth)
    if rng.random() < 0.03:
        predicted = np.zeros_like(predicted)
    return truth, predicted


def numbered_pair(index: int) -> Pair:
    """The pair number `index` of a fixed endless list: small ones, one in 50 larger, one in 2,000 of 4K."""
    rng = np.random.default_rng([20170101, index])
    if index % 2000 == 1999:
        large = rng.random()
        pair = adversarial_pair(rng, longest=400 if large < 0.2 else 4096, widest_radius=12)
        if large < 0.5:
            truth, predicted = object_pair(rng, 2160, 3840)
            return Pair(truth, predicted, 36 if large < 0.1 else pair.radius, "object_4k")
        return pair
    if index % 50 == 49:
        return adversarial_pair(rng, longest=1300, widest_radius=24)
    return adversarial_pair(rng, longest=260)
