"""Answers: independent of what else is asked, whole for odd clips, and drawn into pictures."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.errors import CheckpointError, EnvironmentProblem, UsageError
from benchmark.frames import FrameArray, read_video_file
from reference_model import overlay, predict
from reference_model.checkpoint import save_checkpoint
from reference_model.config import FramePolicy, StageKind
from reference_model.predict import Predictor
from tests.reference_model.mini_reviosa import build_mini, mini_model_config, mini_recipe, square_clip, stage

EXPRESSIONS = (
    "red square pushing blue square",
    "red square",
    "zebra walking a purple dog",
    "",
    "object " * 900,
)


def talkative_model(config=None):
    """Random weights that write both role tokens: the actor's first, then the target's, then the end."""
    return made_talkative(build_mini(config))


def made_talkative(model):
    chain = (model.actor_id, model.target_id, model.end_id)
    logits = model.vision_language.logits

    def scripted(hidden):
        scores = logits(hidden)
        scores[:, chain[scripted.calls % 3]] += 1e4
        scripted.calls += 1
        return scores

    scripted.calls = 0
    model.vision_language.logits = scripted
    with torch.no_grad():
        model.mask_decoder.sam2.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(5.0)
    return model


def opened(model, frames: int = 6, size=(48, 64)) -> Predictor:
    predictor = Predictor(model, torch.device("cpu"))
    predictor.open_video(FrameArray(square_clip(frames, size).frames_THWC))
    return predictor


def test_answers_do_not_depend_on_what_else_is_asked():
    predictor = opened(talkative_model())
    together = predictor.answer(EXPRESSIONS)
    backwards = predictor.answer(EXPRESSIONS[::-1])[::-1]
    for text, one, other in zip(EXPRESSIONS, together, backwards, strict=True):
        (alone,) = predictor.answer([text])
        assert alone.text == one.text == other.text
        for role in ("actor", "target"):
            masks = [getattr(answer, role) for answer in (alone, one, other)]
            assert all(mask is not None and mask.dtype == bool for mask in masks)
            # Kernels may differ in the last bits with the batch: a pixel on the very edge may flip.
            assert max(np.mean(masks[0] != mask) for mask in masks) < 1e-3
    assert any(answer.actor.any() for answer in together)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("policy", list(FramePolicy))
def test_masks_cover_every_frame_of_short_and_long_clips(frames, policy):
    config = mini_model_config()
    config = dataclasses.replace(
        config, frames=dataclasses.replace(config.frames, policy=policy, prompt_every_frame=frames % 2 == 0)
    )
    (answer,) = opened(talkative_model(config), frames, (37, 53)).answer(["red square"])
    assert answer.actor.shape == answer.target.shape == (frames, 37, 53)
    assert len(answer.frames_used) == min(3, frames)


def test_image_features_of_long_clips_are_made_in_pieces_and_dropped(monkeypatch):
    model = talkative_model()
    encoded, original = [], model.mask_decoder.encode
    monkeypatch.setattr(model.mask_decoder, "encode", lambda p: encoded.append(len(p)) or original(p))
    predictor = opened(model, frames=40)
    predictor.answer(["red square", "blue square"])
    assert max(encoded) == model.config.frames.encode_chunk
    assert sum(encoded) == 40  # every frame once, though far fewer stay in memory
    assert 0 < len(predictor._video._features) <= 8 * model.config.frames.encode_chunk


def test_without_role_tokens_no_mask_is_claimed():
    model = build_mini()
    silent = model.vision_language.logits

    def only_end(hidden):
        scores = silent(hidden)
        scores[:, model.end_id] += 1e4
        return scores

    model.vision_language.logits = only_end
    (answer,) = opened(model).answer(["red square"])
    assert (answer.actor, answer.target, answer.text) == (None, None, "")


def test_nothing_asked_and_nothing_open():
    predictor = opened(build_mini())
    assert predictor.answer([]) == []
    predictor.close_video()
    with pytest.raises(UsageError, match="no video is open"):
        predictor.answer(["red square"])


def test_a_missing_checkpoint_and_a_missing_gpu(tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        predict.load_predictor(tmp_path / "none", "cpu")
    save_checkpoint(tmp_path, build_mini(), mini_recipe(stage(StageKind.VISION)), {})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(EnvironmentProblem, match="CUDA device is not here"):
        predict.load_predictor(tmp_path, "cuda")


@pytest.fixture
def frame_folder(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, frame in enumerate(square_clip(5, (36, 50)).frames_THWC):
        Image.fromarray(frame).save(folder / f"{index:05d}.png")
    save_checkpoint(tmp_path / "model", build_mini(), mini_recipe(stage(StageKind.VISION)), {})
    return tmp_path


@pytest.mark.parametrize("kind", [".png", ".mp4"])
def test_the_command_draws_a_picture(frame_folder, kind, capsys):
    output = frame_folder / f"out{kind}"
    arguments = [
        "--video",
        str(frame_folder / "frames"),
        "--expression",
        "red square",
        "--output",
        str(output),
    ]
    assert predict.main([*arguments, "--checkpoint", str(frame_folder / "model"), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "the model says:" in said and "actor:" in said and str(output) in said
    if kind == ".png":
        with Image.open(output) as strip:
            assert strip.size == (5 * 50, 36)
    else:
        assert len(read_video_file(output)) == 5


def test_an_expression_without_a_word_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--expression: there is no sentence"):
        predict.main(["--video", str(tmp_path), "--expression", " "])


def test_overlays_are_blue_red_and_violet():
    frames = FrameArray(np.zeros((1, 1, 4, 3), np.uint8))
    actor = np.array([[[True, True, False, False]]])
    target = np.array([[[False, True, True, False]]])
    pixels = overlay.painted(frames, 0, actor, target)[0]
    expected = [np.array(colour) * overlay.STRENGTH for colour in (overlay.BLUE, overlay.VIOLET, overlay.RED)]
    assert np.abs(pixels[:3] - np.array(expected)).max() <= 1 and not pixels[3].any()


def test_pictures_that_cannot_be_written_are_refused_early(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"expected \.png or \.mp4"):
        overlay.check_output(tmp_path / "out.gif")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match="needs PyAV"):
        overlay.check_output(tmp_path / "out.mp4")
