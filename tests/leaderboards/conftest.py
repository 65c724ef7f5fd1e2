"""Entries of a tiny dataset, made by receiving submissions, and entries that no check would have let in."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.json_records import to_json
from benchmark.stored_files import write_json
from submissions import examples, receive
from submissions.entries import Entry, Standing, entry_id, read_entry
from submissions.model_card import Links, card_digest
from submissions.receipt import Receipt, read_receipt, write_receipt

REPORTED = Path(__file__).resolve().parents[2] / "leaderboards" / "entries" / "reported"
Forge = Callable[..., Entry]


def _zips() -> dict[str, tuple[bytes, list[str]]]:
    both = examples.compact()
    actors = examples.tree("{video}/{expression}/{frame}.png", ["actor"])
    named = {
        "both": ({**both, "model.json": examples.model_json(name="Both roles", parameters=2_000_000)}, []),
        "actors": ({**actors, "model.json": examples.model_json(name="Actors alone", roles=["actor"])}, []),
        "oracle": ({**both, "model.json": examples.model_json(name="oracle")}, ["--re-run"]),
    }
    return {name: (examples.zipped(members), flags) for name, (members, flags) in named.items()}


@pytest.fixture(scope="session")
def received(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of entries; not to be changed (see `entries`)."""
    root = tmp_path_factory.mktemp("received")
    examples.write_dataset(root / "data")
    for name, (content, flags) in _zips().items():
        (root / f"{name}.zip").write_bytes(content)
        words = [str(root / f"{name}.zip"), "--dataset", "interrvos", "--data-root", str(root / "data")]
        words += ["--entries", str(root / "entries"), "--work", str(root / "work")]
        assert receive.main([*words, *flags]) == 0
    shutil.copytree(REPORTED, root / "entries" / "reported")
    shutil.copy(REPORTED.parent / "models.json", root / "entries")
    return root / "entries"


@pytest.fixture
def entries(received: Path, tmp_path: Path) -> Path:
    """A copy of the entries, to break."""
    return Path(shutil.copytree(received, tmp_path / "entries"))


@pytest.fixture
def place(entries: Path) -> Path:
    """The folder of the entry of "Both roles"."""
    (found,) = entries.glob("interrvos-val/both-roles-*")
    return found


@pytest.fixture
def forge(entries: Path, place: Path) -> Forge:
    """Write an entry with facts that a submission could not have, aggregates only; every digest fits."""
    template, receipt = read_entry(place / "entry.json"), read_receipt(place / "receipt.json")

    def forged(*, links: Links | None = None, supersedes: Any = None, **facts: Any) -> Entry:
        model = dataclasses.replace(template.model, links=links or template.model.links, **facts)
        about = (model, template.dataset, template.protocols, template.predictions_digest)
        name = entry_id(*about, Standing.SELF_REPORTED, supersedes.entry if supersedes else None)
        made = dataclasses.replace(
            template,
            id=name,
            status=Standing.SELF_REPORTED,
            model=model,
            rounded=True,
            supersedes=supersedes,
        )
        of_model = dataclasses.replace(
            receipt.statement.model, name=model.name, version=model.version, card=card_digest(model)
        )
        statement = dataclasses.replace(receipt.statement, model=of_model, rounded=True)
        folder = entries / "interrvos-val" / name
        folder.mkdir()
        write_json(folder / "entry.json", to_json(made))
        write_receipt(Receipt(statement, None, receipt.note), folder / "receipt.json")
        return made

    return forged
