"""The reported tables as they lie in git: typed twice, and checked by their own arithmetic."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest

from benchmark.errors import ProblemCollector
from benchmark.json_records import to_json
from benchmark.protocol import load_protocols
from leaderboards.reported import (
    Check,
    Column,
    ReportedTable,
    Row,
    Standing,
    read_json_object,
    read_reported,
    reported_schema,
)

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent.parent / "leaderboards" / "entries" / "reported"
TABLES = {table.id: table for table in read_reported(FOLDER)}
PRINTED = (
    *("interrvos-table-2", "interrvos-table-3", "interrvos-table-4", "interrvos-table-5"),
    *("interrvos-table-a1", "interrvos-table-a2", "interrvos-table-a4", "interrvos-table-a5"),
    *("visa-table-1", "visa-table-2", "visa-table-3", "wsrvos-table-1"),
    *("dervos-table-9", "dervos-table-10", "dervos-table-11"),
)
# Words that stand in a heading or in the text, not in a column of their own.
NOT_A_PRINTED_COLUMN = {
    *(("interrvos-table-a1", "heads"), ("interrvos-table-a2", "tokens"), ("interrvos-table-a2", "aml")),
}
ROUNDING = Decimal("0.1")  # half a digit of J&F, and half a digit of the mean of J and F


def second_transcription(table: str) -> dict[str, list[str]]:
    """The same table typed again, column by column from the paper, by name of the column."""
    with open(HERE / "second_transcription" / f"{table}.csv", encoding="utf-8", newline="") as file:
        return {line[0]: line[1:] for line in csv.reader(file)}


def printed_cells(table: ReportedTable, column: Column) -> list[str]:
    """A column as the paper prints it: dashes, and gains in brackets."""
    cells = []
    for row in table.rows:
        cell = table.cell(row, column)
        text = cell.value if cell.value is not None else cell.absent.printed if cell.absent else ""
        gain = row.gains.get(column.id)
        cells.append(f"{text} ({gain})" if gain else text)
    return cells


def test_the_tables_are_those_that_were_promised() -> None:
    assert TABLES.keys() == set(PRINTED)
    assert {path.stem for path in (HERE / "second_transcription").iterdir()} == set(PRINTED)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_cell_is_what_was_typed_the_second_time(table: ReportedTable) -> None:
    again = second_transcription(table.id)
    assert again.pop("name") == [row.name for row in table.rows]
    for word in table.word_columns:
        if (table.id, word.id) not in NOT_A_PRINTED_COLUMN:
            assert again.pop(word.id) == [row.words[word.id] or "-" for row in table.rows], word.id
    # The order of the columns is part of what is compared.
    assert list(again) == [column.id for column in table.columns]
    for column in table.columns:
        assert again[column.id] == printed_cells(table, column), column.id


def test_the_published_schema_is_fresh() -> None:
    schema = (FOLDER.parent.parent / "reported.schema.json").read_text(encoding="utf-8")
    assert schema == reported_schema(), (
        "run: python -m leaderboards.reported > leaderboards/reported.schema.json"
    )


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_file_is_what_its_record_says_and_fits_the_schema(table: ReportedTable) -> None:
    stored = read_json_object(FOLDER / f"{table.id}.json", ProblemCollector())
    assert to_json(table) == stored
    jsonschema.validate(stored, json.loads(reported_schema()))


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_row_is_marked_reported_and_every_figure_is_possible(table: ReportedTable) -> None:
    assert table.standing is Standing.REPORTED
    for row in table.rows:
        assert row.standing is Standing.REPORTED
        for column in table.columns:
            number = table.cell(row, column).number
            assert number is None or (0 <= number <= 100 and number.as_tuple().exponent == -1)


def test_the_protocols_that_are_named_exist() -> None:
    named = {column.protocol for table in TABLES.values() for column in table.columns} - {None}
    assert named <= {one.name for one in load_protocols()}
    for table in TABLES.values():
        for column in table.columns:
            assert (column.protocol is not None) == (column.dataset == "interrvos")


def known(check: Check) -> dict[tuple[str, str, str], Decimal]:
    """What the tables say does not fit, by table, row and column."""
    return {
        (table.id, one.row, one.column): Decimal(one.expected)
        for table in TABLES.values()
        for one in table.inconsistencies
        if one.check is check
    }


def by_measure(table: ReportedTable, row: Row) -> dict[object, dict[str, tuple[str, Decimal]]]:
    """The figures of a row by what they are about, then by measure."""
    found: dict[object, dict[str, tuple[str, Decimal]]] = defaultdict(dict)
    for column in table.columns:
        number = table.cell(row, column).number
        if number is not None:
            about = (column.dataset, column.split, column.protocol, column.subset)
            found[about][column.metric] = (column.id, number)
    return found


def test_j_and_f_is_the_mean_of_j_and_f_but_where_the_papers_slip() -> None:
    compared, slips = 0, {}
    for table in TABLES.values():
        for row in table.rows:
            for measures in by_measure(table, row).values():
                if not {"J", "F", "J&F"} <= measures.keys():
                    continue
                compared += 1
                mean = (measures["J"][1] + measures["F"][1]) / 2
                name, printed = measures["J&F"]
                if abs(mean - printed) > ROUNDING:
                    slips[table.id, row.id, name] = mean
    assert compared > 100
    assert slips == known(Check.MEAN_OF_J_AND_F)


def test_revos_overall_is_the_mean_of_its_two_parts() -> None:
    table = TABLES["visa-table-1"]
    columns = {column.id: column for column in table.columns}
    slips = {}
    for row in table.rows:
        for measure in ("j", "f", "jf"):
            parts = [
                table.cell(row, columns[f"{part}-{measure}"]).number for part in ("referring", "reasoning")
            ]
            overall = table.cell(row, columns[f"overall-{measure}"]).number
            assert overall is not None and parts[0] is not None and parts[1] is not None
            if abs((parts[0] + parts[1]) / 2 - overall) > ROUNDING:
                slips[table.id, row.id, f"overall-{measure}"] = (parts[0] + parts[1]) / 2
    assert slips == known(Check.MEAN_OF_PARTS)


def test_long_rvos_overall_lies_between_its_parts() -> None:
    """It pools all expressions, so it is no plain mean of the three types."""
    table = TABLES["dervos-table-9"]
    columns = {column.id: column for column in table.columns}
    for row in table.rows:
        for measure in ("jf", "tiou", "viou"):
            parts = [
                table.cell(row, columns[f"{part}-{measure}"]).number
                for part in ("static", "dynamic", "hybrid")
            ]
            overall = table.cell(row, columns[f"overall-{measure}"]).number
            assert overall is not None
            assert min(filter(None, parts)) <= overall <= max(filter(None, parts))


def test_printed_gains_are_differences_to_the_row_above() -> None:
    slips, compared = {}, 0
    for table in TABLES.values():
        for above, row in zip(table.rows, table.rows[1:], strict=False):
            for column in table.columns:
                gain = row.gains.get(column.id)
                if gain is None:
                    continue
                before, now = table.cell(above, column).number, table.cell(row, column).number
                assert now is not None
                if before is None:
                    assert gain == "-"
                    continue
                compared += 1
                if now - before != Decimal(gain):
                    slips[table.id, row.id, column.id] = now - before
    assert compared == 5
    assert slips == known(Check.GAIN)


def test_a_model_has_one_figure_in_all_tables_but_where_the_papers_differ() -> None:
    figures: dict[object, list[tuple[tuple[str, str, str], Decimal]]] = defaultdict(list)
    for table in TABLES.values():
        for row in table.rows:
            for column in table.columns:
                number = table.cell(row, column).number
                if number is not None:
                    about = (row.model, column.dataset, column.split, column.protocol, column.subset)
                    figures[about, column.metric].append(((table.id, row.id, column.id), number))
    slips = known(Check.SAME_ELSEWHERE)
    shared = [found for found in figures.values() if len(found) > 1]
    assert len(shared) > 25
    for found in shared:
        agreed = {number for place, number in found if place not in slips}
        assert len(agreed) == 1, found
        for place, number in found:
            if place in slips:
                assert number not in agreed and slips[place] in agreed
    assert slips.keys() <= {place for found in shared for place, _ in found}


def claims() -> list[dict[str, str]]:
    with open(HERE / "prose_claims.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("claim", claims(), ids=lambda one: f"{one['table']} {one['column']} {one['other']}")
def test_differences_that_the_papers_say_in_words(claim: dict[str, str]) -> None:
    table = TABLES[claim["table"]]
    column = next(one for one in table.columns if one.id == claim["column"])
    rows = {row.id: row for row in table.rows}
    mine, other = (table.cell(rows[claim[key]], column).number for key in ("row", "other"))
    assert mine is not None and other is not None
    assert mine - other == Decimal(claim["difference"])
