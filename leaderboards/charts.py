"""Charts of a board as coordinates: what `templates/charts.html` draws as SVG, with the numbers beside it.

A chart is made only where there is something to compare.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmark.statistics import PairedDifference
from leaderboards.boards import ACTOR, MOST_COMPARED, TARGET, Board, Row
from leaderboards.safe_text import shortened
from leaderboards.scatter import (
    BOTTOM,
    PARAMETERS,
    RIGHT,
    SPEED,
    TOP,
    WIDTH,
    Point,
    Scatter,
    Tick,
    scatter,
)

LINE = 24.0  # height of one row of a chart with a row per model
NAMES = 186.0  # room for names at its left
LONGEST_NAME = 25


@dataclass(frozen=True, slots=True)
class Span:
    """One row of a chart: a stretch from `low` to `high` with marks on it."""

    name: str
    y: float
    low: float
    high: float
    marks: tuple[float, ...]
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spans:
    """A chart with a row per model."""

    id: str
    title: str
    about: str
    heads: tuple[str, ...]
    rows: tuple[Span, ...]
    ticks: tuple[Tick, ...]
    height: float
    two_marks: bool


@dataclass(frozen=True, slots=True)
class Duel:
    """A row of a matrix against a column: `None` on the diagonal."""

    difference: float
    word: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """Every row against every other in one setting."""

    id: str
    setting: str
    names: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Duel | None, ...]], ...]


@dataclass(frozen=True, slots=True)
class Charts:
    """All charts of a board."""

    scatters: tuple[Scatter, ...]
    spans: tuple[Spans, ...]
    matrices: tuple[Matrix, ...]

    @property
    def any(self) -> bool:
        """Whether there is anything to see."""
        return bool(self.scatters or self.spans or self.matrices)


def charts_of(board: Board) -> Charts:
    """The charts of a board; those with fewer than two rows to show are left out."""
    return Charts(
        tuple(_scatters(board)),
        tuple(one for one in (_role_gap(board), *_ranks(board)) if len(one.rows) > 1),
        tuple(one for one in (_matrix(board, name) for name in board.pairs) if len(one.names) > 1),
    )


def row_name(row: Row, longest: int = LONGEST_NAME) -> str:
    """How charts call a row."""
    model = row.one.entry.model
    return shortened(f"{model.name} {model.version}", longest)


# --- score against cost


def _scatters(board: Board) -> Iterator[Scatter]:
    setting = board.protocols[0].name
    for name, cost in {"parameters": PARAMETERS, "speed": SPEED}.items():
        found = [
            (row, value, score)
            for row in board.rows
            if row.sanity is None
            and (value := _cost(row, name)) is not None
            and value > 0
            and (score := row.scores[setting]).jf is not None
        ]
        points = [
            Point(row_name(row), value, score.jf, score.interval)
            for row, value, score in found
            if score.jf is not None
        ]
        if len(points) > 1:
            yield scatter(f"{board.slug}-{name}", f"{setting} J&F", cost, points)


def _cost(row: Row, name: str) -> float | None:
    model = row.one.entry.model
    if name == "parameters":
        return model.parameters
    return model.speed.frames_per_second if model.speed else None


# --- a row per model


def _spans(
    name: str, title: str, about: str, heads: Sequence[str], rows: Sequence[Span], ticks: Sequence[Tick]
) -> Spans:
    height = TOP + LINE * len(rows) + BOTTOM
    two = any(len(row.marks) == 2 for row in rows)
    return Spans(name, title, about, tuple(heads), tuple(rows), tuple(ticks), height, two)


def _role_gap(board: Board) -> Spans:
    rows = [row for row in board.rows if row.gap is not None][:MOST_COMPARED]

    def at(value: float) -> float:
        return NAMES + (WIDTH - NAMES - RIGHT) * value / 100

    made = []
    for index, row in enumerate(rows):
        actor, target = row.scores[ACTOR].jf, row.scores[TARGET].jf
        if row.gap is None or actor is None or target is None:
            continue
        interval = row.gap.interval
        between = f"{interval[0]:+.2f} to {interval[1]:+.2f}" if interval else "one video"
        words = (f"{actor:.2f}", f"{target:.2f}", f"{row.gap.difference:+.2f}", between)
        low, high = sorted((at(actor), at(target)))
        marks = (at(actor), at(target))
        made.append(Span(row_name(row), TOP + LINE * (index + 0.5), low, high, marks, words))
    return _spans(
        f"{board.slug}-gap",
        "Role gap",
        "J&F on the same sentences: the filled mark is the actor, the hollow one the target.",
        ("Model", "Actor", "Target", "A − T", "95% interval"),
        made,
        [Tick(at(value), str(value)) for value in range(0, 101, 20)],
    )


def _ranks(board: Board) -> Iterator[Spans]:
    for protocol in board.protocols:
        placed = [
            (row, place)
            for row in board.rows
            if (place := row.scores[protocol.name].place) is not None and place.ranks is not None
        ]
        placed.sort(key=lambda one: one[1].position)
        placed = placed[:MOST_COMPARED]
        last = max((place.ranks[1] for _, place in placed if place.ranks), default=1)
        step = max(1, math.ceil(last / 10))

        def at(rank: float, last: int = last) -> float:
            return NAMES + 10 + (WIDTH - NAMES - RIGHT - 10) * (rank - 1) / max(last - 1, 1)

        rows = [
            Span(
                *(row_name(row), TOP + LINE * (index + 0.5), at(place.ranks[0]), at(place.ranks[1])),
                marks=(at(place.position),),
                words=(str(place.position), f"{place.ranks[0]} to {place.ranks[1]}", str(place.group)),
            )
            for index, (row, place) in enumerate(placed)
            if place.ranks is not None
        ]
        yield _spans(
            f"{board.slug}-ranks-{protocol.setting}",
            f"Ranks in {protocol.name}",
            "The stretch holds the rank in 95% of redrawn sets of videos; sanity rows are not ranked.",
            ("Model", "Rank", "95% of draws", "Tie group"),
            rows,
            [Tick(at(rank), str(rank)) for rank in range(1, last + 1, step)],
        )


# --- head to head


def _matrix(board: Board, setting: str) -> Matrix:
    pairs = board.pairs[setting]
    taking_part = {entry for pair in pairs for entry in pair}
    rows = [row for row in board.rows if row.one.entry.id in taking_part]
    names = {row.one.entry.id: row_name(row) for row in rows}
    return Matrix(
        f"{board.slug}-duels-{file_part(setting)}",
        setting,
        tuple(names.values()),
        tuple((names[one], tuple(_duel(one, two, pairs, names, setting) for two in names)) for one in names),
    )


def file_part(setting: str) -> str:
    """A setting as a part of an id."""
    return setting.lower().replace("&", "")


def _duel(
    one: str,
    two: str,
    pairs: Mapping[tuple[str, str], PairedDifference],
    names: Mapping[str, str],
    setting: str,
) -> Duel | None:
    if one == two:
        return None
    judged, sign = (pairs[one, two], 1) if (one, two) in pairs else (pairs[two, one], -1)
    difference = sign * judged.difference
    word = "tie" if judged.tie is not False else ("ahead" if difference > 0 else "behind")
    return Duel(difference, word, difference_sentence(names[one], names[two], judged, sign, setting))


def difference_sentence(one: str, two: str, judged: PairedDifference, sign: int, setting: str) -> str:
    """What a paired difference says, in words."""
    if judged.interval is None or judged.share_above is None:
        return f"{one} and {two}: one video says nothing about {setting}"
    low, high = sorted((sign * judged.interval[0], sign * judged.interval[1]))
    amount = f"{sign * judged.difference:+.2f} points of J&F, 95% interval {low:+.2f} to {high:+.2f}"
    if judged.tie:
        gap = judged.detectable_gap or 0.0
        return f"{one} and {two} are tied in {setting} ({amount}); a gap under {gap:.2f} cannot be seen"
    ahead = judged.share_above if sign > 0 else 1 - judged.share_above
    first, second, share = (one, two, ahead) if sign * judged.difference > 0 else (two, one, 1 - ahead)
    return f"{first} beats {second} in {setting} in {100 * share:.0f}% of redrawn sets of videos ({amount})"
