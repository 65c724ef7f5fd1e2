"""gdino-sam2 on tiny random checkpoints of the real classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoProcessor

from adapters.__main__ import main
from adapters.parts.phrase_detection import PhraseDetector
from benchmark.adapter import Adapter, load_adapter
from benchmark.errors import AdapterError, CheckpointError, UsageError
from benchmark.frames import FrameArray
from benchmark.masks import union_tracks
from benchmark.predictions import open_predictions
from benchmark.protocol import load_protocols
from benchmark.score import score_predictions
from benchmark.types import Prediction, Query, Role, Status
from tests.adapters.tiny_checkpoints import write_grounding_dino, write_sam2
from tests.benchmark.scripted_adapter import run
from tests.benchmark.tiny_clips import tiny_dataset

FRAMES = FrameArray(np.random.default_rng(0).integers(0, 255, (6, 60, 90, 3), np.uint8))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("weights")
    write_grounding_dino(folder / "gdino"), write_sam2(folder / "sam2")
    return folder


def made(weights: Path, **options: str) -> Adapter:
    named = {"model": str(weights / "gdino"), "sam2": str(weights / "sam2"), "frames": "2"}
    return load_adapter("gdino-sam2", {**named, **options})


def opened(adapter: Adapter) -> Adapter:
    adapter.load("cpu", 0)
    adapter.open_video(FRAMES)
    return adapter


def ask(adapter: Adapter, *sentences: str) -> list[Prediction]:
    return adapter.predict([Query(index, sentence) for index, sentence in enumerate(sentences)])


def test_the_surest_box_becomes_the_actor(weights: Path) -> None:
    adapter = opened(made(weights, threshold="0"))
    (answer,) = ask(adapter, "The child pushing a cart.")
    detector, tracker = adapter._detector, adapter._tracker  # type: ignore[attr-defined]
    (best,) = detector.find("the child", 0.0, 1)
    assert best.surety == max(one.surety for one in detector.find("the child", 0.0, 99))
    assert best.box.frame in (1, 4)
    assert [answer.actor] == tracker.track([best.box]) and len(answer.actor) == 6
    assert answer.target is None
    assert answer.status is Status.OK and answer.score == best.surety
    assert (answer.prompt, answer.frames_used) == ("the child", (1, 4))
    assert str(answer.text).endswith(f"{best.surety:.3f}")
    assert adapter.info().roles == (Role.ACTOR,)
    assert adapter.info().parameters is not None and adapter.info().weights_digest is not None


def test_several_boxes_are_one_mask(weights: Path) -> None:
    adapter = opened(made(weights, threshold="0", boxes="3"))
    tracks = adapter._tracker.track(  # type: ignore[attr-defined]
        [one.box for one in adapter._detector.find("two people", 0.0, 3)]  # type: ignore[attr-defined]
    )
    assert len(tracks) == 3
    assert ask(adapter, "two people")[0].actor == union_tracks(tracks)


def test_without_a_sure_box_it_abstains(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = opened(made(weights, threshold="0.999999"))
    monkeypatch.setattr(PhraseDetector, "find", lambda *_: [])
    (answer,) = ask(adapter, "nobody")
    assert (answer.status, answer.actor, answer.score, answer.text) == (Status.ABSTAIN, None, None, None)
    assert answer.message == "no box is sure enough"


def test_a_threshold_is_kept_and_boxes_stay_in_the_frame(weights: Path) -> None:
    detector = opened(made(weights))._detector  # type: ignore[attr-defined]
    everything = detector.find("dog", 0.0, 99)
    assert everything == sorted(everything, key=lambda one: -one.surety)
    cut = everything[len(everything) // 2].surety
    assert all(one.surety > cut for one in detector.find("dog", cut, 99))
    assert detector.find("dog", 0.9999999, 99) == []
    assert len({one.box.frame for one in everything}) == 1
    for one in everything:
        assert 0 <= one.box.left < one.box.right <= 90 and 0 <= one.box.top < one.box.bottom <= 60


def test_a_box_outside_the_frame_is_none(weights: Path) -> None:
    detector = opened(made(weights))._detector  # type: ignore[attr-defined]
    boxes = torch.tensor([[-20.0, -20.0, -5.0, 10.0], [-5.0, 10.0, 500.0, 20.0]])
    detected = {"scores": torch.tensor([0.9, 0.5]), "boxes": boxes, "text_labels": ["out", "over"]}
    (one,) = detector._on_frame(1, detected)
    assert (one.box.left, one.box.right, one.words) == (0.0, 90.0, "over")


def test_frames_and_words_are_what_the_processor_makes_of_them(weights: Path) -> None:
    detector = opened(made(weights))._detector  # type: ignore[attr-defined]
    processor = AutoProcessor.from_pretrained(weights / "gdino")
    pictures = [FRAMES.as_pil(index) for index in detector.positions]
    theirs = processor(images=pictures, text=["the dog."] * 2, return_tensors="pt")
    ours = {**detector._pixels, **processor.tokenizer(["the dog."] * 2, return_tensors="pt")}
    assert set(theirs) == set(ours)
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)


def test_all_words_on_request_and_no_answer_depends_on_its_neighbours(weights: Path) -> None:
    adapter = opened(made(weights, words="sentence", threshold="0"))
    together = ask(adapter, "Man riding a horse.", "dog")
    assert [one.prompt for one in together] == ["man riding a horse", "dog"]
    alone = [ask(adapter, sentence)[0] for sentence in ("Man riding a horse.", "dog")]
    assert [one.actor for one in together] == [one.actor for one in alone]


def test_a_whole_run_leaves_the_target_undefined(weights: Path, tmp_path: Path, unsynced: None) -> None:
    dataset = tiny_dataset(videos=1)
    run(made(weights, threshold="0"), dataset, tmp_path).finish(dataset, None, ("actor", "target", "rvos"))
    stored = open_predictions(tmp_path, dataset)
    result = score_predictions(dataset, stored, load_protocols(), provenance={})
    assert result.settings["InterRVOS-Target"].undefined is not None
    assert result.settings["RVOS"].failed == {} and result.settings["RVOS"].jf is not None


def test_asked_for_the_target_by_zero_shot_target(weights: Path) -> None:
    options = {"of": "gdino-sam2", "of.words": "sentence", "of.threshold": "0", "of.frames": "1"}
    paths = {"of.model": str(weights / "gdino"), "of.sam2": str(weights / "sam2")}
    adapter = opened(load_adapter("zero-shot-target", {**options, **paths}))
    (answer,) = ask(adapter, "man riding a horse")
    assert answer.actor is not None and answer.target is not None
    assert answer.prompt == "the object that is directly interacting with man riding a horse in the image"


def test_wrong_weights_and_options(weights: Path) -> None:
    with pytest.raises(CheckpointError, match="not a Grounding DINO; expected grounding-dino or mm-"):
        load_adapter("gdino-sam2", {"model": str(weights / "sam2")}).load("cpu", 0)
    with pytest.raises(UsageError, match=r"--option boxes=0: too few; expected 1 or more"):
        made(weights, boxes="0")
    with pytest.raises(UsageError, match=r"threshold=1\.5: not a surety; expected 0 or more, below 1"):
        made(weights, threshold="1.5")
    with pytest.raises(AdapterError, match="the model is not loaded"):
        ask(made(weights), "dog")


def test_closing_and_unloading(weights: Path) -> None:
    adapter = opened(made(weights))
    adapter.close_video()
    adapter.unload()
    adapter.close_video()
    with pytest.raises(AdapterError, match="the model is not loaded"):
        adapter.open_video(FRAMES)


def test_doctor(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = [f"model={weights / 'gdino'}", f"sam2={weights / 'sam2'}"]
    assert main(["doctor", "gdino-sam2", "--option", named[0], "--option", named[1]]) == 0
    assert main(["doctor", "gdino-sam2", "--option", "model=nobody/nothing"]) == 1
    assert "MISSING  weights nobody/nothing" in capsys.readouterr().out
