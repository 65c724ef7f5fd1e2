"""Figures that papers report, as data: one file per printed table, every figure as its digits are printed.

    leaderboards/entries/reported/PAPER-TABLE.json      described by leaderboards/reported.schema.json

A row is one model as that paper ran it; whichever way round the paper prints its table, models are rows
here. Nothing of it was computed by this project: every row has the standing "reported", and a page that
shows it beside computed rows must say so.

`python -m leaderboards.reported` prints the schema.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmark.errors import ProblemCollector, ResultError
from benchmark.json_records import entry, from_json, schema_of
from leaderboards.reported_rules import check_tables


class Standing(enum.StrEnum):
    """How far these figures can be trusted: a paper says so."""

    REPORTED = "reported"


class Unit(enum.StrEnum):
    """What the digits of a column count."""

    PERCENT = "percent"
    POINTS = "points"  # a score whose scale the paper does not give


class About(enum.StrEnum):
    """What a column of words tells."""

    MODEL = "model"  # a fact of the model: its backbone, its parameters
    SETTING = "setting"  # what the paper varies between its rows


class Absence(enum.StrEnum):
    """Why a cell holds no figure."""

    NOT_APPLICABLE = "not-applicable"  # the model cannot do what is asked
    NOT_REPORTED = "not-reported"  # it could; the paper gives no figure


class Check(enum.StrEnum):
    """An arithmetic that the figures of a table should obey within rounding."""

    MEAN_OF_J_AND_F = "mean-of-J-and-F"
    MEAN_OF_PARTS = "mean-of-parts"
    GAIN = "gain"
    SAME_ELSEWHERE = "same-elsewhere"


@dataclass(frozen=True, slots=True)
class Paper:
    """Where the table is printed."""

    id: str
    title: str
    authors: str | None = field(metadata=entry(doc="first author and others; null where our copy has none"))
    year: int
    venue: str
    link: str | None = field(metadata=entry(doc="https"))


@dataclass(frozen=True, slots=True)
class Column:
    """One column of figures."""

    id: str
    label: str = field(metadata=entry(doc="the printed heading, upper and lower line"))
    dataset: str
    split: str | None = field(metadata=entry(doc="null where the paper does not say"))
    protocol: str | None = field(metadata=entry(doc="a protocol of benchmark/protocols of the same aim"))
    subset: str | None = field(metadata=entry(doc="the part of the split, where it is not all of it"))
    metric: str
    unit: Unit
    higher_is_better: bool


@dataclass(frozen=True, slots=True)
class WordColumn:
    """One column of words: a fact of the model, or what the paper varies."""

    id: str
    label: str
    about: About


@dataclass(frozen=True, slots=True)
class Row:
    """One model as the paper ran it."""

    id: str
    name: str = field(metadata=entry(doc="as printed, without the number of its citation"))
    model: str = field(metadata=entry(doc="its id in leaderboards/entries/models.json"))
    own: bool = field(metadata=entry(doc="proposed by this paper"))
    words: Mapping[str, str | None] = field(metadata=entry(doc="by word column; null where it is blank"))
    values: tuple[str | None, ...] = field(metadata=entry(doc="in the order of the columns, as printed"))
    gains: Mapping[str, str] = field(metadata=entry(doc="by column: what is printed in brackets behind it"))

    @property
    def standing(self) -> Standing:
        """Always "reported"."""
        return Standing.REPORTED


@dataclass(frozen=True, slots=True)
class Absent:
    """Cells without a figure, and why."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    kind: Absence
    printed: str = field(metadata=entry(doc="what stands in the cell"))
    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """What a reader must know about some cells."""

    text: str
    rows: tuple[str, ...] = field(metadata=entry(doc="empty for all"))
    columns: tuple[str, ...] = field(metadata=entry(doc="empty for all"))


@dataclass(frozen=True, slots=True)
class Inconsistency:
    """A printed figure that does not fit its neighbours; it is kept as printed."""

    check: Check
    row: str
    column: str
    expected: str = field(metadata=entry(doc="what the neighbours give"))
    reason: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure, or why there is none: exactly one of the two is there."""

    value: str | None
    absent: Absent | None

    @property
    def number(self) -> Decimal | None:
        """The figure, exactly as many digits as are printed."""
        return None if self.value is None else Decimal(self.value)


@dataclass(frozen=True, slots=True)
class ReportedTable:
    """One printed table."""

    format: str
    version: int
    id: str
    standing: Standing
    paper: Paper
    table: str = field(metadata=entry(doc='as the paper calls it: "Table 2"'))
    caption: str = field(metadata=entry(doc="what it shows, in our own words"))
    models_printed_as_columns: bool
    word_columns: tuple[WordColumn, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    absent: tuple[Absent, ...]
    notes: tuple[Note, ...]
    inconsistencies: tuple[Inconsistency, ...]

    def cell(self, row: Row, column: Column) -> Cell:
        """The figure of a row in a column, or the reason why there is none."""
        value = row.values[self.columns.index(column)]
        if value is not None:
            return Cell(value, None)
        return Cell(None, next(one for one in self.absent if row.id in one.rows and column.id in one.columns))

    def notes_on(self, row: Row, column: Column) -> tuple[Note, ...]:
        """The notes that speak of one cell, those on the whole table left out."""
        return tuple(
            note
            for note in self.notes
            if (note.rows or note.columns)
            and (not note.rows or row.id in note.rows)
            and (not note.columns or column.id in note.columns)
        )


def read_reported(folder: Path) -> tuple[ReportedTable, ...]:
    """Every reported table of a folder, by file name.

    Raises:
        ResultError: with everything that is wrong, by file and field.
    """
    problems = ProblemCollector()
    files = sorted(folder.glob("*.json"))
    if not files:
        problems.add("no reported tables", where=str(folder), expected="a folder of .json files")
    tables: dict[Path, ReportedTable] = {}
    for path in files:
        value = read_json_object(path, problems)
        table = None if value is None else from_json(ReportedTable, value, problems, str(path))
        if table is not None:
            tables[path] = table
    check_tables(tables, problems)
    problems.raise_if_any(ResultError, f"reported tables of {folder}")
    return tuple(tables.values())


def read_json_object(path: Path, problems: ProblemCollector) -> Any:
    """The value of a JSON file in which no key stands twice; `None` after reporting what is wrong."""
    try:
        return json.loads(path.read_bytes(), object_pairs_hook=_without_repeats)
    except (OSError, ValueError, RecursionError) as error:
        problems.add("not readable JSON", where=str(path), found=str(error))
        return None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"a key that stands twice: {next(one for one in names if names.count(one) > 1)!r}")
    return made


def reported_schema() -> str:
    """The text of `reported.schema.json`."""
    schema = schema_of(ReportedTable, "A table of figures that a paper reports")
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(reported_schema(), end="")
