"""The adapter of the reference model: contract, complete facts, clear errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from adapters.reviosa import Reviosa
from benchmark.adapter import load_adapter
from benchmark.datasets.synthetic import clip as synthetic_clip
from benchmark.errors import AdapterError, CheckpointError, EnvironmentProblem, UsageError
from benchmark.frames import FrameArray
from benchmark.types import Query, Status
from reference_model.checkpoint import SHIPPED, load_checkpoint


@pytest.fixture(scope="module")
def loaded() -> Reviosa:
    adapter = Reviosa()
    adapter.load("cpu", 0)
    return adapter


def clip(frames: int, height: int, width: int) -> FrameArray:
    rng = np.random.default_rng(0)
    return FrameArray(rng.integers(0, 255, (frames, height, width, 3), dtype=np.uint8))


def test_facts_are_complete_after_loading(loaded):
    info = loaded.info()
    stored = load_checkpoint(SHIPPED)
    assert info.weights_digest == stored.digest
    assert info.trained_on == ("interrvos-synthetic:train",)
    assert info.parameters == sum(one.numel() for one in stored.model.parameters())
    assert info.revision == "tiny" and info.licence == "Apache-2.0"
    assert info.frame_policy == "uniform, 4 frames; prompts on every frame"
    assert info.shares_video_features and info.deterministic and not info.uses_truth


def test_loading_does_not_change_what_stored_predictions_depend_on(loaded):
    before, after = Reviosa().info(), loaded.info()
    for fact in ("name", "version", "revision", "weights_digest", "options"):
        assert getattr(before, fact) == getattr(after, fact)


def test_one_prediction_per_query_at_source_size(loaded):
    rendered = synthetic_clip("val", 0)
    frames = np.ascontiguousarray(rendered.frames[:5, :95, :127])
    said = {bool(one.targets): one.text for one in rendered.expressions}
    loaded.open_video(FrameArray(frames))
    texts = (said[True], said[False], "xyz " * 500)
    answers = loaded.predict([Query(index, text) for index, text in enumerate(texts)])
    loaded.close_video()
    assert len(answers) == 3
    for answer in answers:
        assert answer.status in (Status.OK, Status.NO_MASK) and answer.text is not None
        for track in (answer.actor, answer.target):
            assert track is None or (track.dtype == bool and track.shape == (5, 95, 127))
    assert answers[0].target is not None and answers[0].actor is not None
    assert answers[1].actor is not None and answers[1].target is None
    assert answers[0].frames_used == (0, 1, 3, 4)


def test_the_released_way_of_asking_is_an_option():
    adapter = load_adapter("reviosa", {"mode": "official", "changes": "answer-tokens=8,language-frames=2"})
    adapter.load("cpu", 0)
    info = adapter.info()
    assert info.frame_policy == "first, 2 frames; prompts on the same frames"
    assert not info.shares_video_features
    assert (info.options["mode"], info.options["changes"]) == (
        "official",
        "answer-tokens=8,language-frames=2",
    )
    adapter.open_video(clip(4, 30, 40))
    answers = adapter.predict([Query(0, "red disc circling blue square"), Query(1, "red disc")])
    assert [one.frames_used for one in answers] == [(0, 1)] * 2
    for answer in answers:
        assert answer.actor is None or answer.actor.shape == (4, 30, 40)
    with pytest.raises(UsageError, match="unknown option of inference"):
        Reviosa(changes="speed=9").load("cpu", 0)
    with pytest.raises(UsageError, match="expected default or official"):
        load_adapter("reviosa", {"mode": "fast"})


def test_answers_are_the_same_every_time(loaded):
    tracks = []
    for _ in range(2):
        loaded.open_video(clip(3, 32, 32))
        tracks.append(loaded.predict([Query(0, "red disc circling blue square")])[0])
    assert np.array_equal(tracks[0].actor, tracks[1].actor) and tracks[0].text == tracks[1].text


def test_loading_by_name_with_a_checkpoint_that_is_not_there(tmp_path: Path):
    adapter = load_adapter("reviosa", {"checkpoint": str(tmp_path / "none")})
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        adapter.load("cpu", 0)


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(EnvironmentProblem, match="CUDA device is not here"):
        Reviosa().load("cuda", 0)


def test_asking_before_loading_and_after_unloading():
    adapter = Reviosa()
    with pytest.raises(AdapterError, match="model is not loaded"):
        adapter.predict([Query(0, "red disc")])
    adapter.load("cpu", 0)
    adapter.unload()
    with pytest.raises(AdapterError, match="model is not loaded"):
        adapter.open_video(clip(1, 8, 8))
    adapter.close_video()
