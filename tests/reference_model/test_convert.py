"""The command: nothing wrong gets through, and what is wrong is said in the file's own names."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmark.errors import CheckpointError, OutputError, UsageError
from reference_model import convert, internvl_weights, sam2_weights
from reference_model.checkpoint import read_tensors
from reference_model.tokenizer_files import read_tokenizer
from tests.reference_model.golden import peer_cases as cases
from tests.reference_model.original_checkpoints import (
    SMALL_SAM2,
    weights_of,
    write_internvl,
    write_sam2,
    write_tokenizer,
)


@pytest.fixture(autouse=True)
def small_size(monkeypatch):
    monkeypatch.setitem(sam2_weights.SIZES, "small", SMALL_SAM2)


def run(*words):
    return convert.main([str(word) for word in words])


def drop(name):
    return lambda weights: weights.pop(name)


def add(name):
    return lambda weights: weights.update({name: torch.zeros(1)})


def reshape(name):
    return lambda weights: weights.update({name: torch.zeros(3)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("mlp1.1.bias"), "missing: mlp1.1.bias"),
        (drop("vision_model.encoder.layers.1.attn.qkv.weight"), "missing: .*1.attn.qkv.weight"),
        (add("language_model.model.layers.9.extra"), "unknown: language_model.model.layers.9.extra"),
        (add("qllama.weight"), "unknown: qllama.weight"),
        (reshape("vision_model.encoder.layers.0.ls1"), r"of another shape: .*ls1 \(3,\) instead of \(32,\)"),
        (reshape("vision_model.encoder.layers.0.attn.qkv.bias"), r"\(3,\) instead of \(96,\)"),
    ],
)
def test_internvl_weights_that_do_not_fit(tmp_path, change, message):
    weights = weights_of("internvl")
    change(weights)
    source = write_internvl(tmp_path / "original", weights)
    with pytest.raises(CheckpointError, match=f"original: weights do not fit the architecture.*{message}"):
        run("--internvl", source, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("no_mem_embed"), "missing: no_mem_embed"),
        (drop("sam_prompt_encoder.point_embeddings.2.weight"), "missing: .*point_embeddings.2.weight"),
        (add("no_obj_embed_spatial_new"), "unknown: no_obj_embed_spatial_new"),
        (reshape("memory_encoder.fuser.layers.1.gamma"), r"gamma \(3,\) instead of \(256,\)"),
    ],
)
def test_sam2_weights_that_do_not_fit(tmp_path, change, message):
    weights = weights_of("sam2.1")
    change(weights)
    source = write_sam2(tmp_path / "original.pt", weights)
    with pytest.raises(CheckpointError, match=f"original.pt: weights do not fit the architecture.*{message}"):
        run("--sam2", source, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_all_that_the_native_class_computes_differently_is_listed(tmp_path):
    changed = {
        "ps_version": "v1",
        "select_layer": -4,
        "vision_config": cases.VISION | {"qk_normalization": True, "hidden_size": "32"},
        "llm_config": cases.LANGUAGE | {"architectures": ["InternLM2ForCausalLM"], "rope_theta": 0},
    }
    source = write_internvl(tmp_path / "original", **changed)
    with pytest.raises(CheckpointError) as caught:
        run("--internvl", source, "--output", tmp_path / "out")
    for part in (
        "6 problems",
        "llm_config.architectures: another language model; expected ['Qwen2ForCausalLM']",
        "ps_version: not what the native class computes; expected 'v2'; found 'v1'",
        "select_layer: not what",
        "vision_config.qk_normalization: not what",
        "vision_config.hidden_size: size is missing or wrong; expected a whole number above 0; found '32'",
        "llm_config.rope_theta: value is wrong; expected a number above 0; found 0",
    ):
        assert part in str(caught.value), part


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("vision_config.qkv_bias", "yes", "qkv_bias: value is wrong; expected true or false; found 'yes'"),
        ("vision_config.initializer_factor", float("nan"), "initializer_factor: value is wrong.*found nan"),
        ("llm_config.tie_word_embeddings", 1, "tie_word_embeddings: value is wrong"),
        ("vision_config.num_attention_heads", 3, r"32 by 3 \(heads of the vision tower\)"),
        ("llm_config.num_attention_heads", 5, r"48 by 10 .*, 5 by 2 \(heads that share keys\)"),
        ("vision_config.patch_size", 9, r"cannot be divided.*56 by 18 \(two patches\)"),
    ],
)
def test_single_values_of_a_configuration(tmp_path, field, value, message):
    part, name = field.split(".")
    changed = {part: cases.CONFIG[part] | {name: value}}
    source = write_internvl(tmp_path / "original", **changed)
    with pytest.raises(CheckpointError, match=message):
        run("--internvl", source, "--output", tmp_path / "out")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 70) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)
PLACES = [(name,) for name in cases.CONFIG] + [
    (part, name) for part in ("vision_config", "llm_config") for name in cases.CONFIG[part]
]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), ANYTHING), min_size=1, max_size=3))
@example([(("vision_config", "initializer_factor"), 1), (("llm_config", "rope_theta"), 1000000)])
@example([(("llm_config", "rope_theta"), 10**400)])
def test_whatever_a_configuration_says_it_is_read_or_refused(changes):
    config = copy.deepcopy(cases.CONFIG)
    for (*parents, last), value in changes:
        place = config[parents[0]] if parents else config
        if isinstance(place, dict):
            place[last] = value
    try:
        size = internvl_weights.read_size(config, "config.json")
    except CheckpointError:
        return
    assert internvl_weights.empty_weights(size)


def test_rope_in_the_new_form_and_a_tied_head(tmp_path):
    language = {name: value for name, value in cases.LANGUAGE.items() if name != "rope_theta"}
    language |= {"rope_parameters": {"rope_theta": 5.0}, "tie_word_embeddings": True}
    weights = weights_of("internvl")
    del weights[internvl_weights.HEAD]
    source = write_internvl(tmp_path / "original", weights, llm_config=language)
    run("--internvl", source, "--output", tmp_path / "out")
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["text_config"]["rope_parameters"]["rope_theta"] == 5.0
    assert written["tie_word_embeddings"] is True
    assert "lm_head.weight" not in read_tensors(tmp_path / "out" / "model.safetensors")


def test_a_head_that_is_there_is_kept_whatever_the_configuration_says(tmp_path):
    source = write_internvl(tmp_path / "original", llm_config=cases.LANGUAGE | {"tie_word_embeddings": True})
    run("--internvl", source, "--output", tmp_path / "out")
    found = read_tensors(tmp_path / "out" / "model.safetensors")["lm_head.weight"]
    assert torch.equal(found, weights_of("internvl")[internvl_weights.HEAD])
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is False


def test_a_missing_head_is_missing_when_nothing_says_that_it_is_tied(tmp_path):
    weights = weights_of("internvl")
    del weights[internvl_weights.HEAD]
    source = write_internvl(tmp_path / "original", weights)
    with pytest.raises(CheckpointError, match=r"missing: language_model.lm_head.weight"):
        run("--internvl", source, "--output", tmp_path / "out")


def test_values_and_types_are_kept_and_the_card_says_what_it_is(tmp_path, capsys):
    weights = {name: one.bfloat16() for name, one in weights_of("internvl").items()}
    source = write_internvl(tmp_path / "original", weights)
    run("--internvl", source, "--output", tmp_path / "out")
    digest, place = capsys.readouterr().out.split()[1:]
    assert place == str(tmp_path / "out")
    found = read_tensors(tmp_path / "out" / "model.safetensors")
    assert {one.dtype for one in found.values()} == {torch.bfloat16}
    assert torch.equal(found["model.multi_modal_projector.linear_2.weight"], weights["mlp1.3.weight"])
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["dtype"], config["image_token_id"]) == ("bfloat16", cases.IMAGE_TOKEN)
    assert config["text_config"]["eos_token_id"] == 2
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("---\nlicense: mit\n---\n") and digest in card
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (source / "tokenizer.json").read_bytes()


def test_nothing_is_overwritten(tmp_path):
    source = write_sam2(tmp_path / "a.pt")
    run("--sam2", source, "--output", tmp_path / "out")
    with pytest.raises(OutputError, match="there is a model already"):
        run("--sam2", source, "--output", tmp_path / "out")
    with pytest.raises(OutputError, match="there is a model already"):
        run("--internvl", source, "--output", tmp_path / "out")


def test_one_source_is_needed(tmp_path):
    with pytest.raises(UsageError, match="one source is needed"):
        run("--output", tmp_path / "out")
    with pytest.raises(UsageError, match="one source is needed"):
        run("--sam2", "a", "--internvl", "b", "--output", tmp_path / "out")


def test_tokenizers_that_are_missing_damaged_or_of_another_model(tmp_path):
    source = write_internvl(tmp_path / "original")
    (source / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="tokenizer cannot be read"):
        run("--internvl", source, "--output", tmp_path / "out")
    (source / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="no tokenizer here"):
        run("--internvl", source, "--output", tmp_path / "out")
    write_tokenizer(source, ("<|endoftext|>", "red"))
    with pytest.raises(CheckpointError, match=r"lacks tokens of this model.*found missing <IMG_CONTEXT>"):
        run("--internvl", source, "--output", tmp_path / "out")


def test_a_tokenizer_in_two_files(tmp_path):
    letters = {letter: number for number, letter in enumerate(["a", "b", "Ġ", "ab", "<|endoftext|>"])}
    (tmp_path / "vocab.json").write_text(json.dumps(letters))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"added_tokens_decoder": {"7": {"content": "<IMG_CONTEXT>", "special": True}}})
    )
    tokenizer = read_tokenizer(tmp_path)
    assert tokenizer("abb<IMG_CONTEXT>", add_special_tokens=False)["input_ids"] == [3, 1, 5]
