"""model.json: every key there, nothing beside them, and a schema that says the same as the code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import submissions
from benchmark.types import AdapterInfo, Role
from submissions import examples
from submissions.model_card import ModelCard, adapter_facts, card_digest, read_model_card, schema, template
from submissions.problems import Findings

SCHEMA = Path(submissions.__file__).parent / "model.schema.json"


def read(**changes: Any) -> tuple[ModelCard | None, Findings]:
    findings = Findings()
    return read_model_card(examples.model_json(**changes), findings), findings


def test_schema_is_fresh_and_accepts_the_example() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema()
    jsonschema.validate(json.loads(examples.model_json()), json.loads(schema()))


def test_schema_refuses_unknown_keys() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(examples.model_json(rank=1)), json.loads(schema()))


FULL = {
    "name": "ReVIOSa",
    "version": "1.0",
    "team": "A team",
    "contact": "https://example.org/contact",
    "links": {"paper": "https://arxiv.org/abs/2401.00001", "code": None, "weights": None, "website": None},
    "licence": "Apache-2.0",
    "parameters": 938_000_000,
    "base_models": ["InternVL2.5-1B", "SAM2"],
    "trained_on": [{"dataset": "interrvos", "split": "train", "strength": "strong", "evidence": "paper"}],
    "track": "closed",
    "inputs": "offline",
    "roles": ["actor", "target"],
    "speed": {"hardware": "one H200", "frames_per_second": 7.5, "peak_memory_gib": None},
    "released": "2025-06-01",
    "notes": "Two lines\nof notes.",
}


def test_full_card_is_read_with_its_types() -> None:
    card, findings = read(**FULL)
    assert findings.codes == () and card is not None
    assert card.parameters == 938_000_000 and card.speed is not None and card.speed.frames_per_second == 7.5
    facts = adapter_facts(card)
    assert facts.trained_on == ("interrvos:train",) and facts.roles == (Role.ACTOR, Role.TARGET)
    jsonschema.validate(FULL, json.loads(schema()))


WRONG: dict[str, tuple[str, Any]] = {
    "model.json/name": ("name", "FILL IN"),
    "model.json/version": ("version", " "),
    "model.json/links/paper": (
        "links",
        {"paper": "javascript:alert(1)", "code": None, "weights": None, "website": None},
    ),
    "model.json/links/code": (
        "links",
        {"paper": None, "code": "http://a.org", "weights": None, "website": None},
    ),
    "model.json/parameters": ("parameters", True),
    "model.json/roles": ("roles", ["target"]),
    "model.json/roles/0": ("roles", ["subject"]),
    "model.json/track": ("track", "closed data"),
    "model.json/released": ("released", "1 June"),
    "model.json/notes": ("notes", "evil\u202etext"),
    "model.json/team": ("team", "x" * 1001),
    "model.json/base_models": ("base_models", ["x"] * 51),
    "model.json/speed/frames_per_second": (
        "speed",
        {"hardware": "a GPU", "frames_per_second": 0, "peak_memory_gib": None},
    ),
    "model.json/trained_on/0/evidence": (
        "trained_on",
        [{"dataset": "a", "split": "b", "strength": "strong", "evidence": None}],
    ),
}


@pytest.mark.parametrize("where", WRONG)
def test_wrong_values_are_named(where: str) -> None:
    key, value = WRONG[where]
    card, findings = read(**{key: value})
    assert card is None and findings.codes == ("model-value",)
    assert where in [one.where for one in findings.places["model-value"]]


def test_all_problems_of_a_card_come_together() -> None:
    card, findings = read(rank=1, parameters="many", roles=7)
    assert card is None
    assert findings.counts == {"model-unknown-key": 1, "model-value": 2}


def test_template_carries_what_the_adapter_knows() -> None:
    facts = AdapterInfo("reviosa", "1", trained_on=("interrvos-synthetic:train",), parameters=5)
    findings = Findings()
    card = read_model_card(template(facts).encode(), findings)
    assert findings.codes == () and card is not None
    assert card.trained_on[0].split == "train" and card.parameters == 5
    assert read_model_card(template(None).encode(), findings) is None
    assert findings.codes == ("model-value",)


def test_digest_of_a_card_forgets_spacing_and_order() -> None:
    findings = Findings()
    text = examples.model_json()
    turned = json.dumps(dict(reversed(json.loads(text).items())), indent=3).encode()
    first, second = read_model_card(text, findings), read_model_card(turned, findings)
    assert first is not None and second is not None and card_digest(first) == card_digest(second)
