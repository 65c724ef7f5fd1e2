"""visa-style on tiny random checkpoints of the real classes; only the words are put into their mouths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from adapters.__main__ import main
from adapters.parts.text_guided_frames import global_local_references, share_of_video, target_frame
from adapters.parts.vision_language_chat import PictureChat, Reply
from benchmark.adapter import Adapter, load_adapter
from benchmark.errors import AdapterError, UsageError
from benchmark.frames import FrameArray
from benchmark.predictions import open_predictions
from benchmark.types import Prediction, Query, Role, Status
from tests.adapters.tiny_checkpoints import write_internvl, write_qwen, write_sam2
from tests.benchmark.scripted_adapter import run
from tests.benchmark.tiny_clips import tiny_dataset

FRAMES = FrameArray(np.random.default_rng(0).integers(0, 255, (9, 60, 90, 3), np.uint8))
BOX = '{"actor": [{"bbox_2d": [0, 0, 500, 500]}]}'


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("weights")
    write_qwen(folder / "qwen"), write_internvl(folder / "internvl"), write_sam2(folder / "sam2")
    return folder


def made(weights: Path, model: str = "internvl", **options: str) -> Adapter:
    named = {"model": str(weights / model), "sam2": str(weights / "sam2"), "max_tokens": "4"}
    small = {"answers": "2", "references": "4", "sampler_frames": "2"}
    return load_adapter("visa-style", {**named, **small, **options})


def opened(adapter: Adapter, seed: int = 0) -> Adapter:
    adapter.load("cpu", seed)
    adapter.open_video(FRAMES)
    return adapter


def ask(adapter: Adapter, *sentences: str) -> list[Prediction]:
    return adapter.predict([Query(index, sentence) for index, sentence in enumerate(sentences)])


def says(monkeypatch: pytest.MonkeyPatch, percentages: tuple[str, ...], boxes: str) -> list[str]:
    """Random words name nothing: words are put into the model's mouth; what it was asked comes back."""
    asked = []

    def ask_often(chat: PictureChat, pictures: list[object], words: str, *rest: object) -> tuple[str, ...]:
        asked.append(f"{len(pictures)} pictures: {words}")
        return percentages

    def ask_once(chat: PictureChat, pictures: list[object], words: str, max_tokens: int) -> Reply:
        asked.append(f"{len(pictures)} pictures: {words}")
        return Reply(boxes, ((60, 90),) * len(pictures))

    monkeypatch.setattr(PictureChat, "ask_often", ask_often)
    monkeypatch.setattr(PictureChat, "ask", ask_once)
    return asked


@pytest.mark.parametrize("model", ["qwen", "internvl"])
def test_every_step_is_run_and_random_words_are_parse_errors(weights: Path, model: str) -> None:
    adapter = opened(made(weights, model))
    first, other = ask(adapter, "The child?", "a dog")
    assert first.status is Status.PARSE_ERROR and first.frames_used is not None
    drawn = str(first.text).splitlines()[0].split(" | ")
    shares = [share for share in map(share_of_video, drawn) if share is not None]
    target = target_frame(shares, len(FRAMES))
    assert first.frames_used == (target, *global_local_references(target, len(FRAMES), 4))
    assert str(first.prompt).startswith("To find The child, which percentage mark of the video should I")
    assert "Can you segment the The child?" in str(first.prompt)
    assert adapter.info().parameters is not None
    sampled = [str(one.text).splitlines() for one in (first, other)]
    assert sampled[0] != sampled[1]
    # The draws belong to the sentence and the seed, not to what was asked before.
    (alone,) = ask(adapter, "a dog")
    assert alone.text == other.text
    (reseeded,) = ask(opened(made(weights, model), seed=1), "a dog")
    assert reseeded.text != other.text
    adapter.close_video()
    adapter.unload()
    with pytest.raises(AdapterError, match="the model is not loaded"):
        ask(adapter, "a dog")


def test_the_mean_chooses_the_frame_and_its_box_is_followed_both_ways(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = opened(made(weights, answers="3"))
    followed = []
    tracker = adapter._tracker  # type: ignore[attr-defined]
    real = tracker.track
    monkeypatch.setattr(tracker, "track", lambda boxes: followed.append(boxes) or real(boxes))
    asked = says(monkeypatch, ("50%", "90%", "I cannot tell"), BOX)
    (answer,) = ask(adapter, "the child")
    # (0.5 + 0.9) / 2 of nine frames.
    assert answer.frames_used is not None and answer.frames_used[0] == 6
    (boxes,) = followed
    assert [(one.frame, one.left, one.top, one.right, one.bottom) for one in boxes] == [(6, 0, 0, 45, 30)]
    assert np.array_equal(answer.actor, real(boxes)[0]) and answer.target is None
    assert answer.status is Status.OK
    assert answer.message == "1 of 3 answers of the frame sampler name no percentage"
    assert asked[0].startswith("2 pictures: To find the child") and asked[1].startswith("5 pictures:")
    assert answer.text == f"50% | 90% | I cannot tell\n{BOX}"


def test_the_middle_is_taken_where_no_answer_names_a_percentage(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = opened(made(weights))
    says(monkeypatch, ("maybe", ""), BOX)
    (answer,) = ask(adapter, "the child")
    assert answer.status is Status.OK and answer.frames_used == (4, 2, 3, 5, 6)
    assert answer.message == (
        "2 of 2 answers of the frame sampler name no percentage; the middle of the video was taken"
    )


@pytest.mark.parametrize(
    ("boxes", "status", "message"),
    [
        ('{"actor": null}', Status.ABSTAIN, None),
        (
            '{"frame": 3, "actor": [[0, 0, 9, 9]]}',
            Status.PARSE_ERROR,
            "actor: frame 3 is none of the 1 that were shown",
        ),
        ("Sure, [SEG].", Status.PARSE_ERROR, "the answer holds no JSON about an actor or a target"),
        ('{"target": [[0, 0, 9, 9]]}', Status.PARSE_ERROR, "the answer holds no box of what was asked for"),
    ],
)
def test_answers_without_a_box_on_the_target_frame(
    weights: Path, monkeypatch: pytest.MonkeyPatch, boxes: str, status: Status, message: str | None
) -> None:
    adapter = opened(made(weights))
    says(monkeypatch, ("10%",), boxes)
    (answer,) = ask(adapter, "the child")
    assert (answer.status, answer.message, answer.actor, answer.target) == (status, message, None, None)


def test_a_whole_run(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unsynced: None) -> None:
    dataset = tiny_dataset(videos=1)
    says(monkeypatch, ("0%", "100%"), BOX)
    run(made(weights), dataset, tmp_path).finish(dataset, None, ("actor",))
    stored = open_predictions(tmp_path, dataset).video("clip0")
    assert len(stored) == 5 and {one.status for one in stored.values()} == {Status.OK}
    assert all(one.actor is not None for one in stored.values())


def test_facts_doctor_and_options(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    info = made(weights).info()
    assert info.roles == (Role.ACTOR,) and info.weights_digest is not None
    assert "mean of 2 answers" in str(info.frame_policy) and "4 Global-Local" in str(info.frame_policy)
    named = ["--option", f"model={weights / 'qwen'}", "--option", f"sam2={weights / 'sam2'}"]
    assert main(["doctor", "visa-style", *named]) == 0
    assert main(["doctor", "visa-style", "--option", "model=/no/such/folder"]) == 1
    assert "MISSING  weights /no/such/folder" in capsys.readouterr().out
    for name, least in (("answers", 1), ("sampler_frames", 1), ("max_tokens", 1), ("references", 0)):
        pattern = rf"--option {name}={least - 1}: too few; expected {least} or more"
        with pytest.raises(UsageError, match=pattern):
            made(weights, **{name: str(least - 1)})
