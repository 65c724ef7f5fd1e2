"""Released ReVIOSa models: in, out and in again; whatever does not fit is listed; the words are theirs."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.errors import CheckpointError, OutputError, UsageError
from reference_model import convert, internvl_weights, released_recipes, sam2_weights
from reference_model.checkpoint import SHIPPED, load_checkpoint, read_recipe, read_tensors
from reference_model.prompts import frames_text, question_text
from reference_model.released_weights import merge_lora
from reference_model.weight_files import read_json
from tests.reference_model.golden import peer_cases as cases
from tests.reference_model.original_checkpoints import (
    SMALL_SAM2,
    small_recipe,
    weights_of,
    write_released,
    write_tokenizer,
    write_training,
)

EMBEDDING = "language_model.model.embed_tokens.weight"
LORA = "mllm.model.language_model.base_model.model.model.layers.1.mlp.up_proj.lora_B.default.weight"


@pytest.fixture(autouse=True)
def small_size(monkeypatch):
    monkeypatch.setitem(sam2_weights.SIZES, "small", SMALL_SAM2)
    monkeypatch.setitem(released_recipes.RELEASED, "small", small_recipe)


def run(*words):
    return convert.main([str(word) for word in words])


def test_in_out_and_in_again(tmp_path, capsys):
    source = write_released(tmp_path / "released")
    run("--released", source, "--output", tmp_path / "ours")
    first = capsys.readouterr().out.split()[1]
    run("--checkpoint", tmp_path / "ours", "--output", tmp_path / "out")
    run("--released", tmp_path / "out", "--output", tmp_path / "again")
    assert capsys.readouterr().out.split()[-2] == first
    written = read_tensors(tmp_path / "out" / "model.safetensors")
    before = weights_of("sa2va")
    assert set(written) == set(before)
    assert all(torch.equal(one, written[name]) for name, one in before.items())
    assert read_recipe(tmp_path / "again") == read_recipe(tmp_path / "ours")
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0\n---\n\n# small") and "qwen_chat" in card


def test_a_released_configuration_is_written_as_it_is_read(tmp_path):
    source = write_released(tmp_path / "released", template="phi3-chat")
    run("--released", source, "--output", tmp_path / "ours")
    run("--checkpoint", tmp_path / "ours", "--output", tmp_path / "out")
    before, after = (read_json(folder / "config.json") for folder in (source, tmp_path / "out"))
    read = [internvl_weights.read_size(one, "config.json") for one in (before, after)]
    assert read[0] == read[1]
    assert (after["model_type"], after["template"]) == ("reviosa_chat", "phi3_chat")
    assert after["architectures"] == ["ReVIOSaChatModel"] and after["torch_dtype"] == "float32"


def test_the_checkpoint_says_where_it_comes_from(tmp_path):
    run("--released", write_released(tmp_path / "ReVIOSa-1B"), "--output", tmp_path / "ours")
    loaded = load_checkpoint(tmp_path / "ours")
    assert loaded.facts["source"] == "ReVIOSa-1B"
    assert loaded.facts["trained_on"] == ["interrvos:train"]
    assert loaded.facts["provenance"]["command"]
    decoder = loaded.recipe.model.mask_decoder
    assert (decoder.pointer_times, decoder.absent_memory, decoder.hide_absent) == (False, False, False)
    assert loaded.model.role_ids == (cases.TOKENS.index("[SEG]"), cases.TOKENS.index("[SEG_OBJ]"))


def test_the_adapter_answers_with_a_converted_model(tmp_path):
    from reference_model.predict import main as predict

    run("--released", write_released(tmp_path / "released"), "--output", tmp_path / "ours")
    (tmp_path / "clip").mkdir()
    for number in range(6):
        pixels = np.full((24, 32, 3), 20 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "clip" / f"{number:05d}.jpg")
    words = ["--video", tmp_path / "clip", "--expression", "red disc", "--output", tmp_path / "a.png"]
    assert not predict([str(word) for word in (*words, "--checkpoint", tmp_path / "ours")])
    assert (tmp_path / "a.png").is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("text_hidden_fcs.2.bias"), "missing: text_hidden_fcs.2.bias"),
        (lambda w: w.pop("grounding_encoder.sam2_model.no_obj_ptr"), "missing: .*sam2_model.no_obj_ptr"),
        (lambda w: w.pop(EMBEDDING), f"missing: {EMBEDDING}"),
        (
            lambda w: w.update({EMBEDDING: torch.tensor(1.0)}),
            r"embed_tokens.weight \(\) instead of \(24, 48\)",
        ),
        (lambda w: w.update({"text_exist_fcs.0.weight": torch.ones(1)}), "unknown: text_exist_fcs.0.weight"),
        (lambda w: w.update({"mlp1.3.bias": torch.ones(1)}), r"mlp1.3.bias \(1,\) instead of \(48,\)"),
    ],
)
def test_released_weights_that_do_not_fit(tmp_path, change, message):
    weights = weights_of("sa2va")
    change(weights)
    source = write_released(tmp_path / "released", weights)
    with pytest.raises(CheckpointError, match=f"weights do not fit the architecture.*{message}"):
        run("--released", source, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "internvl_chat"}, "not a released ReVIOSa folder.*found 'internvl_chat'"),
        ({"model_type": "sa2va_chat"}, "not a released ReVIOSa folder; expected model_type reviosa_chat"),
        ({"template": "vicuna"}, "unknown chat template; expected qwen_chat or phi3_chat; found 'vicuna'"),
        (
            {"llm_config": cases.LANGUAGE | {"num_hidden_layers": 2}},
            r"not the size of a released model.*4b: \(36, 2048, 16, 24, 1024\).*found \(2, 48, 4, 2, 32\)",
        ),
    ],
)
def test_configurations_of_other_models(tmp_path, config, message):
    source = write_released(tmp_path / "released", **config)
    with pytest.raises(CheckpointError, match=message):
        run("--released", source, "--output", tmp_path / "out")


def test_tokenizers_of_other_models(tmp_path):
    source = write_released(tmp_path / "released")
    write_tokenizer(source, cases.TOKENS[: cases.FIRST_ADDED])
    with pytest.raises(CheckpointError, match=r"lacks tokens of this model.*missing \[SEG\], \[SEG_OBJ\]"):
        run("--released", source, "--output", tmp_path / "out")
    write_tokenizer(source, (*cases.TOKENS, "more"))
    with pytest.raises(
        CheckpointError, match="more words than the embeddings; expected 24 at most; found 25"
    ):
        run("--released", source, "--output", tmp_path / "out")


def training_words(paths):
    trained, internvl, sam2 = paths
    return "--training", trained, "--internvl", internvl, "--sam2", sam2, "--template", "qwen_chat"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda w: w.pop(LORA),
            "does not fit the model.*missing: language_model.model.layers.1.mlp.up_proj.lora_B",
        ),
        (lambda w: w.update({"mllm.model.mlp1.4.bias": torch.ones(1)}), "unknown: mlp1.4.bias"),
        (
            lambda w: w.update({LORA: torch.ones(96, 3)}),
            "LoRA matrices do not fit.*of another shape: language_model.model.layers.1.mlp.up_proj",
        ),
        (
            lambda w: w.update({"text_hidden_fcs.0.bias": torch.ones(3)}),
            r"text_hidden_fcs.0.bias \(3,\) instead of \(48,\)",
        ),
        (
            lambda w: [w.update({name: w[name][:20]}) for name in w if "embed_tokens" in name],
            r"not those of this tokenizer.*expected 24 rows.*\[SEG\], <p>, </p>, <vp>, </vp>, \[SEG_OBJ\]",
        ),
    ],
)
def test_training_files_that_do_not_fit(tmp_path, change, message):
    trained = weights_of("training")
    change(trained)
    words = training_words(write_training(tmp_path, trained))
    with pytest.raises(CheckpointError, match=message):
        run(*words, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_scale_of_lora_counts(tmp_path):
    words = training_words(write_training(tmp_path))
    name = "vision_language.internvl.model.language_model.layers.0.self_attn.q_proj.weight"
    found = []
    for scale in (1, 2):
        run(*words, "--lora-scale", scale, "--output", tmp_path / f"out{scale}")
        found.append(read_tensors(tmp_path / f"out{scale}" / "model.safetensors")[name])
    base = weights_of("internvl")["language_model.model.layers.0.self_attn.q_proj.weight"]
    assert torch.allclose(found[1] - base, 2 * (found[0] - base), atol=1e-5)
    assert load_checkpoint(tmp_path / "out1").facts["lora_scale"] == 1.0


def test_lora_is_rounded_once():
    weight = torch.ones(2, 3, dtype=torch.bfloat16)
    a, b = torch.full((1, 3), 0.1), torch.full((2, 1), 0.1)
    assert torch.equal(merge_lora(weight, a, b, 0.5), torch.full((2, 3), 1.005).bfloat16())
    assert merge_lora(weight, a[0], b, 1.0) is None
    assert merge_lora(weight, torch.ones(2, 3), b, 1.0) is None
    assert merge_lora(weight, a, torch.ones(3, 1), 1.0) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--training", "a"], "one source is needed.*found --training"),
        (["--training", "a", "--internvl", "b"], "one source is needed"),
        (["--released", "a", "--checkpoint", "b"], "one source is needed"),
        (["--training", "a", "--internvl", "b", "--sam2", "c"], "--template goes with --training"),
        (["--released", "a", "--template", "qwen_chat"], "--template goes with --training"),
        (["--released", "a", "--lora-scale", "nan"], "not a scale"),
        (["--released", "a", "--lora-scale", "0"], "not a scale"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, words, message):
    with pytest.raises(UsageError, match=message):
        run(*words, "--output", tmp_path / "out")


def test_models_that_the_released_form_cannot_say(tmp_path):
    with pytest.raises(CheckpointError, match=r"not asked as the released ones are.*found tokens .SEG_ACT"):
        run("--checkpoint", SHIPPED, "--output", tmp_path / "out")


def test_a_checkpoint_that_was_changed_does_not_go_out(tmp_path):
    run("--released", write_released(tmp_path / "released"), "--output", tmp_path / "ours")
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    (tmp_path / "ours" / "config.json").write_text(json.dumps(config | {"weights_digest": "0"}))
    with pytest.raises(CheckpointError, match="not of one checkpoint"):
        run("--checkpoint", tmp_path / "ours", "--output", tmp_path / "out")
    with pytest.raises(OutputError, match="there is a model already"):
        run("--checkpoint", tmp_path / "ours", "--output", tmp_path / "released")


def test_the_words_are_those_of_the_released_code():
    recipe = released_recipes.reviosa_1b().model
    asked = frames_text(recipe.prompts, recipe.tokens, 2, 3) + question_text(recipe.prompts, "The Man.")
    frame = "<img><IMG_CONTEXT><IMG_CONTEXT><IMG_CONTEXT></img>"
    assert asked == (
        f"<|im_start|>user\n{frame}\n{frame}\nPlease segment the man.<|im_end|>\n<|im_start|>assistant\n"
    )
    recipe = released_recipes.reviosa_4b().model
    asked = frames_text(recipe.prompts, recipe.tokens, 1, 3) + question_text(recipe.prompts, "man")
    assert asked == f"<|user|>\n{frame}\nPlease segment man.<|end|>\n<|assistant|>\n"


def test_an_answer_ends_at_its_text(tmp_path):
    run("--released", write_released(tmp_path / "a"), "--output", tmp_path / "ours")
    model = load_checkpoint(tmp_path / "ours").model
    ids = [cases.TOKENS.index(word) for word in ("it", "is", "[SEG]", "sure", "red", "[SEG_OBJ]")]
    assert not model.says_end(ids)
    prompts = dataclasses.replace(model.config.prompts, stop_text="sure")
    model.config = dataclasses.replace(model.config, prompts=prompts)
    assert [model.says_end(ids[:end]) for end in range(1, 7)] == [False, False, False, True, False, False]


@pytest.mark.parametrize(
    ("make", "weights"),
    [(released_recipes.reviosa_1b, 938_193_024), (released_recipes.reviosa_4b, 3_712_637_952)],
)
def test_released_sizes_are_those_of_internvl(make, weights):
    recipe = make()
    size = dataclasses.replace(recipe.model.vision_language, vocabulary=151_674)
    assert sum(one.numel() for one in internvl_weights.empty_weights(size).values()) == weights
    assert size.tokens_per_frame == 256
    assert (
        released_recipes.released_recipe(recipe.model.vision_language, "qwen_chat", "x").name == recipe.name
    )
