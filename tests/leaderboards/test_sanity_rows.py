"""Sanity rows are adapters of this project, run by us."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from leaderboards.sanity_rows import SANITY_ROWS, sanity_words
from submissions.entries import Standing, read_entry

ADAPTERS = Path(__file__).resolve().parents[2] / "adapters"


@pytest.mark.parametrize("name", SANITY_ROWS)
def test_every_name_is_an_adapter(name: str) -> None:
    assert (ADAPTERS / f"{name}.py").is_file()


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("oracle", Standing.RERUN, SANITY_ROWS["oracle"]),
        ("swapped_roles(reviosa)", Standing.RERUN, SANITY_ROWS["swapped_roles"]),
        ("oracle", Standing.RESCORED, None),
        ("Oracle-4B", Standing.RERUN, None),
    ],
)
def test_a_model_cannot_pass_for_one(place: Path, name: str, status: Standing, words: str | None) -> None:
    entry = read_entry(place / "entry.json")
    model = dataclasses.replace(entry.model, name=name)
    assert sanity_words(dataclasses.replace(entry, model=model, status=status)) == words
