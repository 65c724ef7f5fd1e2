"""Released ReVIOSa folders and training files in, checkpoints of ours out as released folders."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from benchmark.errors import CheckpointError
from benchmark.stored_files import write_atomically, write_json
from reference_model import internvl_weights, sam2_weights
from reference_model.checkpoint import read_config, read_recipe, read_tensors, save_weights, weights_digest
from reference_model.config import ModelConfig, VisionLanguageConfig
from reference_model.native_folders import refuse_filled, write_card, write_weights
from reference_model.released_recipes import ADDED_TOKENS, TEMPLATES, TOKENS, released_recipe
from reference_model.released_weights import SAM2, empty_weights, merge_training, to_checkpoint, to_released
from reference_model.tokenizer_files import read_tokenizer, token_ids
from reference_model.weight_files import read_folder, read_json, read_pickle
from reference_model.weight_names import require_same_names

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

EMBEDDING = "language_model.model.embed_tokens.weight"
MODEL_TYPE = "reviosa_chat"


def convert_released(source: Path, output: Path, provenance: Mapping[str, Any]) -> str:
    """A released folder (`wooj0216/ReVIOSa-1B`, `-4B`) as a checkpoint of ours; returns the digest.

    Raises:
        CheckpointError: when the folder is not such a model, or is damaged.
        OutputError: when the output is taken or cannot be written to.
    """
    refuse_filled(output)
    where = str(source / "config.json")
    config = read_json(source / "config.json")
    if config.get("model_type") != MODEL_TYPE:
        raise CheckpointError(
            "not a released ReVIOSa folder",
            where=where,
            expected=f"model_type {MODEL_TYPE}",
            found=repr(config.get("model_type")),
            fix="for an InternVL2.5 folder use --internvl",
        )
    size = internvl_weights.read_size(config, where)
    template = str(config.get("template")).replace("-", "_")
    tokenizer = read_tokenizer(source)
    tensors = read_folder(source)
    facts = {"trained_on": ["interrvos:train"], "source": source.name, "provenance": dict(provenance)}
    return _save(output, tensors, tokenizer, size, template, facts, str(source))


def convert_training(
    trained: Path,
    internvl: Path,
    sam2: Path,
    output: Path,
    template: str,
    lora_scale: float,
    provenance: Mapping[str, Any],
) -> str:
    """A training file and what the training began with as a checkpoint of ours; returns the digest.

    Raises:
        CheckpointError: when one of the three is not what its option names, or they do not fit.
        OutputError: when the output is taken or cannot be written to.
    """
    refuse_filled(output)
    size = internvl_weights.read_size(read_json(internvl / "config.json"), str(internvl / "config.json"))
    base = read_folder(internvl)
    size = internvl_weights.with_head_of(size, base)
    expected = internvl_weights.to_original(internvl_weights.empty_weights(size), str(internvl))
    require_same_names(base, expected, str(internvl))
    sam2_tensors = read_pickle(sam2)
    sam2_weights.to_native(sam2_tensors, sam2_weights.find_size(sam2_tensors, str(sam2)), str(sam2))
    tokenizer = read_tokenizer(internvl)
    tokenizer.add_tokens(list(ADDED_TOKENS), special_tokens=True)
    merged = merge_training(read_pickle(trained), base, sam2_tensors, size, lora_scale, str(trained))
    rows = _rows(merged)
    if rows != len(tokenizer):
        raise CheckpointError(
            "the embeddings are not those of this tokenizer",
            where=str(trained),
            expected=f"{len(tokenizer)} rows: the words of {internvl.name} and {', '.join(ADDED_TOKENS)}",
            found=f"{rows} rows",
            fix="give the InternVL2.5 folder that the training began with",
        )
    facts = {
        "trained_on": ["interrvos:train"],
        "source": trained.name,
        "began_with": [internvl.name, sam2.name],
        "lora_scale": lora_scale,
        "provenance": dict(provenance),
    }
    return _save(output, merged, tokenizer, size, template, facts, str(trained))


def _save(
    output: Path,
    tensors: Mapping[str, Tensor],
    tokenizer: PreTrainedTokenizerFast,
    size: VisionLanguageConfig,
    template: str,
    facts: dict[str, Any],
    where: str,
) -> str:
    tokens = (TOKENS.actor, TOKENS.target, TOKENS.image, TOKENS.image_start, TOKENS.image_end)
    token_ids(tokenizer, [*tokens, TOKENS.turn_start, TOKENS.turn_end, TOKENS.padding], where)
    rows = _rows(tensors)
    if rows is None:  # which weights are missing is said below, all together
        rows = len(tokenizer)
    if rows < len(tokenizer):
        raise CheckpointError(
            "the tokenizer has more words than the embeddings",
            where=where,
            expected=f"{rows} at most",
            found=str(len(tokenizer)),
            fix="give the folder whose tokenizer belongs to the weights",
        )
    size = dataclasses.replace(internvl_weights.with_head_of(size, tensors), vocabulary=rows)
    recipe = released_recipe(size, template, where)
    sam2 = {name.removeprefix(SAM2): one for name, one in tensors.items() if name.startswith(SAM2)}
    decoder = dataclasses.replace(sam2_weights.find_size(sam2, where), hide_absent=False)
    recipe = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, mask_decoder=decoder))
    weights = to_checkpoint(tensors, recipe.model, tokenizer, where)
    facts["source_digest"] = weights_digest(tensors)
    text: str = tokenizer.backend_tokenizer.to_str(pretty=True)
    return save_weights(output, weights, text, recipe, facts)


def _rows(tensors: Mapping[str, Tensor]) -> int | None:
    """Rows of the embeddings; `None` where there are no such rows."""
    embedding = tensors.get(EMBEDDING)
    return embedding.shape[0] if embedding is not None and embedding.dim() else None


def write_released(checkpoint: Path, output: Path) -> str:
    """A checkpoint of ours as a folder of the released form; returns the digest of what was written.

    Raises:
        CheckpointError: a damaged checkpoint, or one that the released form cannot say.
        OutputError: when the output is taken or cannot be written to.
    """
    refuse_filled(output)
    recipe, stored = read_recipe(checkpoint), read_config(checkpoint)
    template = next((name for name, one in TEMPLATES.items() if one == recipe.model.prompts), None)
    if recipe.model.tokens != TOKENS or template is None:
        raise CheckpointError(
            "this model is not asked as the released ones are",
            where=str(checkpoint / "config.json"),
            expected=f"tokens {TOKENS.actor} and {TOKENS.target}, the words of {' or '.join(TEMPLATES)}",
            found=f"tokens {recipe.model.tokens.actor} and {recipe.model.tokens.target}, "
            f"question {recipe.model.prompts.question!r}",
            fix="only models with a recipe of released_recipes.py can be written in the released form",
        )
    weights = read_tensors(checkpoint / "model.safetensors")
    if weights_digest(weights) != stored["weights_digest"]:
        raise CheckpointError(
            "weights and configuration are not of one checkpoint",
            where=str(checkpoint),
            expected=f"weights digest {stored['weights_digest']}",
            found=weights_digest(weights),
            fix="fetch the checkpoint again",
        )
    tokenizer = read_tokenizer(checkpoint)
    require_same_names(weights, empty_weights(recipe.model, tokenizer), str(checkpoint))
    released = to_released(weights, str(checkpoint))
    write_weights(output, released)
    text: str = tokenizer.backend_tokenizer.to_str(pretty=True)
    write_atomically(output / "tokenizer.json", f"{text}\n".encode())
    write_json(output / "tokenizer_config.json", tokenizer_settings())
    digest = weights_digest(released)
    write_card(output, recipe.name, _card(recipe.name, template, released, digest), "apache-2.0")
    write_json(output / "config.json", released_config(recipe.model, template, len(tokenizer), released))
    return digest


def tokenizer_settings() -> dict[str, Any]:
    """What transformers must know beside `tokenizer.json`."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": TOKENS.padding,
        "eos_token": TOKENS.turn_end,
        "model_max_length": 8192,
        "padding_side": "right",
    }


def released_config(
    model: ModelConfig, template: str, words: int, weights: Mapping[str, Tensor]
) -> dict[str, Any]:
    """The `config.json` of the released form."""
    size = model.vision_language
    written: dict[str, Any] = {
        "architectures": ["ReVIOSaChatModel"],
        "model_type": MODEL_TYPE,
        "template": template,
        "force_image_size": size.image_size,
        "tie_word_embeddings": size.tied,
        "torch_dtype": str(weights[EMBEDDING].dtype).removeprefix("torch."),
        "vision_config": {
            "architectures": ["InternVisionModel"],
            "image_size": size.image_size,
            "qkv_bias": size.vision_bias,
            "initializer_factor": size.layer_scale,
        },
        "llm_config": {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "rope_theta": size.rope_theta,
            "tie_word_embeddings": size.tied,
        },
    }
    values = {path: getattr(size, field) for field, path in internvl_weights.SIZE_FIELDS}
    values |= {path: needed for path, needed, _ in internvl_weights.FIXED}
    values["llm_config.vocab_size"] = size.vocabulary or words
    for path, value in values.items():
        place = written
        *parents, last = path.split(".")
        for parent in parents:
            place = place[parent]
        place[last] = value
    return written


def _card(name: str, template: str, weights: Mapping[str, Tensor], digest: str) -> list[str]:
    return [
        "A ReVIOSa model in the form of the released ones: an expression and a video in, the masks of actor",
        f"(`{TOKENS.actor}`) and target (`{TOKENS.target}`) out.",
        "",
        f"- recipe: `{name}`; chat template: `{template}`",
        f"- weights: {len(weights)} tensors, {sum(one.numel() for one in weights.values()):,} values",
        f"- digest over names, types, shapes and values: `{digest}`",
        "- the folder holds no code: `python -m reference_model.convert --released` reads it as it is; the",
        "  released code needs its own Python files beside it",
        "- licence of the parts it began with: InternVL2.5 MIT, Qwen2.5 and SAM2 see their own cards",
    ]
