"""sam3 on tiny random checkpoints of the real classes; the language model's words are put into its mouth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from adapters.__main__ import main
from adapters.parts.sam3_tracking import PhraseTracker
from adapters.parts.vision_language_chat import PictureChat, Reply
from benchmark.adapter import Adapter, load_adapter
from benchmark.errors import AdapterError, CheckpointError, UsageError
from benchmark.frames import FrameArray
from benchmark.masks import decode_track, union_tracks
from benchmark.predictions import open_predictions
from benchmark.types import MaskTrack, Prediction, Query, Role, Status
from tests.adapters.tiny_checkpoints import write_internvl, write_sam2, write_sam3
from tests.benchmark.scripted_adapter import run
from tests.benchmark.tiny_clips import tiny_dataset

FRAMES = FrameArray(np.random.default_rng(0).integers(0, 255, (4, 30, 45, 3), np.uint8))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("weights")
    write_sam3(folder / "sam3"), write_internvl(folder / "internvl"), write_sam2(folder / "sam2")
    return folder


def made(weights: Path, **options: str) -> Adapter:
    return load_adapter("sam3", {"model": str(weights / "sam3"), **options})


def opened(adapter: Adapter) -> Adapter:
    adapter.load("cpu", 0)
    adapter.open_video(FRAMES)
    return adapter


def ask(adapter: Adapter, *sentences: str) -> list[Prediction]:
    return adapter.predict([Query(index, sentence) for index, sentence in enumerate(sentences)])


@pytest.fixture(scope="module")
def tracker(weights: Path) -> PhraseTracker:
    found = PhraseTracker(str(weights / "sam3"), None, "cpu")
    found.open_video(FRAMES)
    return found


def test_everything_of_a_name_is_found_surest_first(tracker: PhraseTracker) -> None:
    found = tracker.find("dog")
    assert len(found) > 1
    assert [one.surety for one in found] == sorted((one.surety for one in found), reverse=True)
    for one in found:
        assert decode_track(one.track).shape == (4, 30, 45) and not one.track.is_empty
    assert tracker.find("dog") is found, "asked again, it is remembered"
    assert tracker.parameters > 1_000_000


def test_no_phrase_depends_on_another(weights: Path, tracker: PhraseTracker) -> None:
    fresh = PhraseTracker(str(weights / "sam3"), None, "cpu")
    fresh.open_video(FRAMES)
    fresh.find("cat")
    assert fresh.find("dog") == tracker.find("dog")


def test_what_the_model_takes_back_is_not_shown(
    tracker: PhraseTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = tracker.find("dog")
    real = tracker.model.propagate_in_video_iterator

    def steps(session):  # type: ignore[no-untyped-def]
        for step in real(session):
            # Object 0 is taken back, object 1 is hidden on frame 1.
            session.hotstart_removed_obj_ids.add(0)
            step.suppressed_obj_ids = {1} if step.frame_idx == 1 else set()
            yield step

    monkeypatch.setattr(tracker.model, "propagate_in_video_iterator", steps)
    found = tracker._track(tracker._session("dog"))
    assert len(found) == len(everything) - 1
    hidden = [one for one in found if one not in everything]
    assert len(hidden) <= 1 and all(one.track.counts[1] is None for one in hidden)


def test_alone_it_answers_the_actor(weights: Path, tracker: PhraseTracker) -> None:
    adapter = opened(made(weights))
    (answer,) = ask(adapter, "A dog chasing a cat.")
    surest = tracker.find("a dog")[0]
    assert (answer.actor, answer.target, answer.score) == (surest.track, None, surest.surety)
    assert (answer.status, answer.prompt, answer.frames_used) == (Status.OK, "a dog", None)
    assert adapter.info().roles == (Role.ACTOR,) and adapter.info().parameters == tracker.parameters
    sentence, everything = opened(made(weights, words="sentence", pick="all")), tracker.find("a dog runs")
    assert ask(sentence, "A dog runs.")[0].actor == union_tracks([one.track for one in everything])


def test_a_name_that_fits_nothing_is_an_abstention(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = opened(made(weights))
    monkeypatch.setattr(PhraseTracker, "find", lambda *_: [])
    (answer,) = ask(adapter, "a dog")
    assert (answer.status, answer.actor, answer.score) == (Status.ABSTAIN, None, None)
    assert answer.message == "actor: nothing is called 'a dog'"


def test_a_phrase_that_is_too_long_fails_alone(weights: Path) -> None:
    long, short = ask(opened(made(weights, words="sentence")), "dog " * 20, "dog")
    assert long.status is Status.ERROR and "tokens, SAM3 reads 32" in str(long.message)
    assert short.status is Status.OK


def test_a_language_model_names_both_roles(
    weights: Path, tracker: PhraseTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {
        "both": '{"actor": "dog", "target": "cat"}',
        "one": '{"actor": "dog", "target": null}',
        "nobody": '{"actor": null, "target": null}',
        "prose": "I see a dog.",
    }
    real = PictureChat.ask

    def speak(chat, pictures, words, max_tokens):  # type: ignore[no-untyped-def]
        reply = real(chat, pictures, words, max_tokens)
        return Reply(next(text for key, text in answers.items() if f'"{key}"' in words), reply.sizes)

    monkeypatch.setattr(PictureChat, "ask", speak)
    options = {"mllm": str(weights / "internvl"), "frames": "2", "max_tokens": "4"}
    adapter = opened(made(weights, **options))
    found = dict(zip(answers, ask(adapter, *answers), strict=True))
    dog, cat = tracker.find("dog")[0].track, tracker.find("cat")[0].track
    assert (found["both"].actor, found["both"].target) == (dog, cat)
    assert (found["one"].actor, found["one"].target) == (dog, None)
    assert [one.status.value for one in found.values()] == ["ok", "ok", "abstain", "parse_error"]
    assert found["both"].text == answers["both"] and found["both"].frames_used == (1, 3)
    assert adapter.info().roles == (Role.ACTOR, Role.TARGET)
    assert adapter.info().parameters is not None and len(adapter.info().base_models) == 2


def test_a_whole_run(weights: Path, tmp_path: Path, unsynced: None) -> None:
    dataset = tiny_dataset(videos=1)
    run(made(weights), dataset, tmp_path).finish(dataset, None, ("rvos",))
    stored = open_predictions(tmp_path, dataset).video("clip0")
    assert all(one.status in (Status.OK, Status.ABSTAIN) for one in stored.values())
    assert any(isinstance(one.actor, MaskTrack) for one in stored.values())


def test_wrong_weights_and_options(weights: Path) -> None:
    with pytest.raises(CheckpointError, match="not a SAM3 video model; expected sam3_video"):
        load_adapter("sam3", {"model": str(weights / "sam2")}).load("cpu", 0)
    with pytest.raises(UsageError, match=r"--option frames=0: too few; expected 1 or more"):
        made(weights, frames="0")
    adapter = opened(made(weights))
    adapter.close_video()
    adapter.unload()
    adapter.close_video()
    with pytest.raises(AdapterError, match="the model is not loaded"):
        ask(adapter, "dog")


def test_doctor(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "sam3", "--option", f"model={weights / 'sam3'}"]) == 0
    assert main(["doctor", "sam3"]) == 1
    said = capsys.readouterr().out
    assert "MISSING  weights facebook/sam3" in said
    assert "accept the licence at https://huggingface.co/facebook/sam3" in said
