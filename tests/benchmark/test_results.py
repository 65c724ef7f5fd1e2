"""The shape of a result: its published schema, its digest, what is in which block."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest

import benchmark
from benchmark.json_records import to_json
from benchmark.results import SEALED, Result, main, result_schema, scores_digest, sealed
from tests.benchmark.tiny_clips import ACTOR_ONLY, empty_answers, random_answers, scored, tiny_dataset

SCHEMA = Path(benchmark.__file__).parent / "result.schema.json"


@pytest.fixture(scope="module")
def result() -> Result:
    dataset = tiny_dataset()
    return scored(dataset, random_answers(dataset))


def test_the_published_schema_is_fresh() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == result_schema(), (
        "run: python -m benchmark.results > benchmark/result.schema.json"
    )


def test_the_command_prints_the_schema_and_help_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    assert capsys.readouterr().out == result_schema()
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert "scores_digest" in said
    assert '"$schema"' not in said


def test_the_schema_is_valid_and_results_fit_it(result: Result) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(json.dumps(to_json(result))), schema)
    dataset = tiny_dataset()
    silent = scored(dataset, empty_answers(dataset), adapter=ACTOR_ONLY)
    jsonschema.validate(json.loads(json.dumps(to_json(silent))), schema)


def test_headlines_are_where_the_design_says(result: Result) -> None:
    stored = to_json(result)
    assert list(stored["settings"]) == ["InterRVOS-Actor", "InterRVOS-Target", "RVOS"]
    for one in stored["settings"].values():
        assert 0 < one["J"] < 100
        assert one["J&F"] == pytest.approx((one["J"] + one["F"]) / 2, abs=1e-12)
        low, high = one["intervals"]["J&F"]
        assert low < one["J&F"] < high


def test_the_digest_seals_scores_and_nothing_else(result: Result) -> None:
    assert sealed(result) == result
    elsewhere = dataclasses.replace(result, provenance={"machine": "another"}, files={"a": "b"})
    assert sealed(elsewhere).scores_digest == result.scores_digest
    settings = dict(result.settings)
    settings["RVOS"] = dataclasses.replace(settings["RVOS"], j=99.0)
    assert sealed(dataclasses.replace(result, settings=settings)).scores_digest != result.scores_digest


def test_the_digest_survives_reading_the_json_back(result: Result) -> None:
    assert scores_digest(json.loads(json.dumps(to_json(result)))) == result.scores_digest


def test_every_block_is_sealed_or_named_as_not(result: Result) -> None:
    unsealed = {"scores_digest", "adapter", "cost", "files", "provenance"}
    assert set(to_json(result)) == unsealed | set(SEALED)
