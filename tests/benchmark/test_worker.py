"""The worker: an adapter behind JSON lines, without a process around it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.errors import AdapterError, DatasetError
from benchmark.types import Prediction, Query
from benchmark.worker import Worker, serve
from tests.benchmark.scripted_adapter import Scripted, raising


@pytest.fixture
def job(tmp_path: Path) -> dict[str, Any]:
    frames, masks = tmp_path / "frames", tmp_path / "masks"
    frames.mkdir()
    masks.mkdir()
    for index in range(2):
        Image.new("RGB", (8, 6)).save(frames / f"{index:05d}.jpg")
    query = {"index": 0, "expression": "somebody", "roles": ["actor", "target"]}
    return {
        "type": "job",
        "job": 4,
        "video": 1,
        "frames": str(frames),
        "masks": str(masks),
        "queries": [query],
    }


def answers_to(adapter: Scripted, *messages: Any) -> list[dict[str, Any]]:
    out = io.StringIO()
    lines = [message if isinstance(message, str) else json.dumps(message) for message in messages]
    serve(Worker(adapter, "scripted"), io.StringIO("\n".join(lines) + "\n"), out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_conversation(job: dict[str, Any]) -> None:
    adapter = Scripted()
    hello = {"type": "hello", "protocol": 1, "device": "cpu", "seed": 3}
    again = {**job, "job": 5, "queries": job["queries"] * 2}
    ready, first, second, third = answers_to(adapter, hello, job, "", again, {**job, "video": 2})
    assert (ready["type"], ready["name"], ready["roles"]) == ("ready", "scripted", ["actor", "target"])
    assert (first["type"], first["job"]) == ("answer", 4) and third["type"] == "answer"
    answer = first["answers"][0]
    assert (answer["index"], answer["text"], answer["target"]) == (0, "SOMEBODY", None)
    written = json.loads((Path(job["masks"]) / answer["actor"]).read_text())
    assert written["size"] == [6, 8] and len(written["counts"]) == 2 and written["counts"][1] is None
    assert len(second["answers"]) == 2 and len(adapter.asked) == 3 and not adapter.open


def test_a_failed_job_is_answered_with_its_reason(job: dict[str, Any]) -> None:
    class TooFew(Scripted):
        def answer(self, expression: str) -> Prediction:
            return Prediction(actor=np.ones((1, 6, 8), bool))

    acts = {"somebody": raising(MemoryError("no more"))}
    failed, fine = answers_to(
        Scripted(acts), job, {**job, "queries": [{**job["queries"][0], "expression": "b"}]}
    )
    assert failed == {
        "type": "failed",
        "job": 4,
        "status": "out_of_memory",
        "message": "MemoryError: no more",
    }
    assert fine["type"] == "answer"
    (broken,) = answers_to(TooFew(), job)
    assert broken["status"] == "error" and "masks have the wrong shape" in broken["message"]
    (gone,) = answers_to(Scripted({"open_video": raising(DatasetError("frame file is missing"))}), job)
    assert "frame file is missing" in gone["message"]


def test_loading_that_fails(job: dict[str, Any]) -> None:
    class Broken(Scripted):
        def load(self, device: str, seed: int) -> None:
            raise OSError("no weights here")

    (answer,) = answers_to(Broken(), {"type": "hello", "protocol": 1})
    assert answer["type"] == "failed" and "OSError: no weights here" in answer["message"]


@pytest.mark.parametrize(
    ("line", "pattern"),
    [
        ("{", "not a JSON line"),
        ("[]", "not a JSON object"),
        ('{"type": "hello", "protocol": 9}', "not a message of this protocol"),
        ('{"type": "song"}', "not a message of this protocol"),
    ],
)
def test_lines_that_make_no_sense(line: str, pattern: str) -> None:
    with pytest.raises(AdapterError, match=pattern):
        answers_to(Scripted(), line)


def test_calls_are_no_larger_than_the_adapter_allows(job: dict[str, Any]) -> None:
    class OneByOne(Scripted):
        max_queries = 1

    adapter = OneByOne()
    queries = [{**job["queries"][0], "index": index} for index in range(3)]
    (answer,) = answers_to(adapter, {**job, "queries": queries})
    assert [len(asked) for asked in adapter.asked] == [1, 1, 1]
    assert [one["index"] for one in answer["answers"]] == [0, 1, 2]
    assert Query(0, "a").roles
