"""Reading reported tables and the facts of their models: what is refused, and how it is said."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.errors import ResultError
from benchmark.json_records import to_json
from leaderboards.reported import Absence, read_reported, reported_schema
from leaderboards.reported_models import Models, models_schema, read_models

LEADERBOARDS = Path(__file__).resolve().parent.parent.parent / "leaderboards"
MODELS = LEADERBOARDS / "entries" / "models.json"

TABLE: dict[str, Any] = {
    "format": "interrvos-referee reported table",
    "version": 1,
    "id": "paper-table-1",
    "standing": "reported",
    "paper": {
        "id": "paper",
        "title": "A Paper",
        "authors": None,
        "year": 2026,
        "venue": "Somewhere",
        "link": "https://example.org/paper",
    },
    "table": "Table 1",
    "caption": "Two models.",
    "models_printed_as_columns": False,
    "word_columns": [{"id": "backbone", "label": "Backbone", "about": "model"}],
    "columns": [
        {
            "id": name,
            "label": name.upper(),
            "dataset": "interrvos",
            "split": "val",
            "protocol": "RVOS",
            "subset": None,
            "metric": name.upper(),
            "unit": "percent",
            "higher_is_better": True,
        }
        for name in ("j", "f")
    ],
    "rows": [
        {
            "id": "one",
            "name": "One",
            "model": "one",
            "own": False,
            "words": {"backbone": None},
            "values": ["50.10", None],
            "gains": {},
        },
        {
            "id": "two",
            "name": "Two",
            "model": "two",
            "own": True,
            "words": {"backbone": "Tiny"},
            "values": ["51.0", "49.0"],
            "gains": {"j": "+0.9"},
        },
    ],
    "absent": [
        {"rows": ["one"], "columns": ["f"], "kind": "not-reported", "printed": "-", "reason": "None given."}
    ],
    "notes": [
        {"text": "On all of it.", "rows": [], "columns": []},
        {"text": "On a row.", "rows": ["two"], "columns": []},
        {"text": "On a column.", "rows": [], "columns": ["f"]},
        {"text": "On a cell.", "rows": ["one"], "columns": ["j"]},
    ],
    "inconsistencies": [
        {"check": "gain", "row": "two", "column": "j", "expected": "+0.9", "reason": "An example."}
    ],
}


def stored(folder: Path, change: Callable[[dict[str, Any]], object] = lambda table: None) -> Path:
    table = copy.deepcopy(TABLE)
    change(table)
    (folder / "paper-table-1.json").write_text(json.dumps(table), encoding="utf-8")
    return folder


def test_a_table_gives_figures_as_printed_reasons_and_notes(tmp_path: Path) -> None:
    (table,) = read_reported(stored(tmp_path))
    one, two = table.rows
    j, f = table.columns
    assert table.cell(one, j).value == "50.10"  # a figure keeps its last nought
    assert table.cell(one, j).number == Decimal("50.10")
    absent = table.cell(one, f)
    assert absent.value is None and absent.number is None
    assert absent.absent is not None and absent.absent.kind is Absence.NOT_REPORTED
    assert table.cell(two, f).absent is None
    assert [note.text for note in table.notes_on(one, j)] == ["On a cell."]
    assert [note.text for note in table.notes_on(two, f)] == ["On a row.", "On a column."]
    jsonschema.validate(to_json(table), json.loads(reported_schema()))


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str, str]] = {
    "unknown key": (lambda t: t.update(score=1), "paper-table-1.json/score", "unknown key"),
    "missing key": (lambda t: t["rows"][0].pop("own"), "/rows/0/own", "key is missing"),
    "a number": (lambda t: t["rows"][0].update(values=[50.1, None]), "/rows/0/values/0", "a text"),
    "other standing": (lambda t: t.update(standing="re-run by us"), "/standing", "expected reported"),
    "other format": (lambda t: t.update(version=2), "/format", "another format"),
    "other id": (lambda t: t.update(id="paper-table-2"), "/id", "not the id of its file"),
    "link": (lambda t: t["paper"].update(link="javascript:alert(1)"), "/paper/link", "not a link"),
    "row twice": (lambda t: t["rows"][1].update(id="one"), "/rows", "an id that stands twice"),
    "column name": (lambda t: t["columns"][0].update(id="J&F"), "/columns", "not an id"),
    "model name": (lambda t: t["rows"][0].update(model="../x"), "/rows/model", "not an id"),
    "no rows": (lambda t: t.update(rows=[], absent=[]), "paper-table-1.json", "an empty table"),
    "short row": (lambda t: t["rows"][1].update(values=["51.0"]), "/rows/two/values", "another length"),
    "not a figure": (
        lambda t: t["rows"][1].update(values=["51,0", "49.0"]),
        "/rows/two/values",
        "not a figure",
    ),
    "words": (lambda t: t["rows"][1].update(words={}), "/rows/two/words", "other word columns"),
    "no reason": (lambda t: t.update(absent=[]), "/rows/one", "no figure and no reason"),
    "needless reason": (
        lambda t: t["absent"][0].update(rows=["one", "two"]),
        "/absent",
        "a reason where a figure stands",
    ),
    "two reasons": (lambda t: t["absent"].append(t["absent"][0]), "/absent", "two reasons for one cell"),
    "note on no row": (lambda t: t["notes"][1].update(rows=["three"]), "/notes", "no such row"),
    "slip in no column": (
        lambda t: t["inconsistencies"][0].update(column="g"),
        "/inconsistencies",
        "no such column",
    ),
    "gain in no column": (
        lambda t: t["rows"][1].update(gains={"g": "+1"}),
        "/rows/two/gains",
        "no such column",
    ),
    "hidden sign": (
        lambda t: t["rows"][0].update(name="O\u202ene"),
        "/rows/0/name",
        "a character that does not show; found U+202E",
    ),
    "blank": (lambda t: t.update(caption=" "), "/caption", "blanks where words belong"),
}


@pytest.mark.parametrize(("change", "where", "what"), BROKEN.values(), ids=BROKEN)
def test_a_broken_table_is_refused_by_file_and_field(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], where: str, what: str
) -> None:
    with pytest.raises(ResultError) as caught:
        read_reported(stored(tmp_path, change))
    assert any(where in one.where and what in one.sentence() for one in caught.value.problems), caught.value


def test_all_problems_of_all_files_come_at_once(tmp_path: Path) -> None:
    stored(tmp_path, lambda table: table["rows"][1].update(values=["x", "y"], words={}))
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    (tmp_path / "twice.json").write_text('{"id": "a", "id": "b"}', encoding="utf-8")
    twin = {**TABLE, "id": "twin"}
    (tmp_path / "twin.json").write_text(json.dumps(twin), encoding="utf-8")
    with pytest.raises(ResultError) as caught:
        read_reported(tmp_path)
    text = str(caught.value)
    assert text.count("not a figure") == 2
    for part in ("broken.json: not readable JSON", "a key that stands twice: 'id'", "the same table twice"):
        assert part in text


def test_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="no reported tables"):
        read_reported(tmp_path)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=4))
def test_whatever_stands_in_a_row_a_table_is_read_or_refused(value: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stored(Path(folder), lambda table: table["rows"][0].update(values=value))
        try:
            (table,) = read_reported(Path(folder))
        except ResultError as error:
            assert "rows" in str(error) or "absent" in str(error)
        else:
            assert len(table.rows[0].values) == 2


def test_every_row_names_a_model_and_no_model_is_idle() -> None:
    tables = read_reported(LEADERBOARDS / "entries" / "reported")
    models = read_models(MODELS, tables)
    assert models.by_id().keys() == {row.model for table in tables for row in table.rows}
    assert {model.family for model in models.models} == {family.id for family in models.families}
    for model in models.models:
        assert models.family_of(model).id == model.family
        if model.ablation_of is not None:
            assert models.by_id()[model.ablation_of].ablation_of is None
        assert model.open_weights or model.weights is None
    assert models.by_id()["dervos"].billions == Decimal("0.56")
    assert models.by_id()["urvos"].billions is None


def test_the_published_schema_of_models_is_fresh() -> None:
    schema = (LEADERBOARDS / "models.schema.json").read_text(encoding="utf-8")
    assert schema == models_schema(), (
        "run: python -m leaderboards.reported_models > leaderboards/models.schema.json"
    )
    jsonschema.validate(json.loads(MODELS.read_text(encoding="utf-8")), json.loads(schema))


SLIPS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "other format": (lambda m: m.update(format="x"), "another format"),
    "unknown key": (lambda m: m["models"][0].update(score=1), "unknown key"),
    "model twice": (lambda m: m["models"].append(m["models"][0]), "an id that stands twice"),
    "no family": (lambda m: m["models"][0].update(family="nobody"), "no such family"),
    "ablation of nothing": (lambda m: m["models"][0].update(ablation_of="nobody"), "no such model"),
    "no source": (lambda m: m["families"][0].update(sources=[]), "facts without a source"),
    "link": (lambda m: m["families"][0].update(code="http://example.org"), "not a link"),
    "half a fact": (lambda m: m["models"][0].update(parameters_source=None), "parameters and their source"),
    "parameters": (lambda m: m["models"][0].update(parameters="1B"), "not a figure"),
    "missing model": (lambda m: m["models"].pop(), "a model without facts"),
}


@pytest.mark.parametrize(("change", "what"), SLIPS.values(), ids=SLIPS)
def test_broken_facts_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], what: str
) -> None:
    facts = json.loads(MODELS.read_text(encoding="utf-8"))
    change(facts)
    path = tmp_path / "models.json"
    path.write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(ResultError, match=what):
        read_models(path, read_reported(LEADERBOARDS / "entries" / "reported"))


def test_models_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="not readable JSON"):
        read_models(tmp_path / "models.json")


def test_models_are_what_their_file_says() -> None:
    read: Models = read_models(MODELS)
    assert to_json(read) == json.loads(MODELS.read_text(encoding="utf-8"))
