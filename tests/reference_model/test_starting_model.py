"""A fine-tuning begins with converted halves and ends as a model that answers like the trained one."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmark.errors import CheckpointError
from benchmark.frames import FrameArray
from reference_model import convert, recipes, sam2_weights, train
from reference_model.checkpoint import load_checkpoint, own_weights, read_tensors
from reference_model.config import Recipe
from reference_model.full_training import Schedule, save_model, train_all
from reference_model.lora import merged_weights, set_types
from reference_model.predictor import Predictor
from reference_model.released_recipes import ADDED_TOKENS
from reference_model.released_weights import RULES
from reference_model.starting_model import starting_model
from reference_model.tensor_files import write_tensors
from reference_model.tuning_run import same_halves
from reference_model.weight_names import translate
from tests.reference_model.golden import peer_cases as cases
from tests.reference_model.original_checkpoints import SMALL_SAM2, write_tokenizer, write_training
from tests.reference_model.small_tuning import small_session, small_tuning, write_clips

EMBEDDING = "model.language_model.embed_tokens.weight"


def pretrained_recipe(**changes) -> Recipe:
    """The sizes of the small original checkpoints."""
    recipe = small_tuning(pretrained=True, **changes)
    return replace(recipe, model=replace(recipe.model, mask_decoder=replace(SMALL_SAM2, hide_absent=False)))


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """Converted folders of small original checkpoints."""
    folder = tmp_path_factory.mktemp("halves")
    _, internvl, sam2 = write_training(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sam2_weights.SIZES, "small", SMALL_SAM2)
        convert.main(["--internvl", str(internvl), "--output", str(folder / "native-internvl")])
        convert.main(["--sam2", str(sam2), "--output", str(folder / "native-sam2")])
    return folder / "native-internvl", folder / "native-sam2"


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("clips"), 4)


def test_the_halves_are_taken_over_and_what_is_new_follows_from_the_seed(halves):
    model, recipe = starting_model(pretrained_recipe(), 0, *halves)
    words, masks = (read_tensors(folder / "model.safetensors") for folder in halves)
    rows = len(words[EMBEDDING])
    state = model.state_dict()
    plain = {name.replace(".base_layer.", "."): one for name, one in state.items()}
    for name, one in words.items():
        assert torch.equal(plain[f"vision_language.internvl.{name}"][: len(one)], one), name
    for name, one in masks.items():
        assert torch.equal(state[f"mask_decoder.sam2.{name}"], one), name
    assert recipe.model.vision_language.vocabulary == rows + len(ADDED_TOKENS) == len(model.tokenizer)
    assert model.role_ids == (rows, rows + 5)
    new = state[f"vision_language.internvl.{EMBEDDING}"][rows:]
    assert 0.01 < float(new.std()) < 0.03
    again, _ = starting_model(pretrained_recipe(), 0, *halves)
    assert all(torch.equal(one, again.state_dict()[name]) for name, one in state.items())
    other, _ = starting_model(pretrained_recipe(), 1, *halves)
    assert not torch.equal(other.projector[0].weight, model.projector[0].weight)


def test_lora_changes_nothing_before_it_is_trained(halves):
    plain, _ = starting_model(pretrained_recipe(), 0, *halves)
    weights = merged_weights(plain.state_dict(), 2.0)
    assert not any("lora" in name or "base_layer" in name for name in weights)
    base = {name.replace(".base_layer.", "."): one for name, one in plain.state_dict().items()}
    assert all(torch.equal(one, base[name]) for name, one in weights.items())


def test_the_command_starts_from_the_halves_and_its_model_goes_out(halves, clips, tmp_path, monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, "small", lambda: replace(pretrained_recipe(), name="small"))
    words = ["--recipe", "small", "--internvl", str(halves[0]), "--sam2", str(halves[1]), "--workers", "0"]
    words += ["--data-root", str(clips), "--steps", "1", "--no-tensorboard"]
    assert train.main([*words, "--output", str(tmp_path / "run")]) == 0
    loaded = load_checkpoint(tmp_path / "run")
    assert loaded.facts["began_with"] == ["native-internvl", "native-sam2"]
    convert.main(["--checkpoint", str(tmp_path / "run"), "--output", str(tmp_path / "out")])
    settings = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (settings["model_type"], settings["template"]) == ("reviosa_chat", "qwen_chat")


def test_other_halves_of_the_same_sizes_are_not_resumed_with(halves, clips, tmp_path, monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, "small", lambda: replace(pretrained_recipe(), name="small"))
    words = ["--recipe", "small", "--data-root", str(clips), "--steps", "1", "--no-tensorboard"]
    words += ["--workers", "0", "--output", str(tmp_path / "run")]
    assert train.main([*words, "--internvl", str(halves[0]), "--sam2", str(halves[1])]) == 0
    digest = load_checkpoint(tmp_path / "run").digest
    for number in (0, 1):
        other = tmp_path / f"other-{number}"
        shutil.copytree(halves[number], other)
        tensors = read_tensors(other / "model.safetensors")
        name = next(one for one in sorted(tensors) if "vision" in one and tensors[one].is_floating_point())
        tensors[name] = tensors[name] + 0.5
        write_tensors(other / "model.safetensors", tensors, {"format": "pt"})
        given = [other if place == number else half for place, half in enumerate(halves)]
        with pytest.raises(
            CheckpointError, match=r"began with other pretrained weights.*--internvl and --sam2"
        ):
            train.main([*words, "--internvl", str(given[0]), "--sam2", str(given[1]), "--resume"])
    same = shutil.copytree(halves[0], tmp_path / "elsewhere")
    assert train.main([*words, "--internvl", str(same), "--sam2", str(halves[1]), "--resume"]) == 0
    assert load_checkpoint(tmp_path / "run").digest == digest


def test_a_state_that_noted_no_halves_is_resumed_and_notes_them(tmp_path):
    assert same_halves(None, "b" * 64, tmp_path) == "b" * 64
    with pytest.raises(CheckpointError, match="found none"):
        same_halves("a" * 64, None, tmp_path)


def test_the_model_of_a_sibling_goes_out_in_the_released_form(clips, tmp_path):
    session = small_session(clips, steps=1)
    save_model(session, tmp_path / "model", {"trained_on": []})
    convert.main(["--checkpoint", str(tmp_path / "model"), "--output", str(tmp_path / "out")])
    out, model = (read_tensors(tmp_path / one / "model.safetensors") for one in ("out", "model"))
    back = translate(out, RULES, "out")
    assert back.keys() == model.keys()
    assert all(torch.equal(back[name], one) for name, one in model.items())


def test_the_saved_model_answers_as_the_trained_one(clips, tmp_path):
    session = small_session(clips, small_tuning(videos_per_step=1, learning_rate=1e-2), steps=3)
    train_all(session, Schedule(None, show=False), {})
    save_model(session, tmp_path / "model", {})
    saved, trained = load_checkpoint(tmp_path / "model").model, session.room.model.eval()
    frames = np.random.default_rng(0).integers(0, 256, (4, 60, 80, 3), np.uint8)
    pixels = torch.rand(1, 2, 3, 56, 56)
    lora = sum("lora_B" in name and bool(one.any()) for name, one in trained.state_dict().items())
    assert lora
    with torch.no_grad():
        tokens = [one.vision_language.visual_tokens(pixels) for one in (saved, trained)]
    torch.testing.assert_close(*tokens, rtol=0, atol=1e-5)
    answers = []
    for model in (saved, trained):
        predictor = Predictor(model, torch.device("cpu"))
        predictor.open_video(FrameArray(frames))
        answers.append(predictor.answer(["red disc", "blue square pushing red disc"]))
    assert [one.text for one in answers[0]] == [one.text for one in answers[1]]


def test_frozen_weights_of_two_bytes_are_stored_as_such_and_trained_ones_are_not(clips, tmp_path):
    session = small_session(clips)
    set_types(session.room.model, torch.bfloat16)
    save_model(session, tmp_path / "model", {})
    stored = read_tensors(tmp_path / "model" / "model.safetensors")
    kinds = {name: one.dtype for name, one in stored.items()}
    assert kinds["projector.0.weight"] == kinds["vision_language.internvl.lm_head.weight"] == torch.float32
    layer = "vision_language.internvl.model.language_model.layers.0.mlp.up_proj.weight"
    assert kinds[layer] == kinds["mask_decoder.sam2.no_memory_embedding"] == torch.bfloat16
    assert load_checkpoint(tmp_path / "model").digest


def test_wrong_folders_are_said(halves, tmp_path):
    internvl, sam2 = halves
    with pytest.raises(CheckpointError, match="not a converted language model"):
        starting_model(pretrained_recipe(), 0, tmp_write(tmp_path / "other", sam2, internvl), sam2)
    with pytest.raises(CheckpointError, match=r"weights do not fit.*missing"):
        starting_model(pretrained_recipe(), 0, internvl, internvl)
    with pytest.raises(CheckpointError):
        starting_model(pretrained_recipe(), 0, tmp_path / "nowhere", sam2)
    larger = pretrained_recipe()
    language = replace(larger.model.vision_language, layers=4)
    with pytest.raises(CheckpointError, match="weights do not fit the configuration"):
        starting_model(
            replace(larger, model=replace(larger.model, vision_language=language)), 0, internvl, sam2
        )


def tmp_write(folder, weights_from, tokenizer_from):
    """The weights of one folder with the tokenizer of another."""
    folder.mkdir()
    for source, name in ((weights_from, "model.safetensors"), (tokenizer_from, "tokenizer.json")):
        (folder / name).write_bytes((source / name).read_bytes())
    return folder


def test_a_tokenizer_without_the_tokens_of_a_picture(halves, tmp_path):
    internvl, sam2 = halves
    folder = tmp_write(tmp_path / "other", internvl, internvl)
    tokens = [one for one in cases.TOKENS[: cases.FIRST_ADDED] if one != "<IMG_CONTEXT>"]
    write_tokenizer(folder, tuple(tokens))
    with pytest.raises(CheckpointError, match=r"the tokenizer lacks tokens.*missing <IMG_CONTEXT>"):
        starting_model(pretrained_recipe(), 0, folder, sam2)


def test_a_tokenizer_that_has_the_added_tokens_keeps_its_rows(halves, tmp_path):
    """Beginning again with a model that was trained before."""
    internvl, sam2 = halves
    folder = tmp_write(tmp_path / "other", internvl, internvl)
    write_tokenizer(folder, cases.TOKENS)
    model, recipe = starting_model(pretrained_recipe(), 0, folder, sam2)
    assert recipe.model.vision_language.vocabulary == len(cases.TOKENS) == len(model.tokenizer)


def test_a_folder_of_qwen_is_taken_as_the_hub_has_it(tmp_path):
    recipe = small_tuning("reviosa_qwen2_5_vl_3b_tiny")
    made, _ = starting_model(recipe, 5)
    language, masks = tmp_path / "qwen", tmp_path / "sam2"
    language.mkdir()
    masks.mkdir()
    plain = merged_weights(own_weights(made), 2.0)
    hub = {hub_name(name.removeprefix(QWEN)): one for name, one in plain.items() if name.startswith(QWEN)}
    write_tensors(language / "model.safetensors", hub)
    tokenizer = made.tokenizer.backend_tokenizer
    tokenizer.save(str(language / "tokenizer.json"))
    write_tensors(masks / "model.safetensors", own_weights(made.mask_decoder.sam2))
    assert "visual.merger.ln_q.weight" in hub and "model.layers.0.mlp.up_proj.weight" in hub
    assert "lm_head.weight" not in hub
    model, found = starting_model(recipe, 0, language, masks)
    assert found.model.vision_language.tied
    again = merged_weights(own_weights(model), 2.0)
    assert all(torch.equal(one, again[name]) for name, one in plain.items() if name.startswith(QWEN))


QWEN = "vision_language.qwen."


def hub_name(name: str) -> str:
    return name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")
