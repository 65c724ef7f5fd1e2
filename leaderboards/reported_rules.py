"""What the types of a reported table cannot say: names that must exist, cells that must be explained."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import ProblemCollector

if TYPE_CHECKING:
    from leaderboards.reported import ReportedTable

FORMAT = "interrvos-referee reported table"
VERSION = 1
ID = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")
FIGURE = re.compile(r"-?[0-9]+(\.[0-9]+)?")
LINK = re.compile(r"https://[A-Za-z0-9.-]+\.[A-Za-z]{2,}(/[!-~]*)?")


def check_tables(tables: Mapping[Path, ReportedTable], problems: ProblemCollector) -> None:
    """Report every rule that a table breaks, by file and field."""
    printed: dict[tuple[str, str], Path] = {}
    for path, table in tables.items():
        where = str(path)
        _check_head(table, path, problems)
        _check_names(table, where, problems)
        _check_rows(table, where, problems)
        _check_absent(table, where, problems)
        _check_mentions(table, where, problems)
        check_text(table, where, problems)
        twin = printed.setdefault((table.paper.id, table.table), path)
        if twin != path:
            problems.add(
                "the same table twice", where=f"{where}/table", found=f"{table.table}, also in {twin}"
            )


def check_text(value: Any, where: str, problems: ProblemCollector) -> None:
    """Report characters that do not show, or turn the direction of what is written around them."""
    for place, text in _texts(value, where):
        hidden = sorted({f"U+{ord(one):04X}" for one in text if unicodedata.category(one)[0] == "C"})
        if hidden:
            problems.add("a character that does not show", where=place, found=", ".join(hidden))
        if text != text.strip() or not text:
            problems.add("blanks where words belong", where=place, found=repr(text))


def check_unique(names: Sequence[str], where: str, problems: ProblemCollector) -> None:
    """Report names that stand twice or are not in our alphabet."""
    for name in sorted(set(names)):
        if names.count(name) > 1:
            problems.add("an id that stands twice", where=where, found=name)
        if not ID.fullmatch(name):
            problems.add(
                "not an id", where=where, expected="lower-case letters, digits, - . between", found=name
            )


def check_link(link: str | None, where: str, problems: ProblemCollector) -> None:
    """Report a link that is not a plain https address."""
    if link is not None and not LINK.fullmatch(link):
        problems.add("not a link", where=where, expected="https://...", found=link)


def _check_head(table: ReportedTable, path: Path, problems: ProblemCollector) -> None:
    if (table.format, table.version) != (FORMAT, VERSION):
        problems.add(
            "another format",
            where=f"{path}/format",
            expected=f"{FORMAT} {VERSION}",
            found=f"{table.format} {table.version}",
        )
    if table.id != path.stem:
        problems.add("not the id of its file", where=f"{path}/id", expected=path.stem, found=table.id)
    check_link(table.paper.link, f"{path}/paper/link", problems)


def _check_names(table: ReportedTable, where: str, problems: ProblemCollector) -> None:
    check_unique([one.id for one in table.columns], f"{where}/columns", problems)
    check_unique([one.id for one in table.word_columns], f"{where}/word_columns", problems)
    check_unique([one.id for one in table.rows], f"{where}/rows", problems)
    check_unique(sorted({one.dataset for one in table.columns}), f"{where}/columns/dataset", problems)
    check_unique(sorted({one.model for one in table.rows}), f"{where}/rows/model", problems)
    check_unique([table.paper.id], f"{where}/paper/id", problems)
    if not table.rows or not table.columns:
        problems.add("an empty table", where=where, expected="rows and columns")


def _check_rows(table: ReportedTable, where: str, problems: ProblemCollector) -> None:
    words = {one.id for one in table.word_columns}
    for row in table.rows:
        place = f"{where}/rows/{row.id}"
        if len(row.values) != len(table.columns):
            expected, found = f"{len(table.columns)} figures", str(len(row.values))
            problems.add("a row of another length", where=f"{place}/values", expected=expected, found=found)
        for value in row.values:
            if value is not None and not FIGURE.fullmatch(value):
                problems.add("not a figure", where=f"{place}/values", expected="digits", found=value)
        if row.words.keys() != words:
            problems.add(
                "other word columns",
                where=f"{place}/words",
                expected=", ".join(sorted(words)) or "none",
                found=", ".join(sorted(row.words)) or "none",
            )


def _check_absent(table: ReportedTable, where: str, problems: ProblemCollector) -> None:
    explained = [(row, column) for one in table.absent for row in one.rows for column in one.columns]
    blank = {
        (row.id, column.id)
        for row in table.rows
        for column, value in zip(table.columns, row.values, strict=False)
        if value is None
    }
    for row, column in sorted(blank - set(explained)):
        problems.add("no figure and no reason", where=f"{where}/rows/{row}", found=column)
    for row, column in sorted(set(explained) - blank):
        problems.add("a reason where a figure stands", where=f"{where}/absent", found=f"{row}, {column}")
    for row, column in sorted({pair for pair in explained if explained.count(pair) > 1}):
        problems.add("two reasons for one cell", where=f"{where}/absent", found=f"{row}, {column}")


def _check_mentions(table: ReportedTable, where: str, problems: ProblemCollector) -> None:
    rows, columns = {one.id for one in table.rows}, {one.id for one in table.columns}
    mentions = [(f"{where}/notes", note.rows, note.columns) for note in table.notes]
    mentions += [(f"{where}/inconsistencies", (one.row,), (one.column,)) for one in table.inconsistencies]
    mentions += [(f"{where}/rows/{row.id}/gains", (), tuple(row.gains)) for row in table.rows]
    for place, named_rows, named_columns in mentions:
        for name in sorted(set(named_rows) - rows):
            problems.add("no such row", where=place, found=name)
        for name in sorted(set(named_columns) - columns):
            problems.add("no such column", where=place, found=name)


def _texts(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif is_dataclass(value):
        for one in fields(value):
            yield from _texts(getattr(value, one.name), f"{where}/{one.name}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(key, f"{where}/{key}")
            yield from _texts(item, f"{where}/{key}")
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _texts(item, f"{where}/{index}")
