"""videolisa: a stand-in checkout with the real command line, run in a real process."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapters.__main__ import main
from adapters.parts.original_program import weights_gib
from adapters.videolisa import VideoLisa
from benchmark.adapter import Adapter, load_adapter
from benchmark.errors import AdapterError, UsageError
from benchmark.frames import FrameArray
from benchmark.masks import decode_track
from benchmark.predictions import open_predictions
from benchmark.types import MaskTrack, Prediction, Query, Role, Status
from tests.adapters.toy_checkouts import write_videolisa
from tests.benchmark.scripted_adapter import run
from tests.benchmark.tiny_clips import tiny_dataset

FRAMES = FrameArray(np.random.default_rng(0).integers(0, 255, (3, 20, 30, 3), np.uint8))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return write_videolisa(tmp_path / "VideoLISA")


def made(checkout: Path, **options: str) -> Adapter:
    named = {"checkout": str(checkout), "python": sys.executable, "log": str(checkout.parent / "log")}
    return load_adapter("videolisa", {**named, **options})


def opened(adapter: Adapter, device: str = "cuda") -> Adapter:
    adapter.load(device, 0)
    adapter.open_video(FRAMES)
    return adapter


def ask(adapter: Adapter, *sentences: str) -> list[Prediction]:
    return adapter.predict([Query(index, sentence) for index, sentence in enumerate(sentences)])


def corner(columns: int) -> np.ndarray:
    """What the stand-in writes: a corner that grows by a row a frame."""
    masks = np.zeros((3, 20, 30), bool)
    for frame in range(3):
        masks[frame, : frame + 1, :columns] = True
    return masks


@pytest.mark.parametrize("older", [False, True])
def test_one_start_answers_all_sentences_of_a_video(tmp_path: Path, older: bool) -> None:
    checkout = write_videolisa(tmp_path / "VideoLISA", older)
    adapter = opened(made(checkout, sparse_frames="7"), "cuda:1")
    phrase, question = ask(adapter, "the child", "Who runs?")
    for answer, columns in ((phrase, 2), (question, 5)):
        assert (answer.status, answer.message) == (Status.OK, None)
        assert isinstance(answer.actor, MaskTrack) and answer.target is None
        assert np.array_equal(decode_track(answer.actor), corner(columns))
    adapter.close_video()
    adapter.unload()
    log = (tmp_path / "log").read_text()
    assert log.count("toy VideoLISA ZechenBai/VideoLISA-3.8B 7 4\n") == 1 and "gpu 1\n" in log
    with pytest.raises(AdapterError, match="the model is not loaded"):
        ask(adapter, "the child")


def test_a_gpu_that_a_queue_assigned(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    ask(opened(made(checkout), "cuda:1"), "the child")
    assert "gpu 6\n" in (checkout.parent / "log").read_text()


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("die", Status.ERROR, "VideoLISA ended with exit code 1: RuntimeError: flash-attn is not installed"),
        ("memory", Status.OUT_OF_MEMORY, "exit code 1: RuntimeError: CUDA out of memory"),
        ("killed", Status.ERROR, "VideoLISA was ended by signal 9: "),
        ("garbage", Status.ERROR, "not a readable PNG"),
        ("small", Status.ERROR, "wrong mask size"),
        ("few", Status.ERROR, "1 of 3 frames have no mask; expected 00001.png"),
    ],
)
def test_misbehaviour_fails_a_sentence(checkout: Path, words: str, status: Status, message: str) -> None:
    adapter = opened(made(checkout))
    (answer,) = ask(adapter, words)
    assert answer.status is status and message in str(answer.message), answer
    (after,) = ask(adapter, "the child")
    assert after.status is Status.OK


def test_a_program_that_hangs(checkout: Path) -> None:
    (answer,) = ask(opened(made(checkout, timeout="3")), "hang")
    assert answer.status is Status.TIMEOUT
    assert answer.message == "no end within 3 seconds; the program was ended"
    (line,) = [one for one in (checkout.parent / "log").read_text().splitlines() if "process" in one]
    process = Path("/proc") / line.split()[1]
    # What the job had started goes, too. A killed process needs the processor once more, which may be busy.
    until = time.monotonic() + 60
    while not is_gone(process) and time.monotonic() < until:
        time.sleep(0.05)
    assert is_gone(process)


def is_gone(process: Path) -> bool:
    """Whether a process has ended; it may still wait to be collected."""
    try:
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def test_a_whole_run_asks_again_one_by_one(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unsynced: None
) -> None:
    dataset = tiny_dataset(videos=1)
    first = replace(dataset.videos[0].expressions[0], text="die")
    clip = replace(dataset.videos[0], expressions=(first, *dataset.videos[0].expressions[1:3]))
    dataset.videos = (clip,)
    adapter = made(checkout)
    monkeypatch.setattr(adapter, "load", lambda device, seed: VideoLisa.load(adapter, "cuda", seed))
    run(adapter, dataset, tmp_path / "out").finish(dataset, None, ("actor",))
    stored = open_predictions(tmp_path / "out", dataset).video("clip0")
    statuses = [one.status for one in stored.values()]
    assert statuses == [Status.ERROR, Status.OK, Status.OK]


def test_what_is_missing_is_said_before_the_run(tmp_path: Path, checkout: Path) -> None:
    nowhere = tmp_path / "nowhere"
    adapter = load_adapter("videolisa", {"checkout": str(nowhere), "weights": "/no/weights"})
    with pytest.raises(AdapterError) as caught:
        adapter.load("cpu", 0)
    said = str(caught.value)
    assert "videolisa cannot run: 4 problems" in said
    assert f"--option python={nowhere}/.venv/bin/python: the interpreter does not exist" in said
    assert f"git clone https://github.com/showlab/VideoLISA {nowhere}" in said
    assert "/no/weights/config.json: a file is missing" in said
    assert "--device cpu: the repository's code runs on a GPU alone" in said
    with pytest.raises(AdapterError, match="--device cpu: the repository's code runs on a GPU alone"):
        made(checkout).load("cpu", 0)
    with pytest.raises(UsageError, match="--option dense_frames=0: too few"):
        made(checkout, dense_frames="0")


def test_a_program_that_cannot_be_started(checkout: Path) -> None:
    python = checkout / "python"
    python.write_text("no program")
    python.chmod(0o755)
    (answer,) = ask(opened(made(checkout, python=str(python))), "the child")
    assert answer.status is Status.ERROR and "VideoLISA cannot be started: " in str(answer.message)


def test_facts_and_doctor(checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    adapter = made(checkout)
    info = adapter.info()
    assert info.revision == "a" * 40 and info.roles == (Role.ACTOR,) and "mevis:train" in info.trained_on
    git = checkout / ".git"
    (git / "refs" / "heads" / "main").unlink()
    assert adapter.info().revision is None
    (git / "packed-refs").write_text("# pack-refs\n" + "b" * 40 + " refs/heads/main\n")
    assert adapter.info().revision == "b" * 40
    (git / "HEAD").write_text("c" * 40 + "\n")
    assert adapter.info().revision == "c" * 40
    weights = tmp_path / "weights"
    weights.mkdir()
    assert weights_gib(weights) is None
    (weights / "model.safetensors").write_bytes(bytes(1 << 20))
    assert weights_gib(weights) == 1 / 1024
    assert made(checkout, weights=str(weights)).requirements().gpu_memory_gib == 1 / 1024
    options = ["--option", f"checkout={tmp_path / 'nowhere'}", "--option", f"weights={weights}"]
    assert main(["doctor", "videolisa", *options]) == 1
    said = capsys.readouterr().out
    assert f"MISSING  file {tmp_path}/nowhere/evaluation/reason_vos/inference_reason_vos.py" in said
    assert "does not answer: FileNotFoundError" in said and f"ok       weights {weights}" in said
    assert "flash-attn --no-build-isolation" in said
