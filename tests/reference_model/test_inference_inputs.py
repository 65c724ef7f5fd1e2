"""Inference on odd input: a clear sentence, or a whole answer; in both modes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.errors import CheckpointError, DatasetError, EnvironmentProblem, UsageError
from benchmark.frames import FrameArray
from benchmark.masks import decode_track
from reference_model import predict, predictor
from reference_model.checkpoint import save_checkpoint
from reference_model.config import StageKind
from reference_model.inference_options import InferenceMode, options_for, with_changes
from reference_model.predictor import Predictor, QuestionTooLong
from tests.reference_model.mini_reviosa import build_mini, mini_model_config, mini_recipe, square_clip, stage
from tests.reference_model.test_predict import talkative_model

MODES = list(InferenceMode)


def opened(mode, frames=6, size=(48, 64), changes=(), model=None) -> Predictor:
    model = model or talkative_model()
    options = with_changes(options_for(mode, model.config), changes)
    asked = Predictor(model, torch.device("cpu"), options=options)
    asked.open_video(FrameArray(square_clip(frames, size).frames_THWC))
    return asked


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("frames", [1, 2, 3, 4])
def test_short_videos(mode, frames):
    (answer,) = opened(mode, frames, (37, 53)).answer(["red square"])
    assert answer.actor.shape == answer.target.shape == (frames, 37, 53)
    assert answer.frames_used == tuple(range(min(3, frames))) or mode is InferenceMode.DEFAULT


@pytest.mark.parametrize("mode", MODES)
def test_each_expression_gets_its_own_answer_in_order(mode):
    answers = opened(mode).answer(["red square", "blue square pushing red square"])
    assert len(answers) == 2 and all(one.actor.shape == (6, 48, 64) for one in answers)
    assert opened(mode).answer([]) == []


def test_official_asks_one_by_one_and_default_together():
    """The same answers, when nothing else differs."""
    asked = ["red square", "blue square"]
    together = opened("default").answer(asked)
    apart = opened("default", changes=["one-session=no", "shared-prefix=no"]).answer(asked)
    in_turns = opened("default", changes=["objects-at-once=1", "features-kept=1"]).answer(asked)
    for other in (apart, in_turns):
        for one, two in zip(together, other, strict=True):
            assert one.written == two.written
            assert np.mean(one.actor != two.actor) < 1e-3 and np.mean(one.target != two.target) < 1e-3


@pytest.mark.parametrize(
    ("mode", "looks", "sessions", "encoded"),
    [("default", 1, 1, 6), ("official", 3, 6, 6 * 6)],  # three expressions of two roles, six frames
)
def test_what_is_computed_once_per_video(monkeypatch, mode, looks, sessions, encoded):
    model = talkative_model()
    counts = {"looks": 0, "sessions": 0, "encoded": 0}
    decoder, reader = model.mask_decoder, model.vision_language
    visual, follow, encode = reader.visual_tokens, decoder.follow, decoder.encode

    def counted(name, function, number):
        def run(*arguments, **named):
            counts[name] += number(*arguments)
            return function(*arguments, **named)

        return run

    monkeypatch.setattr(reader, "visual_tokens", counted("looks", visual, lambda *_: 1))
    monkeypatch.setattr(decoder, "follow", counted("sessions", follow, lambda *_: 1))
    monkeypatch.setattr(decoder, "encode", counted("encoded", encode, len))
    asked = opened(mode, model=model)
    asked.answer(["red square", "blue square", "red square pushing blue square"])
    assert counts == {"looks": looks, "sessions": sessions, "encoded": encoded}
    asked.answer(["blue square being pushed by red square"])  # later, about the same video
    assert counts["looks"] == looks + (mode == "official")
    assert counts["encoded"] == encoded + (2 * 6 if mode == "official" else 0)


@pytest.mark.parametrize(("mode", "kept"), [("official", True), ("default", False)])
def test_question_marks(mode, kept):
    model = talkative_model()
    seen, original = [], model.question_ids
    model.question_ids = lambda text, **how: seen.append(how) or original(text, **how)
    (answer,) = opened(mode, model=model).answer(["who? pushes. the square?"])
    assert answer.actor is not None and seen == [{"cut": not kept, "keep_marks": kept}]


def test_very_long_expressions():
    """Cut by default; the released pipeline reads them whole, as far as the language model can."""
    words = "red square " * 2500
    (answer,) = opened("default").answer([words])
    assert answer.actor is not None
    with pytest.raises(QuestionTooLong, match=r"has 5\d\d\d tokens with the 3 frames.*fewer than 4096"):
        opened("official").answer([words])
    (answer,) = opened("official").answer(["red square " * 200])
    assert answer.actor is not None


def test_large_results_are_kept_as_run_lengths(monkeypatch):
    whole = opened("default").answer(["red square"])[0]
    monkeypatch.setattr(predictor, "MOST_DENSE_BYTES", 100)
    packed = opened("default").answer(["red square"])[0]
    assert np.array_equal(decode_track(packed.actor), whole.actor)
    assert np.array_equal(decode_track(packed.target), whole.target)


@pytest.fixture
def frame_folder(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, frame in enumerate(square_clip(5, (36, 50)).frames_THWC):
        Image.fromarray(frame).save(folder / f"{index:05d}.png")
    save_checkpoint(tmp_path / "model", build_mini(), mini_recipe(stage(StageKind.VISION)), {})
    return tmp_path


def command(folder, *more, expression="red square"):
    words = ["--video", folder / "frames", "--expression", expression, "--output", folder / "o.png"]
    return predict.main([str(one) for one in (*words, "--checkpoint", folder / "model", *more)])


@pytest.mark.parametrize("mode", MODES)
def test_the_command_in_both_modes(frame_folder, mode, capsys):
    assert command(frame_folder, "--mode", mode, "--set", "answer-tokens=6", "--device", "cpu") == 0
    assert "the model says:" in capsys.readouterr().out and (frame_folder / "o.png").is_file()


def test_frames_of_changing_size(frame_folder):
    Image.fromarray(np.zeros((20, 50, 3), np.uint8)).save(frame_folder / "frames" / "00003.png")
    with pytest.raises(DatasetError, match=r"00003.png: frames of one clip differ in size; expected 36x50"):
        command(frame_folder)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mode", "fast"], "unknown mode of inference; expected official or default"),
        (["--set", "speed=9"], "unknown option of inference"),
        (["--precision", "int8"], "unknown precision; expected auto, float32 or bfloat16"),
        (["--sam2-backend", "onnx"], "unknown backend; expected transformers or sam2"),
    ],
)
def test_words_that_mean_nothing(frame_folder, words, message):
    with pytest.raises(UsageError, match=message):
        command(frame_folder, *words)


def test_a_machine_without_gpu(frame_folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(EnvironmentProblem, match=r"CUDA device is not here.*--device cpu"):
        command(frame_folder, "--device", "cuda")


@pytest.mark.parametrize("place", ["answer", "__init__"])
def test_too_little_memory_is_one_sentence(frame_folder, monkeypatch, place):
    """Of a GPU and of the machine, while a question is answered and already when the model is loaded."""

    def fails(self, *arguments):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")

    def asks_for_too_much(self, *arguments):
        torch.empty(2**62, dtype=torch.uint8)

    for happens, found in ((fails, "CUDA out of memory"), (asks_for_too_much, ".*can't allocate memory")):
        monkeypatch.setattr(Predictor, place, happens)
        expected = rf"not enough memory on the device; found {found}.*--set encode-chunk=1"
        with pytest.raises(EnvironmentProblem, match=expected):
            command(frame_folder)


def test_other_faults_are_not_taken_for_a_full_memory(frame_folder, monkeypatch):
    def fails(self, expressions):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(Predictor, "answer", fails)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        command(frame_folder)


def test_a_question_that_is_too_long_is_one_sentence(frame_folder):
    with pytest.raises(UsageError, match=r"--expression: the question has \d+ tokens.*cut-questions=true"):
        command(frame_folder, "--mode", "official", expression="red square " * 2500)


def test_half_a_checkpoint(frame_folder):
    path = frame_folder / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"model.safetensors: weights are damaged or not safetensors"):
        command(frame_folder)
    path.unlink()
    with pytest.raises(CheckpointError, match="weights are missing"):
        command(frame_folder)


@pytest.mark.parametrize("mode", MODES)
def test_bfloat16_keeps_positions_exact_and_answers_alike(mode):
    """Tables that are computed stay in float32; the masks of both types overlap."""
    config = dataclasses.replace(mini_model_config())
    exact = opened(mode, model=talkative_model(config)).answer(["red square"])[0]
    model = talkative_model(config)
    options = options_for(mode, config)
    rounded = Predictor(model, torch.device("cpu"), options=options, dtype=torch.bfloat16)
    rotary = model.vision_language.internvl.model.language_model.rotary_emb
    assert rotary.inv_freq.dtype is torch.float32
    assert {one.dtype for one in model.parameters()} == {torch.bfloat16}
    rounded.open_video(FrameArray(square_clip(6, (48, 64)).frames_THWC))
    (answer,) = rounded.answer(["red square"])
    assert answer.written == exact.written
    assert np.mean(answer.actor == exact.actor) > 0.9
