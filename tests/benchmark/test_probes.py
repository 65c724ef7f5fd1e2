"""The language panel from the command line to its file: models that listen and models that do not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import benchmark
from adapters import centre_box, oracle
from benchmark.adapter import Adapter
from benchmark.datasets.synthetic import HEIGHT, WIDTH, write_split
from benchmark.errors import OutputError, ResultError, UsageError
from benchmark.evaluate import main
from benchmark.probe_files import probe_schema, read_panel, write_panel
from benchmark.probes import format_panel
from benchmark.types import AdapterInfo, Prediction, Query, Role
from tests.benchmark.small_release import write_release

SCHEMA = Path(benchmark.__file__).parent / "probe.schema.json"
ME = "tests.benchmark.test_probes"
CLIPS = 5


class Failing(Adapter):
    """Answers with every pixel, except that it breaks on sentences that contain a word; an actor alone."""

    uses_device = False
    max_queries = 1

    def __init__(self, word: str) -> None:
        self.word = word

    def info(self) -> AdapterInfo:
        return AdapterInfo(name="failing", version="1", roles=(Role.ACTOR,))

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        if self.word in queries[0].expression:
            raise ValueError("no")
        return [Prediction(actor=np.ones((len(self._frames), self._frames.height, self._frames.width), bool))]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_split(tmp_path_factory.mktemp("clips"), "val", CLIPS).parent


def run(data: Path, output: Path, *more: str, adapter: str = "oracle") -> None:
    main(["--adapter", adapter, "--data-root", str(data), "--output", str(output), "--probe", *more])


def rows(output: Path) -> dict[tuple[str, str], dict[str, Any]]:
    stored = json.loads((output / "probe.json").read_bytes())
    return {(row["probe"], row["role"]): row for row in stored["rows"]}


def test_one_who_knows_the_truth_follows_every_sentence(
    data: Path, tmp_path: Path, unsynced: None, capsys: pytest.CaptureFixture[str]
) -> None:
    run(data, tmp_path)
    found = rows(tmp_path)
    assert len(found) == 5
    for row in found.values():
        assert row["first_percent"] == 100.0
        assert row["second_percent"] < 25
        assert row["difference"]["interval"][0] > 0
        assert row["expressions"] <= row["of"]
    assert found["impossible", "actor"]["second_percent"] == 0.0
    assert found["paraphrase", "actor"]["same_answer"] == 100.0
    assert found["roles_swapped", "actor"]["same_answer"] == 0.0
    out = capsys.readouterr().out
    assert "language probes:" in out and f"probes: {tmp_path / 'probe.json'}" in out
    assert max(len(line) for line in out.split("beside those of the run")[1].splitlines()[:-1]) <= 100
    assert (tmp_path / "result.json").is_file()


def test_one_who_does_not_listen_differs_nowhere(data: Path, tmp_path: Path, unsynced: None) -> None:
    run(data, tmp_path, adapter="centre_box")
    for row in rows(tmp_path).values():
        assert row["difference"]["difference"] == pytest.approx(0, abs=1e-9)
        assert row["difference"]["tie"]
        assert row["same_answer"] == 100.0


def test_a_second_run_asks_nothing_and_says_the_same(
    data: Path, tmp_path: Path, unsynced: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(data, tmp_path, adapter="centre_box")
    before = (tmp_path / "probe.json").read_bytes()
    monkeypatch.setattr(centre_box.CentreBox, "predict", None)
    run(data, tmp_path, adapter="centre_box")
    assert (tmp_path / "probe.json").read_bytes() == before


def test_a_finished_run_is_asked_the_other_sentences_alone(
    data: Path, tmp_path: Path, unsynced: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ["--adapter", "oracle", "--data-root", str(data), "--output", str(tmp_path)]
    main(plain)
    asked: list[str] = []
    answer = oracle.Oracle.predict

    def listen(self: Any, queries: Sequence[Query]) -> list[Prediction]:
        asked.extend(query.expression for query in queries)
        return answer(self, queries)

    monkeypatch.setattr(oracle.Oracle, "predict", listen)
    run(data, tmp_path)
    beside = json.loads((tmp_path / "probe.json").read_bytes())["asked_beside"]
    assert len(asked) == beside == len(list(_stored(tmp_path / "probe")))
    main([*plain, "--restart"])
    assert not list(_stored(tmp_path / "probe")), "what is thrown away includes the probes"


def test_a_stopped_run_goes_on_with_the_first_sentence_without_an_answer(
    data: Path, tmp_path: Path, unsynced: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, calls = centre_box.CentreBox.predict, []

    def stop_at(last: int) -> None:
        def predict(self: Any, queries: Sequence[Query]) -> list[Prediction]:
            calls.append([query.expression for query in queries])
            if len(calls) == last:
                raise KeyboardInterrupt
            return answer(self, queries)

        monkeypatch.setattr(centre_box.CentreBox, "predict", predict)

    # One call per video: the second of the videos that are probed is never answered.
    stop_at(CLIPS + 2)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path, adapter="centre_box")
    assert not (tmp_path / "probe.json").exists() and not (tmp_path / "result.json").exists()
    stopped = calls.copy()
    calls.clear()
    stop_at(0)
    run(data, tmp_path, adapter="centre_box")
    assert len(calls) == CLIPS - 1 and calls[0] == stopped[-1]
    assert len(rows(tmp_path)) == 5


def test_shards_share_an_output_and_the_last_one_scores(data: Path, tmp_path: Path, unsynced: None) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(data, whole, adapter="centre_box")
    for number in (1, 2, 3):
        assert not (parts / "probe.json").exists()
        run(data, parts, "--shard", f"{number}/3", adapter="centre_box")
    assert rows(parts) == rows(whole)


def test_a_failed_answer_never_helps(data: Path, tmp_path: Path, unsynced: None) -> None:
    run(data, tmp_path, "--option", "word=object", adapter=f"{ME}:Failing")
    found = rows(tmp_path)
    assert ("roles_swapped", "target") not in found, "it answers no targets"
    impossible = found["impossible", "actor"]
    assert impossible["failed"] > 0
    assert impossible["second_percent"] == 100.0, "silence by failure is no abstention"
    assert impossible["first_percent"] < 100.0
    assert found["paraphrase", "actor"]["first_percent"] < 100.0
    assert "failed answer" in format_panel(read_panel(tmp_path / "probe.json"))


def test_a_dataset_without_partners_says_so(tmp_path: Path, unsynced: None) -> None:
    root = write_release(tmp_path / "data" / "val").parent
    run(root, tmp_path / "out", "--dataset", "interrvos")
    row = rows(tmp_path / "out")["roles_swapped", "actor"]
    assert (row["expressions"], row["of"], row["first_percent"], row["difference"]) == (0, 1, None, None)
    shown = format_panel(read_panel(tmp_path / "out" / "probe.json")).splitlines()
    assert next(line for line in shown if line.startswith("roles swapped, actor")).split()[-3:] == [
        "0",
        "of",
        "1",
    ]


def test_stored_answers_cannot_be_probed(data: Path, tmp_path: Path, unsynced: None) -> None:
    masks = _png_tree(data, tmp_path / "png")
    with pytest.raises(UsageError, match="stored answers cannot be asked other sentences"):
        run(data, tmp_path / "b", "--option", f"path={masks}", adapter="precomputed")


def test_a_panel_is_not_overwritten_by_another(data: Path, tmp_path: Path, unsynced: None) -> None:
    run(data, tmp_path)
    path = tmp_path / "probe.json"
    panel = read_panel(path)
    assert write_panel(replace(panel, provenance={"other": 1}), tmp_path) == path
    assert read_panel(path) == panel
    other = replace(panel, asked_beside=panel.asked_beside + 1)
    with pytest.raises(OutputError, match="another language panel lies here"):
        write_panel(other, tmp_path)
    write_panel(other, tmp_path, replace=True)
    assert read_panel(path) == other


def test_a_limited_panel_is_replaced(data: Path, tmp_path: Path, unsynced: None) -> None:
    run(data, tmp_path, "--limit", "3")
    assert read_panel(tmp_path / "probe.json").limit == 3
    run(data, tmp_path)
    assert read_panel(tmp_path / "probe.json").limit is None


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "not a readable language panel"),
        pytest.param("[" * 100_000, "not a readable language panel", id="deep"),
        ("[]", "another schema version"),
        ('{"schema_version": 2}', "another schema version"),
        ('{"schema_version": 1}', "not a valid language panel"),
    ],
)
def test_damaged_panels(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "probe.json").write_text(content)
    with pytest.raises(ResultError, match=sentence):
        read_panel(tmp_path / "probe.json")


def test_the_published_schema_is_fresh_and_fits(data: Path, tmp_path: Path, unsynced: None) -> None:
    assert SCHEMA.read_text(encoding="utf-8") == probe_schema(), (
        "write benchmark.probe_files.probe_schema() to benchmark/probe.schema.json"
    )
    schema = json.loads(SCHEMA.read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    run(data, tmp_path, "--limit", "4")
    jsonschema.validate(json.loads((tmp_path / "probe.json").read_bytes()), schema)


def _stored(output: Path) -> list[str]:
    """Every stored answer in an output folder."""
    files = sorted((output / "predictions" / "videos").glob("*.jsonl"))
    heads = [json.loads(file.read_text().splitlines()[0]) for file in files]
    return [query["expression_id"] for head in heads for query in head["queries"]]


def _png_tree(data: Path, folder: Path) -> Path:
    """One mask of one expression, as others write it."""
    from PIL import Image

    video = sorted((data / "val" / "JPEGImages").iterdir())[0]
    place = folder / video.name / "0"
    place.mkdir(parents=True)
    for frame in sorted(video.iterdir()):
        Image.new("L", (WIDTH, HEIGHT), 255).save(place / f"{frame.stem}.png")
    return folder
