"""Entries are read with every check: edits, gaps and twins are named by file and field."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import ProblemCollector
from leaderboards.board_entries import read_board_entries
from submissions.entries import Entry, Supersedes, read_entry

Forge = Callable[..., Entry]


def sentences(entries: Path) -> list[str]:
    problems = ProblemCollector()
    read_board_entries(entries, problems)
    return [problem.sentence() for problem in problems.problems]


def edit(path: Path, change: Callable[[Any], None]) -> None:
    stored = json.loads(path.read_text())
    change(stored)
    path.write_text(json.dumps(stored))


def test_entries_as_received_have_no_problem(received: Path) -> None:
    assert sentences(received) == []


def test_an_edited_score_is_found(entries: Path, place: Path) -> None:
    edit(place / "entry.json", lambda one: one["scores"]["RVOS"].update({"J&F": 99.0}))
    found = sentences(entries)
    assert any("receipt.json: statement/scores/RVOS/J&F: the receipt says otherwise" in one for one in found)
    assert any("result.json: settings/RVOS/J&F: the result says otherwise" in one for one in found)


def test_an_edited_result_is_found(entries: Path, place: Path) -> None:
    edit(place / "result.json", lambda one: one["settings"]["RVOS"].update({"J": 1.0}))
    (found,) = sentences(entries)
    assert "scores do not match their digest: the file was edited" in found


def test_edited_facts_are_found(entries: Path, place: Path) -> None:
    edit(place / "entry.json", lambda one: one["model"].update(parameters=7))
    found = sentences(entries)
    assert any("the facts of an entry were edited" in one for one in found)
    assert any("statement/model/card" in one for one in found)


def test_edited_expressions_are_found(entries: Path, place: Path) -> None:
    path = place / "expressions.csv"
    path.write_text(path.read_text() + "\n")
    assert any("not the one this result was written with" in one for one in sentences(entries))


def test_a_missing_receipt_is_found(entries: Path, place: Path) -> None:
    (place / "receipt.json").unlink()
    assert any("the receipt of a scored entry is missing" in one for one in sentences(entries))


def test_a_signature_that_does_not_fit_is_found(entries: Path, place: Path) -> None:
    forged = {"algorithm": "Ed25519", "public_key": "00" * 32, "value": "01" * 64}
    edit(place / "receipt.json", lambda one: one.update(signature=forged))
    assert any("the signature does not fit the receipt" in one for one in sentences(entries))


def test_a_field_that_breaks_the_schema_is_named(entries: Path, place: Path) -> None:
    edit(place / "entry.json", lambda one: one["model"].update(parameters="many"))
    assert any("entry.json/model/parameters: " in one for one in sentences(entries))


def test_a_file_that_holds_no_record_is_named(entries: Path, place: Path) -> None:
    for name in ("receipt.json", "entry.json"):
        (place / name).write_text("[]")
        (found,) = sentences(entries)
        assert found.startswith(f"{place / name}: wrong value; expected an object")


def test_another_folder_is_found(entries: Path, place: Path) -> None:
    other = entries / "mevis-val"
    other.mkdir()
    place.rename(other / place.name)
    assert any("an entry in the folder of another dataset" in one for one in sentences(entries))


def test_the_same_predictions_twice_are_found(entries: Path, forge: Forge) -> None:
    forge(team="The same once more")
    assert any("the same predictions of the same model twice" in one for one in sentences(entries))


def test_files_beside_an_entry_of_aggregates_are_found(entries: Path, place: Path, forge: Forge) -> None:
    made = forge(name="Hidden truth")
    (place.parent / made.id / "result.json").write_text("{}")
    assert any("a file that an entry of this kind does not have" in one for one in sentences(entries))


def test_a_receipt_without_scores_is_found(entries: Path, place: Path) -> None:
    edit(place / "entry.json", lambda one: one.update(scores=None))
    assert any("a receipt beside an entry without scores" in one for one in sentences(entries))


def test_superseding_nothing_or_twice_is_found(entries: Path, place: Path, forge: Forge) -> None:
    old = read_entry(place / "entry.json").id
    why = ("reason", "author", "2026-01-01")
    forge(name="One", supersedes=Supersedes("none-such", *why))
    forge(name="Two", supersedes=Supersedes(old, *why))
    forge(name="Three", supersedes=Supersedes(old, *why))
    found = sentences(entries)
    assert any("it supersedes an entry that is not there" in one for one in found)
    assert any("two entries supersede the same one" in one for one in found)


def test_leftovers_of_a_killed_receive_are_passed_over(entries: Path) -> None:
    (entries / "interrvos-val" / ".unfinished-0123").mkdir()
    assert sentences(entries) == []


def scores_of(one: Any) -> Any:
    return one["scores"]["RVOS"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda one: one["scores"].update(Other=scores_of(one)),
            "scores/Other: settings with scores",
        ),
        (lambda one: one.update(protocols={}), "protocols: an entry without protocols"),
        (
            lambda one: one["protocols"].update(New=one["protocols"]["RVOS"]),
            "protocols/New: no such protocol",
        ),
        (lambda one: one["model"].update(parameters=-5), "model/parameters: not a number of parameters"),
        (lambda one: one["model"].update(parameters=10**400), "model/parameters: not a number of parameters"),
        (lambda one: one["model"]["speed"].update(frames_per_second=0), "frames_per_second: not a speed"),
        (lambda one: scores_of(one).update({"J": 101}), "scores/RVOS/J: not a percentage"),
        (lambda one: scores_of(one).update({"J&F interval": [9, 1]}), "not an interval in percent"),
        (lambda one: scores_of(one).update({"failed": 99}), "scores/RVOS/failed: not a count of failures"),
        (lambda one: scores_of(one).update({"F": None}), "scores/RVOS: J, F and J&F go together"),
    ],
)
def test_values_that_cannot_be_meant_are_named(
    entries: Path, place: Path, change: Callable[[Any], None], sentence: str
) -> None:
    def changed(one: Any) -> None:
        one["model"]["speed"] = {"hardware": "one GPU", "frames_per_second": 9.0, "peak_memory_gib": None}
        change(one)

    edit(place / "entry.json", changed)
    assert any(f"{place / 'entry.json'}" in one and sentence in one for one in sentences(entries))


def test_a_file_that_no_entry_has_is_found(entries: Path, place: Path) -> None:
    (place / "index.html").write_text("<script>")
    (found,) = sentences(entries)
    assert found.startswith(f"{place / 'index.html'}: a file that no entry has")
