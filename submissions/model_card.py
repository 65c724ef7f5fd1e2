"""model.json: typed facts about a model, every key there, nothing beside them.

`null` means "unknown" or "does not apply"; it is a visible state, not a gap. `model.schema.json` is made
from the dataclasses below, and a test keeps it fresh.
"""

from __future__ import annotations

import enum
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any

from benchmark.errors import ProblemCollector
from benchmark.json_records import entry, from_json, schema_of, to_json
from benchmark.types import AdapterInfo, Role
from submissions.problems import Findings
from submissions.strict_json import StrictJsonError, loads

LONGEST_TEXT = 1000
LONGEST_LIST = 50
_LINK = re.compile(r"https://[A-Za-z0-9.-]+\.[A-Za-z]{2,}(:[0-9]{1,5})?(/[!#$%&'()*+,./:;=?@_~A-Za-z0-9-]*)?")


class Track(enum.StrEnum):
    """What a model was allowed to learn from."""

    CLOSED = "closed"  # this dataset's train split alone, on top of public weights
    OPEN = "open"  # any data but the evaluated split
    ZERO_SHOT = "zero-shot"  # nothing of this dataset


class Inputs(enum.StrEnum):
    """Whether a frame's mask may depend on later frames."""

    ONLINE = "online"
    OFFLINE = "offline"


class Strength(enum.StrEnum):
    """How sure a statement about training data is."""

    STRONG = "strong"
    WEAK = "weak"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Links:
    """Where to read and get more; https only."""

    paper: str | None
    code: str | None
    weights: str | None
    website: str | None


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """One dataset and split that the model, or a model it is made from, has seen."""

    dataset: str
    split: str
    strength: Strength = field(metadata=entry(doc="strong: stated by its makers; weak: likely"))
    evidence: str | None = field(metadata=entry(doc="a link or a sentence"))


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast, on what."""

    hardware: str
    frames_per_second: float | None
    peak_memory_gib: float | None


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The facts of model.json."""

    name: str
    version: str
    team: str | None
    contact: str | None = field(metadata=entry(doc="a public address or handle"))
    links: Links
    licence: str | None = field(metadata=entry(doc="SPDX identifier of the weights"))
    parameters: int | None = field(metadata=entry(doc="all of them, frozen ones included"))
    base_models: tuple[str, ...]
    trained_on: tuple[TrainedOn, ...]
    track: Track
    inputs: Inputs
    roles: tuple[Role, ...] = field(metadata=entry(doc="what the model predicts"))
    speed: Speed | None
    released: str | None = field(metadata=entry(doc="YYYY-MM-DD"))
    notes: str | None


def read_model_card(text: bytes, findings: Findings) -> ModelCard | None:
    """The model card that a JSON text holds; `None` after everything wrong with it was reported."""
    try:
        value = loads(text)
    except StrictJsonError as error:
        findings.add(error.code, "model.json", found=str(error))
        return None
    problems = ProblemCollector()
    card = from_json(ModelCard, value, problems, "model.json")
    for problem in problems.problems:
        code = {"unknown key": "model-unknown-key", "key is missing": "model-missing-key"}.get(
            problem.what, "model-value"
        )
        findings.add(code, problem.where, expected=problem.expected, found=problem.found)
    if card is None:
        return None
    wrong = list(_implausible(card))
    for where, expected, found in wrong:
        findings.add("model-value", f"model.json/{where}", expected=expected, found=found)
    return None if wrong else card


def _implausible(card: ModelCard) -> Iterator[tuple[str, str, str]]:
    """(place, expected, found) of values that have the right type and cannot be meant."""
    yield from _texts(to_json(card), "")
    for name in ("name", "version"):
        value = getattr(card, name)
        if not value.strip() or value == PLACEHOLDER:
            yield name, "the name or version you want to see on the board", repr(value)
    for one in fields(Links):
        link = getattr(card.links, one.name)
        if link is not None and not _LINK.fullmatch(link):
            yield f"links/{one.name}", "an https link, or null", repr(link)
    if card.parameters is not None and not 0 <= card.parameters <= 10**15:
        yield "parameters", "a number from 0 to 1e15", str(card.parameters)
    if not card.roles or Role.ACTOR not in card.roles or len(set(card.roles)) != len(card.roles):
        yield "roles", '["actor"] or ["actor", "target"]', str([role.value for role in card.roles])
    if card.released is not None and not _is_date(card.released):
        yield "released", "a date YYYY-MM-DD, or null", repr(card.released)
    if card.speed is not None:
        for name in ("frames_per_second", "peak_memory_gib"):
            number = getattr(card.speed, name)
            if number is not None and not 0 < number < 1e6:
                yield f"speed/{name}", "a number above 0, or null", repr(number)
    for index, seen in enumerate(card.trained_on):
        if seen.strength is Strength.STRONG and not seen.evidence:
            yield f"trained_on/{index}/evidence", "a link or a sentence where strength is strong", "null"


def _texts(value: Any, where: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT or not all(sign.isprintable() or sign == "\n" for sign in value):
            expected = f"at most {LONGEST_TEXT} printable characters"
            yield where, expected, f"{len(value)} characters: {value[:60]!r}"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, f"{where}/{key}".lstrip("/"))
    elif isinstance(value, list):
        if len(value) > LONGEST_LIST:
            yield where, f"at most {LONGEST_LIST} items", str(len(value))
        for index, item in enumerate(value[:LONGEST_LIST]):
            yield from _texts(item, f"{where}/{index}")


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


PLACEHOLDER = "FILL IN"


def template(adapter: AdapterInfo | None) -> str:
    """A model.json to fill in, with what an adapter says about its model already there."""
    roles = adapter.roles if adapter else tuple(Role)
    seen = [one.partition(":") for one in (adapter.trained_on if adapter else ())]
    return card_text(
        ModelCard(
            name=adapter.name if adapter else PLACEHOLDER,
            version=adapter.version if adapter else PLACEHOLDER,
            team=None,
            contact=None,
            links=Links(None, None, None, None),
            licence=adapter.licence if adapter else None,
            parameters=adapter.parameters if adapter else None,
            base_models=adapter.base_models if adapter else (),
            trained_on=tuple(
                TrainedOn(dataset, split or "unknown", Strength.WEAK, None) for dataset, _, split in seen
            ),
            track=Track.OPEN,
            inputs=Inputs.OFFLINE,
            roles=roles,
            speed=None,
            released=None,
            notes=None,
        )
    )


def card_text(card: ModelCard) -> str:
    """A model.json that says what a card says."""
    return json.dumps(to_json(card), indent=2) + "\n"


def adapter_facts(card: ModelCard) -> AdapterInfo:
    """The facts of a card in the form that results carry."""
    return AdapterInfo(
        name=card.name,
        version=card.version,
        roles=card.roles,
        licence=card.licence,
        base_models=card.base_models,
        trained_on=tuple(f"{one.dataset}:{one.split}" for one in card.trained_on),
        parameters=card.parameters,
    )


def card_digest(card: ModelCard) -> str:
    """SHA-256 of the facts, whatever the spacing and order of the file."""
    return hashlib.sha256(json.dumps(to_json(card), sort_keys=True).encode()).hexdigest()


def schema() -> str:
    """The text of model.schema.json."""
    return json.dumps(schema_of(ModelCard, "model.json of a submission"), indent=2) + "\n"
