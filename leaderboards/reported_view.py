"""Reported tables as pages show them: which columns, under which headings, with which marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from leaderboards.boards import ACTOR, TARGET
from leaderboards.downloads import Download
from leaderboards.entry_view import Fact
from leaderboards.reported import Absence, Column, Paper, ReportedTable, Row, WordColumn
from leaderboards.reported_models import Models

ABSENCES: Mapping[Absence, str] = {
    Absence.NOT_APPLICABLE: "n/a",
    Absence.NOT_REPORTED: "not reported",
}


@dataclass(frozen=True, slots=True)
class Head:
    """A heading over neighbouring columns."""

    label: str
    width: int


@dataclass(frozen=True, slots=True)
class ShownColumn:
    """A column under its heading."""

    id: str
    short: str
    higher_is_better: bool


@dataclass(frozen=True, slots=True)
class ShownCell:
    """A figure with its marks, or a word and why."""

    value: str | None
    word: str
    why: str
    best: bool
    gain: str | None
    doubt: str | None


@dataclass(frozen=True, slots=True)
class ShownRow:
    """One model."""

    name: str
    href: str
    own: bool
    words: tuple[str | None, ...]
    cells: tuple[ShownCell, ...]
    gap: str | None


@dataclass(frozen=True, slots=True)
class ShownTable:
    """A table, or those of its columns that are about one dataset."""

    table: ReportedTable
    heads: tuple[Head, ...]
    starts: frozenset[int]
    words: tuple[WordColumn, ...]
    columns: tuple[ShownColumn, ...]
    rows: tuple[ShownRow, ...]
    gap: bool
    notes: tuple[str, ...]
    doubts: tuple[str, ...]
    files: tuple[Download, ...]

    @property
    def has_heads(self) -> bool:
        """Whether any column stands under a heading."""
        return any(head.label for head in self.heads)


def model_page(model: str) -> str:
    """Where the page of a model that papers report lies."""
    return f"models/reported--{model}.html"


def reported_facts(models: Models | None, model_id: str) -> list[Fact]:
    """What is known about a model that papers report; nothing where no file says anything."""
    if models is None:
        return []
    model = models.by_id()[model_id]
    family = models.family_of(model)
    parameters = None
    if model.parameters is not None:
        parameters = f"{model.parameters} billion ({model.parameters_source or 'source not noted'})"
    weights = {True: "open", False: "not public", None: None}[model.open_weights]
    paper = f"{family.paper} ({family.venue})" if family.paper and family.venue else family.paper
    facts = [
        Fact("Paper", paper),
        Fact("Link", family.link, link=family.link),
        Fact("Code", family.code, link=family.code),
        Fact("Licence", family.licence),
        Fact("Parameters", parameters),
        Fact("Weights", model.weights or weights, link=model.weights),
        Fact("Facts from", "; ".join(family.sources)),
    ]
    if model.ablation_of is not None:
        facts.append(Fact("Ablation of", models.by_id()[model.ablation_of].name))
    notes = " ".join(note for note in (family.note, model.note) if note)
    return [*facts, Fact("Note", notes)] if notes else facts


def short_title(paper: Paper) -> str:
    """A paper by the part of its title before the colon, and its venue."""
    return f"{paper.title.partition(':')[0]} ({paper.venue})"


def shown_table(table: ReportedTable, files: tuple[Download, ...], dataset: str | None = None) -> ShownTable:
    """A whole table, or its columns about one dataset; rows without any figure or word there are left out."""
    columns = [one for one in table.columns if dataset in (None, one.dataset)]
    rows = [row for row in table.rows if any(_says_something(table, row, one) for one in columns)]
    best = {one.id: _best(table, rows, one) for one in columns}
    gap = _gap_columns(columns)
    heads = _heads(columns)
    starts = [sum(head.width for head in heads[:index]) for index in range(len(heads))]
    ids = {one.id for one in columns}
    labels = {one.id: one.label for one in table.columns}
    names = {row.id: row.name for row in table.rows}
    return ShownTable(
        table=table,
        heads=heads,
        starts=frozenset(starts),
        words=table.word_columns,
        columns=tuple(ShownColumn(one.id, _split(one)[1], one.higher_is_better) for one in columns),
        rows=tuple(_shown_row(table, row, columns, best, gap) for row in rows),
        gap=gap is not None,
        notes=tuple(note.text for note in table.notes if not note.columns or ids & set(note.columns)),
        doubts=tuple(
            f"{names[one.row]}, {labels[one.column]}: its neighbours give {one.expected}. {one.reason}"
            for one in table.inconsistencies
            if one.column in ids
        ),
        files=files,
    )


def _says_something(table: ReportedTable, row: Row, column: Column) -> bool:
    cell = table.cell(row, column)
    return cell.absent is None or cell.absent.kind is Absence.NOT_APPLICABLE


def _split(column: Column) -> tuple[str, str]:
    """The heading of a column and what stands below it."""
    if column.label.endswith(f" {column.metric}"):
        return column.label.removesuffix(f" {column.metric}"), column.metric
    return "", column.label


def _heads(columns: Sequence[Column]) -> tuple[Head, ...]:
    heads: list[Head] = []
    for column in columns:
        label = _split(column)[0]
        if heads and heads[-1].label == label:
            heads[-1] = Head(label, heads[-1].width + 1)
        else:
            heads.append(Head(label, 1))
    return tuple(heads)


def _best(table: ReportedTable, rows: Sequence[Row], column: Column) -> Decimal | None:
    numbers = [number for row in rows if (number := table.cell(row, column).number) is not None]
    if len(numbers) < 2:
        return None
    return max(numbers) if column.higher_is_better else min(numbers)


def _gap_columns(columns: Sequence[Column]) -> tuple[Column, Column] | None:
    """The columns whose difference is the role gap, where a table has both."""
    found = {one.protocol: one for one in columns if one.protocol in (ACTOR, TARGET) and one.metric == "J&F"}
    return (found[ACTOR], found[TARGET]) if len(found) == 2 else None


def _shown_row(
    table: ReportedTable,
    row: Row,
    columns: Sequence[Column],
    best: Mapping[str, Decimal | None],
    gap: tuple[Column, Column] | None,
) -> ShownRow:
    pair = [table.cell(row, column).number for column in gap] if gap else []
    difference = None
    if len(pair) == 2 and pair[0] is not None and pair[1] is not None:
        difference = f"{pair[0] - pair[1]:+}".replace("-", "−")
    return ShownRow(
        name=row.name,
        href=model_page(row.model),
        own=row.own,
        words=tuple(row.words.get(one.id) for one in table.word_columns),
        cells=tuple(_shown_cell(table, row, one, best[one.id]) for one in columns),
        gap=difference,
    )


def _shown_cell(table: ReportedTable, row: Row, column: Column, best: Decimal | None) -> ShownCell:
    cell = table.cell(row, column)
    if cell.absent is not None:
        return ShownCell(None, ABSENCES[cell.absent.kind], cell.absent.reason, False, None, None)
    doubts = [
        f"its neighbours give {one.expected}: {one.reason}"
        for one in table.inconsistencies
        if (one.row, one.column) == (row.id, column.id)
    ]
    return ShownCell(
        value=cell.value,
        word="",
        why="",
        best=best is not None and cell.number == best,
        gain=row.gains.get(column.id),
        doubt=" ".join(doubts) or None,
    )
