"""visa: a stand-in checkout with the real command lines and layouts, run in real processes."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapters.__main__ import main
from adapters.visa import Visa
from benchmark.adapter import Adapter, load_adapter
from benchmark.errors import AdapterError
from benchmark.frames import FrameArray
from benchmark.masks import decode_track
from benchmark.predictions import open_predictions
from benchmark.types import MaskTrack, Prediction, Query, Role, Status
from tests.adapters.toy_checkouts import write_visa
from tests.benchmark.scripted_adapter import run
from tests.benchmark.tiny_clips import tiny_dataset

FRAMES = FrameArray(np.random.default_rng(0).integers(0, 255, (4, 20, 30, 3), np.uint8))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return write_visa(tmp_path / "VISA")


@pytest.fixture
def sampler_port() -> Iterator[str]:
    """Somebody listens there; the stand-in's client does not talk to it."""
    with socket.create_server(("localhost", 0)) as server:
        yield str(server.getsockname()[1])


def made(checkout: Path, **options: str) -> Adapter:
    named = {"checkout": str(checkout), "python": sys.executable, "log": str(checkout.parent / "log")}
    return load_adapter("visa", {"sampler": "middle", **named, **options})


def opened(adapter: Adapter) -> Adapter:
    adapter.load("cuda:1", 0)
    adapter.open_video(FRAMES)
    return adapter


def ask(adapter: Adapter, *sentences: str) -> list[Prediction]:
    return adapter.predict([Query(index, sentence) for index, sentence in enumerate(sentences)])


def rows(answer: Prediction) -> list[int]:
    """How many rows of the corner each frame has."""
    assert answer.status is Status.OK and isinstance(answer.actor, MaskTrack) and answer.target is None
    masks = decode_track(answer.actor)
    assert not masks[:, :, 2:].any()
    return [int(mask[:, 0].sum()) for mask in masks]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_all_stages_answer_all_sentences_of_a_video(checkout: Path, sampler_port: str) -> None:
    before = files_of(checkout)
    adapter = opened(made(checkout, sampler="llama-vid", sampler_port=sampler_port))
    # Six sentences, so that two fall into one of the tracker's four parts.
    sentences = ("early", "late", "nothing", "the child", "a dog", "a cat")
    answers = ask(adapter, *sentences)
    expected = [[1] * 4, [4] * 4, [0] * 4, [3] * 4, [3] * 4, [3] * 4]
    assert [rows(answer) for answer in answers] == expected
    adapter.close_video()
    adapter.unload()
    log = (checkout.parent / "log").read_text()
    assert log.count("toy VISA /lisa 0 1 1\n") == 1
    weights = checkout / "weights" / "XMem.pth"
    for part in range(4):
        for direction in ("forth", "back"):
            assert log.count(f"toy XMem {weights} {part} {direction}\n") == 1
    assert files_of(checkout) == before  # not a byte of the checkout has changed
    with pytest.raises(AdapterError, match="the model is not loaded"):
        ask(adapter, "the child")


def test_without_a_tracker_every_frame_keeps_its_own_mask(checkout: Path) -> None:
    (checkout / "weights" / "XMem.pth").unlink()
    adapter = opened(made(checkout, tracker="none", sampler="llama-vid", sampler_port="1"))
    assert rows(ask(adapter, "the child")[0]) == [1, 2, 3, 4]
    assert "toy XMem" not in (checkout.parent / "log").read_text()


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (
            "die",
            Status.ERROR,
            "VISA's train_ds.py ended with exit code 1: RuntimeError: no kernel image is available",
        ),
        ("memory", Status.OUT_OF_MEMORY, "exit code 1: RuntimeError: CUDA out of memory"),
        ("garbage", Status.ERROR, "VISA's train_ds.py wrote a damaged mask"),
        ("no masks", Status.ERROR, "VISA's train_ds.py wrote no mask of its target frame, 00002.png"),
        (
            "no sampler",
            Status.ERROR,
            "VISA's llamavid_client.py ended with exit code 1: AssertionError: Connection refused",
        ),
        ("beyond", Status.ERROR, "VISA's llamavid_client.py wrote a place outside the video: 7"),
        ("text", Status.ERROR, "VISA's llamavid_client.py wrote no percentages: ValueError"),
        ("no tracker", Status.ERROR, "VISA's XMem/eval.py ended with exit code 1: RuntimeError: XMem.pth is"),
    ],
)
def test_misbehaviour_fails_a_sentence(
    checkout: Path, sampler_port: str, words: str, status: Status, message: str
) -> None:
    adapter = opened(made(checkout, sampler="llama-vid", sampler_port=sampler_port))
    (answer,) = ask(adapter, words)
    assert answer.status is status and message in str(answer.message), answer


@pytest.mark.parametrize("words", ["garbage", "no masks"])
def test_masks_that_no_tracker_looks_at_first(checkout: Path, words: str) -> None:
    (answer,) = ask(opened(made(checkout, tracker="none")), words)
    expected = "not a readable PNG" if words == "garbage" else "4 of 4 frames have no mask"
    assert answer.status is Status.ERROR and expected in str(answer.message)


def test_a_program_that_hangs(checkout: Path) -> None:
    (answer,) = ask(opened(made(checkout, timeout="3")), "hang")
    assert (answer.status, answer.message) == (
        Status.TIMEOUT,
        "no end within 3 seconds; the program was ended",
    )


def test_a_whole_run_asks_again_one_by_one(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unsynced: None
) -> None:
    dataset = tiny_dataset(videos=1)
    first = replace(dataset.videos[0].expressions[0], text="die")
    dataset.videos = (replace(dataset.videos[0], expressions=(first, dataset.videos[0].expressions[1])),)
    adapter = made(checkout, tracker="none")
    monkeypatch.setattr(adapter, "load", lambda device, seed: Visa.load(adapter, "cuda", seed))
    run(adapter, dataset, tmp_path / "out").finish(dataset, None, ("actor",))
    stored = open_predictions(tmp_path / "out", dataset).video("clip0")
    assert [one.status for one in stored.values()] == [Status.ERROR, Status.OK]


def test_what_is_missing_is_said_before_the_run(tmp_path: Path, checkout: Path) -> None:
    nowhere = tmp_path / "nowhere"
    with pytest.raises(AdapterError) as caught:
        load_adapter("visa", {"checkout": str(nowhere)}).load("cpu", 0)
    said = str(caught.value)
    assert "visa cannot run: 9 problems" in said and "git clone https://github.com/cilinyan/VISA" in said
    for name in ("train_ds.py", "XMem/eval.py", "weights/hf_model/config.json", "weights/XMem.pth"):
        assert f"{nowhere}/{name}: a file is missing" in said
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    adapter = made(checkout, sampler="llama-vid", sampler_port=str(port))
    pattern = rf"sampler_port={port}: the frame sampler does not answer.*llamavid_server.py"
    with pytest.raises(AdapterError, match=pattern):
        adapter.load("cuda", 0)


def test_facts_and_doctor(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = made(checkout, sampler="llama-vid").info()
    middle, bare = made(checkout).info(), made(checkout, tracker="none").info()
    assert not drawn.deterministic and middle.deterministic and drawn.roles == (Role.ACTOR,)
    assert "LLaMA-VID names" in str(drawn.frame_policy) and "XMem" not in bare.base_models
    assert "revos:train" in drawn.trained_on and drawn.weights_digest is not None
    named = [f"checkout={checkout}", f"python={sys.executable}", "sampler=middle"]
    assert main(["doctor", "visa", *(word for one in named for word in ("--option", one))]) == 1
    said = capsys.readouterr().out
    assert f"ok       file {checkout}/train_ds.py" in said and "MISSING  package torch ==1.13.1" in said
    assert f"{sys.executable} -m pip install 'transformers==4.31.0'" in said
    assert "weights openai/clip-vit-large-patch14" in said and "GPU with" in said
