"""Scores against a cost as coordinates, with the line of those that none beats at their cost.

Lengths are units of the drawing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmark.statistics import Interval
from leaderboards.rendering import short_number

WIDTH = 640.0
LEFT, RIGHT, TOP = 60.0, 20.0, 14.0
HEIGHT = 320.0
BOTTOM = 44.0
MOST_NAMED = 30  # dots that are named one by one; of more, those on the line are
LETTER = 6.7  # width of a letter of a name, on the average
SHORT_AXIS = 12  # greatest cost by the least; up to that, ticks stand between powers of ten too


@dataclass(frozen=True, slots=True)
class Cost:
    """What scores are drawn against."""

    axis: str
    words: Callable[[float], str]
    less_is_better: bool


PARAMETERS = Cost("parameters", lambda value: short_number(round(value)), True)
SPEED = Cost("frames per second", lambda value: f"{value:g}", False)


@dataclass(frozen=True, slots=True)
class Point:
    """One model: its cost, above zero, and its score in percent."""

    name: str
    cost: float
    score: float
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Label:
    """Where the name of a dot stands; `anchor` is the end of the text that lies at `x`."""

    x: float
    y: float
    anchor: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A model in a plane; `low` and `high` are the ends of its interval.

    Attributes:
        label: `None` where no name fits between its neighbours; the table beneath has it.
    """

    name: str
    x: float
    y: float
    low: float
    high: float
    ahead: bool
    value: str
    score: float
    interval: Interval | None
    label: Label | None


@dataclass(frozen=True, slots=True)
class Scatter:
    """Score against a cost; `front` joins the models that none beats at their cost or better.

    Attributes:
        dots: the models that are named: all of few, those on the front of many.
        others: (x, y) of the models that are not.
    """

    id: str
    title: str
    axis: str
    dots: tuple[Dot, ...]
    others: tuple[tuple[float, float], ...]
    front: str
    xs: tuple[Tick, ...]
    ys: tuple[Tick, ...]

    @property
    def has_intervals(self) -> bool:
        """Whether any named model has an interval."""
        return any(dot.interval is not None for dot in self.dots)


def scatter(name: str, measured: str, cost: Cost, points: Sequence[Point]) -> Scatter:
    """The drawing of some models, two at least.

    Args:
        measured: what their scores are, for the title.
    """
    ends = [end for one in points for end in (one.interval or (one.score, one.score))]
    bottom, top = 10 * math.floor(min(ends) / 10), 10 * math.ceil(max(ends) / 10)
    top = max(top, bottom + 10)
    ticks = _cost_ticks([one.cost for one in points])
    first, last = math.log10(ticks[0]), math.log10(ticks[-1])

    def at_x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(value) - first) / (last - first)

    def at_y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (top - value) / (top - bottom)

    front = _front([(one.cost if cost.less_is_better else -one.cost, one.score) for one in points])
    named = list(range(len(points))) if len(points) <= MOST_NAMED else front
    places = [(at_x(points[index].cost), at_y(points[index].score)) for index in named]
    labels = _labels(places, [points[index].name for index in named])
    dots = tuple(
        Dot(
            name=points[index].name,
            x=at_x(points[index].cost),
            y=at_y(points[index].score),
            low=at_y((points[index].interval or (points[index].score,) * 2)[0]),
            high=at_y((points[index].interval or (points[index].score,) * 2)[1]),
            ahead=index in front,
            value=cost.words(points[index].cost),
            score=points[index].score,
            interval=points[index].interval,
            label=label,
        )
        for index, label in zip(named, labels, strict=True)
    )
    others = [one for index, one in enumerate(points) if index not in set(named)]
    step = 10 if top - bottom <= 60 else 20
    return Scatter(
        *(name, f"{measured} against {cost.axis}", cost.axis, dots),
        others=tuple((at_x(one.cost), at_y(one.score)) for one in others),
        front=" ".join(f"{at_x(points[index].cost):.1f},{at_y(points[index].score):.1f}" for index in front),
        xs=tuple(Tick(at_x(value), cost.words(value)) for value in ticks),
        ys=tuple(Tick(at_y(value), str(value)) for value in range(bottom, top + 1, step)),
    )


def _labels(places: Sequence[tuple[float, float]], names: Sequence[str]) -> list[Label | None]:
    """A place for each name, in order, that touches no dot and no name that is there already."""
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in places]
    found: list[Label | None] = []
    for (x, y), name in zip(places, names, strict=True):
        width = LETTER * len(name)
        tried = [
            Label(x + side * 9, y + down, "start" if side > 0 else "end")
            for down in (-5, 14, 4, -17, 26)
            for side in ((1, -1) if x + width < WIDTH else (-1, 1))
        ]
        chosen = next((one for one in tried if _is_free(_box(one, width), taken)), None)
        if chosen is not None:
            taken.append(_box(chosen, width))
        found.append(chosen)
    return found


def _box(label: Label, width: float) -> tuple[float, float, float, float]:
    left = label.x if label.anchor == "start" else label.x - width
    return left, label.y - 10, left + width, label.y + 3


def _is_free(box: tuple[float, float, float, float], taken: Sequence[tuple[float, ...]]) -> bool:
    left, top, right, bottom = box
    inside = left >= 0 and right <= WIDTH and top >= 0 and bottom <= HEIGHT - BOTTOM
    return inside and all(
        right <= other[0] or left >= other[2] or bottom <= other[1] or top >= other[3] for other in taken
    )


def _cost_ticks(costs: Sequence[float]) -> list[float]:
    """Round numbers around all costs: powers of ten, and 2 and 5 times them on a short axis."""
    first, last = math.floor(math.log10(min(costs))), math.ceil(math.log10(max(costs)))
    last = max(last, first + 1)
    powers = [10.0**power for power in range(first, last + 1)]
    if max(costs) / min(costs) > SHORT_AXIS:
        return powers
    steps = [factor * power for power in powers for factor in (1, 2, 5)]
    start = max((index for index, step in enumerate(steps) if step <= min(costs)), default=0)
    end = min((index for index, step in enumerate(steps) if step >= max(costs)), default=len(steps) - 1)
    return steps[start : max(end, start + 1) + 1]


def _front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Positions of (cost, score) that no other reaches at that cost or less, cheapest first."""
    best, found = -math.inf, []
    for index in sorted(range(len(points)), key=lambda one: (points[one][0], -points[one][1], one)):
        if points[index][1] > best:
            best = points[index][1]
            found.append(index)
    return found
