"""Models of a board side by side, and every pair of them in words; a page shows two to four at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmark.results import GroupScores
from benchmark.statistics import Interval
from leaderboards.boards import Board, Row, Score
from leaderboards.charts import difference_sentence, row_name
from leaderboards.entry_view import TITLES
from leaderboards.rendering import short_number
from leaderboards.sanity_rows import PERFECT

LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Model:
    """A column."""

    id: str
    name: str
    page: str


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a table: a (number or word, small print below it) per model."""

    name: str
    cells: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Models as columns."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models in one setting."""

    one: str
    two: str
    setting: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything a page of comparisons holds.

    Attributes:
        first: the two that it opens with.
        left_out: whether the board has more rows that could be compared.
    """

    models: tuple[Model, ...]
    first: tuple[str, ...]
    tables: tuple[Table, ...]
    pairs: tuple[Pair, ...]
    left_out: bool


def comparison_of(board: Board) -> Comparison | None:
    """The comparison of a board's first rows; nothing where fewer than two can be compared in pairs."""
    taking_part = {entry for pairs in board.pairs.values() for pair in pairs for entry in pair}
    rows = [row for row in board.rows if row.one.entry.id in taking_part]
    if len(rows) < 2:
        return None
    names = {row.one.entry.id: row_name(row, LONGEST_NAME) for row in rows}
    return Comparison(
        tuple(Model(entry, name, row.files) for row, (entry, name) in zip(rows, names.items(), strict=True)),
        tuple(row.one.entry.id for row in sorted(rows, key=_interest)[:2]),
        (Table("Scores and facts", tuple(_main_lines(board, rows))), *_group_tables(board, rows)),
        tuple(
            Pair(one, two, setting, difference_sentence(names[one], names[two], judged, 1, setting))
            for setting, pairs in board.pairs.items()
            for (one, two), judged in pairs.items()
        ),
        left_out=sum(bool(row.one.rows) for row in board.rows) > len(rows),
    )


def _interest(row: Row) -> tuple[bool, bool]:
    """Models come first, and the row that everything loses to last."""
    return row.sanity is not None, row.one.entry.model.name == PERFECT


def _main_lines(board: Board, rows: Sequence[Row]) -> Iterator[Line]:
    for protocol in board.protocols:
        scores = [row.scores[protocol.name] for row in rows]
        yield Line(f"{protocol.name} J&F", tuple(_score_cell(score) for score in scores))
        yield Line(f"{protocol.name} J", tuple(_plain(score.j, score.word) for score in scores))
        yield Line(f"{protocol.name} F", tuple(_plain(score.f, score.word) for score in scores))
    yield Line(
        "Actor minus Target",
        tuple(
            ("n/a", "") if row.gap is None else (f"{row.gap.difference:+.2f}", _between(row.gap.interval))
            for row in rows
        ),
    )
    yield Line(
        "Roles swapped, percent",
        tuple(
            ("n/a", "")
            if row.swaps is None or row.swaps.percent is None
            else (f"{row.swaps.percent:.2f}", _between(row.swaps.interval))
            for row in rows
        ),
    )
    cards = [row.one.entry.model for row in rows]
    yield Line(
        "Parameters",
        tuple(
            ("unknown" if card.parameters is None else short_number(card.parameters), "") for card in cards
        ),
    )
    yield Line("Track", tuple((card.track.value, "") for card in cards))
    yield Line("Status", tuple((row.one.entry.status.value, "") for row in rows))


def _score_cell(score: Score) -> tuple[str, str]:
    return (score.word, score.why) if score.jf is None else (f"{score.jf:.2f}", _between(score.interval))


def _plain(value: float | None, word: str) -> tuple[str, str]:
    return (word, "") if value is None else (f"{value:.2f}", "")


def _between(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"


def _group_tables(board: Board, rows: Sequence[Row]) -> Iterator[Table]:
    """J&F by groups of expressions, of all settings."""
    for grouping, title in TITLES.items():
        lines = [line for protocol in board.protocols for line in _group_lines(rows, protocol.name, grouping)]
        if lines:
            yield Table(f"J&F by {title.lower()}", tuple(lines))


def _group_lines(rows: Sequence[Row], setting: str, grouping: str) -> Iterator[Line]:
    found = [_groups(row, setting, grouping) for row in rows]
    groups = list(dict.fromkeys(group for one in found for group in one))
    if len(groups) < 2:
        return
    for group in groups:
        cells = [one.get(group) for one in found]
        counts = {cell.expressions for cell in cells if cell is not None}
        yield Line(
            f"{setting}, {group} ({', '.join(map(str, sorted(counts)))})",
            tuple(
                ("n/a", "") if cell is None else (f"{cell.jf:.2f}", _between(cell.intervals.jf))
                for cell in cells
            ),
        )


def _groups(row: Row, setting: str, grouping: str) -> Mapping[str, GroupScores]:
    result = row.one.result
    scores = result.settings.get(setting) if result else None
    return {one.group: one for one in scores.by[grouping]} if scores else {}
