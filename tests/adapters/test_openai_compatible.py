"""openai-compatible: a server on this machine for the words, a tiny SAM2 for the masks."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from adapters.__main__ import main
from benchmark.adapter import Adapter, load_adapter
from benchmark.errors import AdapterError, RefereeError, UsageError
from benchmark.frames import FrameArray
from benchmark.masks import empty_track
from benchmark.predictions import open_predictions
from benchmark.types import MaskTrack, Prediction, Query, Status
from tests.adapters.local_endpoint import LocalEndpoint, Reply, local_endpoint, says
from tests.adapters.tiny_checkpoints import write_sam2
from tests.benchmark.scripted_adapter import run
from tests.benchmark.tiny_clips import tiny_dataset

FRAMES = FrameArray(np.random.default_rng(0).integers(0, 255, (6, 60, 90, 3), np.uint8))
KEY = "sk-very-secret-7"
HALF = json.dumps({"frame": 2, "actor": [[0, 0, 500, 500]], "target": None})
Serve = Callable[..., LocalEndpoint]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as open_servers:
        yield lambda *replies: open_servers.enter_context(local_endpoint(replies))


@pytest.fixture(scope="module")
def sam2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_sam2(tmp_path_factory.mktemp("sam2"))


@pytest.fixture
def make(sam2: Path, tmp_path: Path) -> Callable[..., Adapter]:
    def made(endpoint: LocalEndpoint, **options: str) -> Adapter:
        named = {
            "url": endpoint.url,
            "model": "m",
            "sam2": str(sam2),
            "frames": "2",
            "cache": str(tmp_path / "cache"),
        }
        return load_adapter("openai-compatible", {**named, **options})

    return made


def ask(adapter: Adapter, *sentences: str) -> list[Prediction]:
    adapter.load("cpu", 0)
    adapter.open_video(FRAMES)
    answers = adapter.predict([Query(index, sentence) for index, sentence in enumerate(sentences)])
    adapter.close_video()
    return answers


def picture(endpoint: LocalEndpoint) -> Image.Image:
    """The second picture of the first request."""
    url = endpoint.bodies[0]["messages"][0]["content"][3]["image_url"]["url"]
    assert url.startswith("data:image/jpeg;base64,")
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


def test_a_question_and_its_answer(serve: Serve, make: Callable[..., Adapter]) -> None:
    endpoint = serve(says(f"```json\n{HALF}\n```"))
    adapter = make(endpoint)
    (answer,) = ask(adapter, "the child")
    assert answer.status is Status.OK and answer.target is None and answer.frames_used == (1, 4)
    assert isinstance(answer.actor, MaskTrack) and len(answer.actor) == 6 and not answer.actor.is_empty
    (body,) = endpoint.bodies
    assert {**body, "messages": None} == {
        "model": "m",
        "messages": None,
        "max_tokens": 512,
        "temperature": 0.0,
    }
    kinds = [part["type"] for part in body["messages"][0]["content"]]
    assert kinds == ["text", "image_url", "text", "image_url", "text"]
    assert body["messages"][0]["content"][2]["text"] == "Frame 2:"
    assert '"the child"' in str(answer.prompt) and answer.prompt == body["messages"][0]["content"][4]["text"]
    sent = np.asarray(picture(endpoint)).astype(int)
    assert sent.shape == (60, 90, 3) and np.abs(sent - FRAMES.frame(4)).mean() < 12
    assert not adapter.info().deterministic


def test_pictures_are_sent_at_the_size_that_answers_are_measured_in(
    serve: Serve, make: Callable[..., Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = serve(says('{"frame": 1, "actor": [[0, 0, 42, 28]], "target": null}'))
    adapter = make(endpoint, coordinates="pixels", limit_name="max_completion_tokens", temperature="none")
    asked: list[object] = []
    adapter.load("cpu", 0)
    tracker = adapter._tracker  # type: ignore[attr-defined]
    monkeypatch.setattr(tracker, "track", lambda boxes: asked.extend(boxes) or [empty_track(6, 60, 90)])
    adapter.open_video(FRAMES)
    adapter.predict([Query(0, "x")])
    assert picture(endpoint).size == (84, 56)
    (box,) = asked
    assert (box.right, box.bottom) == pytest.approx((45, 30))  # type: ignore[attr-defined]
    assert "in pixels of the picture" in endpoint.bodies[0]["messages"][0]["content"][4]["text"]
    assert "temperature" not in endpoint.bodies[0] and endpoint.bodies[0]["max_completion_tokens"] == 512
    small = serve(says("{}"))
    ask(make(small, picture_side="30"), "x")
    assert picture(small).size == (30, 20)


def test_each_way_to_fail_is_recorded_for_its_query(serve: Serve, make: Callable[..., Adapter]) -> None:
    endpoint = serve(
        says(HALF),
        Reply(500, "down"),
        says("no idea"),
        Reply(body="<html>"),
        says('{"actor": null}'),
        Reply(hang=True),
    )
    answers = ask(make(endpoint, retries="0", timeout="0.5"), *"abcdef")
    assert [one.status.value for one in answers] == [
        "ok",
        "error",
        "parse_error",
        "error",
        "abstain",
        "timeout",
    ]
    assert [one.actor is not None for one in answers] == [True, False, False, False, False, False]
    assert answers[1].message == "the endpoint answered HTTP 500: down" and answers[1].text is None
    assert answers[2].text == "no idea" and "no JSON" in str(answers[2].message)


def test_a_run_is_taken_up_again_without_asking_twice_and_never_shows_the_key(
    serve: Serve,
    make: Callable[..., Adapter],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    unsynced: None,
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    dataset = tiny_dataset(videos=1)
    queries = sum(len(video.expressions) for video in dataset.videos)
    endpoint = serve(says(HALF, prompt_tokens=100, completion_tokens=10))
    prices = {"key_variable": "MY_KEY", "price_in": "10", "price_out": "100"}
    first = make(endpoint, **prices)
    run(first, dataset, tmp_path / "one").finish(dataset, None, ("actor",))
    assert len(endpoint.bodies) == queries
    assert all(sent["Authorization"] == f"Bearer {KEY}" for sent in endpoint.headers)
    first.unload()
    cost = queries * (100 * 10 + 10 * 100) / 1e6
    assert f"endpoint: {queries} requests, 0 answers from the cache" in capsys.readouterr().err
    (spent,) = (tmp_path / "cache" / "spent").iterdir()
    assert json.loads(spent.read_text())["cost"] == pytest.approx(cost)
    again = make(endpoint, **prices, retries="7")
    run(again, dataset, tmp_path / "two").finish(dataset, None, ("actor",))
    assert len(endpoint.bodies) == queries
    run(make(endpoint, requests_per_minute="9"), dataset, tmp_path / "one")  # may change: nothing is refused
    stored = [open_predictions(tmp_path / name, dataset).video("clip0") for name in ("one", "two")]
    assert {key: one.actor for key, one in stored[0].items()} == {
        k: one.actor for k, one in stored[1].items()
    }
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path


def test_a_budget_stops_the_run(serve: Serve, make: Callable[..., Adapter]) -> None:
    endpoint = serve(says(HALF, prompt_tokens=1_000_000))
    adapter = make(endpoint, price_in="1", price_out="1", max_cost="2")
    with pytest.raises(
        AdapterError, match=r"max_cost=2: this run has cost what it may; found 2\.0000 after 2"
    ):
        ask(adapter, "a", "b", "c")
    assert len(endpoint.bodies) == 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"frames": "0"}, "--option frames=0: too few"),
        ({"timeout": "0"}, "--option timeout: too small; expected above 0"),
        ({"retries": "-1"}, "--option retries: too small; expected 0 or more"),
        ({"requests_per_minute": "nan"}, "--option requests_per_minute: too small"),
        ({"max_cost": "5"}, "--option max_cost: a limit of cost needs prices"),
        ({"url": "http://gpu-7/v1", "key_variable": "MY_KEY"}, "the key would travel unencrypted"),
        ({"coordinates": "feet"}, "the value is not one of the choices"),
    ],
)
def test_options_that_make_no_sense(
    serve: Serve, make: Callable[..., Adapter], options: dict[str, str], sentence: str
) -> None:
    with pytest.raises(RefereeError, match=sentence):
        make(serve(says("")), **options)


def test_what_is_missing_is_said_before_the_run(
    serve: Serve,
    make: Callable[..., Adapter],
    sam2: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    adapter = make(serve(says("")), key_variable="MY_KEY")
    with pytest.raises(AdapterError, match="there is no key"):
        adapter.load("cpu", 0)
    with pytest.raises(AdapterError, match="the model is not loaded"):
        adapter.predict([Query(0, "x")])
    with pytest.raises(UsageError, match="needs option 'model'"):
        load_adapter("openai-compatible")
    words = ["doctor", "openai-compatible", "--option", "model=m", "--option", f"sam2={sam2}"]
    assert main(words) == 0
    assert main([*words, "--option", "key_variable=MY_KEY"]) == 1
    assert "MISSING  variable MY_KEY: not set" in capsys.readouterr().out
