"""mllm-sam2 on tiny random checkpoints of the real classes; only the words are put into their mouths."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from adapters.__main__ import main
from adapters.parts.box_answers import Coordinates
from adapters.parts.box_questions import question, spread_frames
from adapters.parts.checkpoints import folders_digest, requirement
from adapters.parts.vision_language_chat import PictureChat, Reply, known_coordinates
from benchmark.adapter import Adapter, adapter_names, load_adapter
from benchmark.errors import AdapterError, CheckpointError, UsageError
from benchmark.frames import FrameArray
from benchmark.masks import union_tracks
from benchmark.predictions import open_predictions
from benchmark.protocol import load_protocols
from benchmark.score import score_predictions
from benchmark.types import Prediction, Query, Status
from tests.adapters.tiny_checkpoints import write_internvl, write_qwen, write_qwen3, write_sam2
from tests.benchmark.scripted_adapter import run
from tests.benchmark.tiny_clips import tiny_dataset

FRAMES = FrameArray(np.random.default_rng(0).integers(0, 255, (6, 60, 90, 3), np.uint8))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("weights")
    for write in (write_qwen, write_qwen3, write_internvl, write_sam2):
        write(folder / write.__name__.removeprefix("write_"))
    return folder


def made(weights: Path, model: str, **options: str) -> Adapter:
    named = {"model": str(weights / model), "sam2": str(weights / "sam2"), "frames": "2", "max_tokens": "6"}
    return load_adapter("mllm-sam2", {**named, **options})


def opened(adapter: Adapter) -> Adapter:
    adapter.load("cpu", 0)
    adapter.open_video(FRAMES)
    return adapter


def says(monkeypatch: pytest.MonkeyPatch, answers: dict[str, str]) -> None:
    """Random words are no JSON: the model is really asked, then an answer is put in its mouth."""
    real = PictureChat.ask

    def ask(chat: PictureChat, pictures: list[object], words: str, max_tokens: int) -> Reply:
        reply = real(chat, pictures, words, max_tokens)  # type: ignore[arg-type]
        return Reply(next(text for key, text in answers.items() if f'"{key}"' in words), reply.sizes)

    monkeypatch.setattr(PictureChat, "ask", ask)


def ask(adapter: Adapter, *sentences: str) -> list[Prediction]:
    return adapter.predict([Query(index, sentence) for index, sentence in enumerate(sentences)])


@pytest.mark.parametrize("model", ["qwen", "qwen3", "internvl"])
def test_random_words_are_parse_errors(weights: Path, model: str) -> None:
    adapter = opened(made(weights, model))
    (answer,) = ask(adapter, "the child")
    assert answer.status is Status.PARSE_ERROR and answer.text is not None
    assert answer.message in (
        "the answer is empty",
        "the answer holds no JSON about an actor or a target",
    )
    assert answer.frames_used == (1, 4) and '"the child"' in str(answer.prompt)
    assert ask(adapter, "the child")[0].text == answer.text  # greedy
    assert adapter.info().parameters is not None and adapter.info().weights_digest is not None
    adapter.close_video()
    adapter.unload()
    with pytest.raises(AdapterError, match="the model is not loaded"):
        ask(adapter, "the child")


@pytest.mark.parametrize(
    ("model", "half"), [("qwen", (28, 42)), ("qwen3", (500, 500)), ("internvl", (500, 500))]
)
def test_boxes_in_the_units_of_the_family_become_masks(
    weights: Path, model: str, half: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Qwen2.5-VL is shown 90 x 60 pixels as 84 x 56, and counts in those."""
    adapter = opened(made(weights, model))
    asked = []
    tracker = adapter._tracker  # type: ignore[attr-defined]
    real = tracker.track
    monkeypatch.setattr(tracker, "track", lambda boxes: asked.append(boxes) or real(boxes))
    down, across = half
    both = {"frame": 2, "actor": [[0, 0, across, down]], "target": [[across, down, 2 * across, 2 * down]]}
    two = {"frame": 1, "actor": [[0, 0, across, down], [across, 0, 2 * across, down]], "target": None}
    nobody = {"frame": 1, "actor": None, "target": None}
    outside = {"frame": 1, "actor": [[9999, 0, 99999, 9]], "target": None}
    sentences = {"both": both, "two": two, "nobody": nobody, "outside": outside}
    says(monkeypatch, {key: json.dumps(answer) for key, answer in sentences.items()})
    found = dict(zip(sentences, ask(adapter, *sentences), strict=True))
    (boxes,) = asked
    assert [(one.frame, one.left, one.top, one.right, one.bottom) for one in boxes] == [
        (4, 0, 0, pytest.approx(45), pytest.approx(30)),
        (4, pytest.approx(45), pytest.approx(30), pytest.approx(90), pytest.approx(60)),
        (1, 0, 0, pytest.approx(45), pytest.approx(30)),
        (1, pytest.approx(45), 0, pytest.approx(90), pytest.approx(30)),
    ]
    masks = real(boxes)
    assert (found["both"].actor, found["both"].target) == (masks[0], masks[1])
    assert found["two"].actor == union_tracks(masks[2:]) and found["two"].target is None
    assert [one.status.value for one in found.values()] == ["ok", "ok", "abstain", "parse_error"]
    assert found["outside"].message == "actor: a box outside the frame" and found["outside"].actor is None


def test_a_whole_run_counts_parse_errors_apart_from_abstentions(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unsynced: None
) -> None:
    dataset = tiny_dataset(videos=1)
    box = '{"frame": 1, "actor": [[0, 0, 500, 500]], "target": null}'
    odd = {"all dancing": "I see.", "green disc": '{"actor": null, "target": null}'}
    sentences = [one.text for one in dataset.videos[0].expressions]
    says(monkeypatch, {one: odd.get(one, box) for one in sentences})
    run(made(weights, "internvl"), dataset, tmp_path).finish(dataset, None, ("actor",))
    stored = open_predictions(tmp_path, dataset)
    video = stored.video("clip0")
    assert {name: one.status for name, one in video.items()} == {
        "0": Status.OK,
        "1": Status.OK,
        "2": Status.PARSE_ERROR,
        "10": Status.ABSTAIN,
        "3": Status.OK,
    }
    assert video["2"].text == "I see." and video["2"].message is not None
    result = score_predictions(dataset, stored, load_protocols(), provenance={})
    assert result.settings["RVOS"].failed == {"parse_error": 1}


def test_conventions(weights: Path) -> None:
    with pytest.raises(
        AdapterError, match=r"how models of type 'llava' write boxes is not known.*coordinates="
    ):
        known_coordinates("llava")
    assert "as fractions from 0 to 1" in question("x", 2, Coordinates.UNIT)
    adapter = opened(made(weights, "qwen", coordinates="unit"))
    assert "as fractions from 0 to 1" in str(ask(adapter, "x")[0].prompt)


def test_frames_are_middles_of_equal_parts() -> None:
    assert spread_frames(6, 2) == (1, 4) and spread_frames(1, 4) == (0,) and spread_frames(3, 8) == (0, 1, 2)
    for total in range(1, 40):
        for wanted in range(1, 12):
            spread = spread_frames(total, wanted)
            assert list(spread) == sorted(set(spread)) and len(spread) == min(total, wanted)
            assert spread[-1] < total


def test_wrong_weights_and_options(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a model that looks at pictures and answers in words"):
        made(weights, "sam2").load("cpu", 0)
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        made(weights, "nothing").load("cpu", 0)
    with pytest.raises(UsageError, match=r"--option frames=0: too few; expected 1 or more"):
        made(weights, "qwen", frames="0")


def test_doctor_and_facts(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "mllm_sam2" in adapter_names() and "parts" not in adapter_names()
    named = [f"model={weights / 'qwen'}", f"sam2={weights / 'sam2'}"]
    assert main(["doctor", "mllm-sam2", "--option", named[0], "--option", named[1]]) == 0
    assert main(["doctor", "mllm-sam2", "--option", "model=nobody/nothing", "--option", "revision=abc"]) == 1
    said = capsys.readouterr().out
    assert "MISSING  weights nobody/nothing@abc" in said
    assert "hf download nobody/nothing --revision abc" in said
    assert requirement("nobody/nothing", None) == "nobody/nothing"
    assert folders_digest("nobody/nothing") is None
    one, other = folders_digest(str(weights / "qwen")), folders_digest(str(weights / "internvl"))
    assert one != other and one == folders_digest("nobody/nothing", str(weights / "qwen"))
