"""Panels of a figure, drawn with Pillow: bars, a matrix of cells, points with means of equal groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

Colour = tuple[int, int, int]

INK, FAINT, GRID, PAPER = (30, 30, 30), (110, 110, 110), (222, 222, 222), (255, 255, 255)
BLUE, ORANGE, GREY = (40, 100, 200), (230, 120, 20), (165, 165, 165)
SHADE = (255, 240, 196)
LEFT, BOTTOM, TOP, RIGHT = 62, 46, 34, 16  # room around a panel for its numbers and words
TICKS = 4
# Black body: dark where nothing is, so that it can also be laid over a dimmed picture.
HEAT = np.array([(8, 4, 30), (90, 15, 110), (190, 50, 85), (245, 130, 30), (252, 252, 165)], np.float64)


@dataclass(frozen=True, slots=True)
class Panel:
    """A place to draw in: left, top, width and height in pixels, words included."""

    left: int
    top: int
    width: int
    height: int

    @property
    def inside(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the plot itself."""
        return (
            self.left + LEFT,
            self.top + TOP,
            self.left + self.width - RIGHT,
            self.top + self.height - BOTTOM,
        )


@dataclass(frozen=True, slots=True)
class Series:
    """Bars of one kind."""

    name: str
    values: tuple[float, ...]
    colour: Colour


@cache
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def blank(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A white picture and a pen for it."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (width, height), PAPER)
    return picture, ImageDraw.Draw(picture)


def words(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    size: int = 13,
    anchor: str = "la",
    colour: Colour = INK,
) -> None:
    """Write; letters that the font lacks become question marks."""
    draw.text(place, text.encode("latin-1", "replace").decode("latin-1"), colour, _font(size), anchor)


def heat_colours(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Colours (..., 3) of values from 0 to 1."""
    place = np.clip(np.asarray(values, np.float64), 0, 1) * (len(HEAT) - 1)
    return np.stack(
        [np.interp(place, np.arange(len(HEAT)), HEAT[:, channel]) for channel in range(3)], -1
    ).astype(np.uint8)


def nice_top(values: Sequence[float]) -> float:
    """A round number at or a little above the largest value."""
    largest = max([*values, 1e-9])
    unit = 10.0 ** math.floor(math.log10(largest))
    return next(
        step * unit for step in (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10) if step * unit >= largest * 0.9999
    )


def bars(
    draw: ImageDraw.ImageDraw,
    panel: Panel,
    title: str,
    series: Sequence[Series],
    *,
    labels: Sequence[str],
    axis: str,
    chosen: Sequence[int] = (),
) -> None:
    """Groups of bars from zero; the ground of the groups in `chosen` is shaded."""
    left, top, right, bottom = panel.inside
    highest = nice_top([value for one in series for value in one.values])
    step = (right - left) / len(labels)
    for group in chosen:
        draw.rectangle((left + step * group, top, left + step * (group + 1), bottom), fill=SHADE)
    words(draw, (left, panel.top + 8), title, 14)
    _value_axis(draw, panel, highest)
    words(draw, ((left + right) / 2, bottom + 24), axis, anchor="ma", colour=FAINT)
    wide = step * 0.8 / len(series)
    every = math.ceil(22 / step) if step < 22 else 1
    for group, label in enumerate(labels):
        start = left + step * (group + 0.1)
        for number, one in enumerate(series):
            high = bottom - (bottom - top) * one.values[group] / highest
            draw.rectangle(
                (start + wide * number, high, start + wide * (number + 1) - 1, bottom), fill=one.colour
            )
        if group % every == 0 or group in chosen:
            words(draw, (left + step * (group + 0.5), bottom + 5), label, anchor="ma")
    at = right
    for one in reversed(series):
        at -= 22 + int(_font(13).getlength(one.name))
        draw.rectangle((at, panel.top + 12, at + 10, panel.top + 22), fill=one.colour)
        words(draw, (at + 14, panel.top + 9), one.name)


def matrix(
    draw: ImageDraw.ImageDraw,
    panel: Panel,
    title: str,
    values: NDArray[Any],
    *,
    axes: tuple[str, str],
    chosen: Sequence[tuple[int, int]] = (),
) -> None:
    """Cells (rows, columns) from dark, zero, to light, the largest value; chosen cells are framed."""
    left, top, right, bottom = panel.inside
    words(draw, (left, panel.top + 8), title, 14)
    rows, columns = values.shape
    high, wide = (bottom - top) / rows, (right - left) / columns
    largest = max(float(values.max()), 1e-9)
    colours = heat_colours(values / largest)
    for row in range(rows):
        for column in range(columns):
            box = _cell(left, top, wide, high, row, column)
            draw.rectangle(box, fill=tuple(int(one) for one in colours[row, column]))
            if wide >= 34 and high >= 15:
                light = values[row, column] > 0.6 * largest
                middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
                words(draw, middle, f"{values[row, column]:.2f}", 12, "mm", INK if light else PAPER)
        if high >= 12 or row % math.ceil(12 / high) == 0:
            words(draw, (left - 6, top + high * (row + 0.5)), str(row), anchor="rm")
    for column in range(columns):
        words(draw, (left + wide * (column + 0.5), bottom + 5), str(column), anchor="ma")
    for row, column in chosen:
        draw.rectangle(_cell(left, top, wide, high, row, column), outline=(0, 210, 255), width=3)
    words(draw, ((left + right) / 2, bottom + 24), axes[1], anchor="ma", colour=FAINT)
    words(draw, (panel.left + 6, (top + bottom) / 2), axes[0], anchor="lm", colour=FAINT)


def points(
    draw: ImageDraw.ImageDraw,
    panel: Panel,
    title: str,
    pairs: Sequence[tuple[float, float]],
    *,
    axes: tuple[str, str],
    groups: int = 5,
) -> None:
    """Points on two axes from zero, y up to 1, and the mean of each of a few equally large groups by x."""
    left, top, right, bottom = panel.inside
    words(draw, (left, panel.top + 8), title, 14)
    _value_axis(draw, panel, 1.0)
    words(draw, (panel.left + 4, (top + bottom) / 2 - 24), axes[1], colour=FAINT)
    widest = nice_top([x for x, _ in pairs])

    def place(x: float, y: float) -> tuple[float, float]:
        return left + (right - left) * x / widest, bottom - (bottom - top) * y

    for tick in range(TICKS + 1):
        value = widest * tick / TICKS
        words(draw, (place(value, 0)[0], bottom + 5), f"{value:.3g}", anchor="ma")
    words(draw, ((left + right) / 2, bottom + 24), axes[0], anchor="ma", colour=FAINT)
    for x, y in pairs:
        at = place(x, y)
        draw.ellipse((at[0] - 3, at[1] - 3, at[0] + 3, at[1] + 3), outline=BLUE)
    ordered = sorted(pairs)
    parts = [part for part in np.array_split(np.arange(len(ordered)), min(groups, len(ordered))) if len(part)]
    means = [place(*np.mean([ordered[index] for index in part], axis=0)) for part in parts]
    if len(means) > 1:
        draw.line(means, fill=ORANGE, width=3)
    for x, y in means:
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=ORANGE)


def _cell(
    left: int, top: int, wide: float, high: float, row: int, column: int
) -> tuple[float, float, float, float]:
    return (
        left + wide * column,
        top + high * row,
        left + wide * (column + 1) - 1,
        top + high * (row + 1) - 1,
    )


def _value_axis(draw: ImageDraw.ImageDraw, panel: Panel, highest: float) -> None:
    left, top, right, bottom = panel.inside
    for tick in range(TICKS + 1):
        y = bottom - (bottom - top) * tick / TICKS
        draw.line((left, y, right, y), fill=GRID)
        words(draw, (left - 6, y), f"{highest * tick / TICKS:.3g}", anchor="rm")
