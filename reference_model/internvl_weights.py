"""Original InternVL2.5 checkpoints with a Qwen2 language model and `InternVLForConditionalGeneration`.

The original vision tower computes query, key and value with one matrix, the native class with three; the
projector `mlp1` is a plain sequence there and has named layers here.

Source: OpenGVLab/InternVL at 2410d1d, `internvl_chat/internvl/model/internvl_chat`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from benchmark.errors import CheckpointError, ProblemCollector
from reference_model.config import VisionLanguageConfig
from reference_model.vision_language import build_internvl
from reference_model.weight_names import Rule, renamed, require_same_names, reversed_rules, translate

if TYPE_CHECKING:
    from transformers import InternVLForConditionalGeneration

_OLD_LAYER, _NEW_LAYER = "vision_model.encoder.layers.{n}", "model.vision_tower.encoder.layer.{n}"
_OLD_EMBEDDING, _NEW_EMBEDDING = "vision_model.embeddings", "model.vision_tower.embeddings"
HEAD = "language_model.lm_head.weight"

RULES: tuple[Rule, ...] = (
    Rule(
        (f"{_OLD_LAYER}.attn.qkv.{{p}}",),
        tuple(f"{_NEW_LAYER}.attention.{one}_proj.{{p}}" for one in "qkv"),
    ),
    *renamed(
        (f"{_OLD_EMBEDDING}.class_embedding", f"{_NEW_EMBEDDING}.cls_token"),
        (f"{_OLD_EMBEDDING}.position_embedding", f"{_NEW_EMBEDDING}.position_embeddings"),
        (f"{_OLD_EMBEDDING}.patch_embedding.{{p}}", f"{_NEW_EMBEDDING}.patch_embeddings.projection.{{p}}"),
        (f"{_OLD_LAYER}.attn.proj.{{p}}", f"{_NEW_LAYER}.attention.projection_layer.{{p}}"),
        (f"{_OLD_LAYER}.mlp.fc{{m}}.{{p}}", f"{_NEW_LAYER}.mlp.fc{{m}}.{{p}}"),
        (f"{_OLD_LAYER}.norm1.{{p}}", f"{_NEW_LAYER}.layernorm_before.{{p}}"),
        (f"{_OLD_LAYER}.norm2.{{p}}", f"{_NEW_LAYER}.layernorm_after.{{p}}"),
        (f"{_OLD_LAYER}.ls1", f"{_NEW_LAYER}.lambda_1"),
        (f"{_OLD_LAYER}.ls2", f"{_NEW_LAYER}.lambda_2"),
        ("mlp1.0.{p}", "model.multi_modal_projector.layer_norm.{p}"),
        ("mlp1.1.{p}", "model.multi_modal_projector.linear_1.{p}"),
        ("mlp1.3.{p}", "model.multi_modal_projector.linear_2.{p}"),
        (HEAD, "lm_head.weight"),
        ("language_model.model.{rest}", "model.language_model.{rest}"),
    ),
)

FIXED: tuple[tuple[str, Any, Any], ...] = (
    # Where in config.json, what the native class computes, what the original class assumes if it is silent.
    ("downsample_ratio", 0.5, 0.5),
    ("ps_version", "v2", "v1"),
    ("select_layer", -1, -1),
    ("vision_config.hidden_act", "gelu", "gelu"),
    ("vision_config.norm_type", "layer_norm", "rms_norm"),
    ("vision_config.qk_normalization", False, True),
    ("vision_config.layer_norm_eps", 1e-6, 1e-6),
    ("vision_config.num_channels", 3, 3),
    ("llm_config.hidden_act", "silu", "silu"),
    ("llm_config.rms_norm_eps", 1e-6, 1e-6),
    ("llm_config.rope_scaling", None, None),
    ("llm_config.use_sliding_window", False, False),
)

SIZE_FIELDS: tuple[tuple[str, str], ...] = (
    ("patch_size", "vision_config.patch_size"),
    ("vision_layers", "vision_config.num_hidden_layers"),
    ("vision_width", "vision_config.hidden_size"),
    ("vision_heads", "vision_config.num_attention_heads"),
    ("vision_feed_forward", "vision_config.intermediate_size"),
    ("layers", "llm_config.num_hidden_layers"),
    ("width", "llm_config.hidden_size"),
    ("heads", "llm_config.num_attention_heads"),
    ("key_value_heads", "llm_config.num_key_value_heads"),
    ("feed_forward", "llm_config.intermediate_size"),
    ("vocabulary", "llm_config.vocab_size"),
    ("max_positions", "llm_config.max_position_embeddings"),
)

OTHER_FIELDS: dict[str, str] = {
    "rope_theta": "llm_config.rope_theta",
    "layer_scale": "vision_config.initializer_factor",
    "vision_bias": "vision_config.qkv_bias",
    "tied": "llm_config.tie_word_embeddings",
}


def read_size(config: Mapping[str, Any], where: str) -> VisionLanguageConfig:
    """The sizes in an original `config.json`.

    Raises:
        CheckpointError: sizes that are missing, or anything that the native class computes differently;
            all of it is listed.
    """
    problems = ProblemCollector()
    architecture = _at(config, "llm_config.architectures", [None])
    if architecture != ["Qwen2ForCausalLM"]:
        problems.add(
            "another language model",
            where=f"{where}: llm_config.architectures",
            expected="['Qwen2ForCausalLM'], as in InternVL2_5-1B and -4B",
            found=repr(architecture),
        )
    for path, needed, silent in FIXED:
        value = _at(config, path, silent)
        if value != needed:
            problems.add(
                "not what the native class computes",
                where=f"{where}: {path}",
                expected=repr(needed),
                found=repr(value),
            )
    side = config.get("force_image_size") or _at(config, "vision_config.image_size", None)
    sizes = {"image_size": side} | {field: _at(config, path, None) for field, path in SIZE_FIELDS}
    paths = {"image_size": "vision_config.image_size"} | dict(SIZE_FIELDS)
    for field, value in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            problems.add(
                "size is missing or wrong",
                where=f"{where}: {paths[field]}",
                expected="a whole number above 0",
                found=repr(value),
            )
    rope = _at(config, "llm_config.rope_theta", _at(config, "llm_config.rope_parameters.rope_theta", 10000.0))
    others = {
        "rope_theta": rope,
        "layer_scale": _at(config, "vision_config.initializer_factor", 0.1),
        "vision_bias": _at(config, "vision_config.qkv_bias", False),
        "tied": _at(config, "llm_config.tie_word_embeddings", False),
    }
    for field, value in others.items():
        switch = field in ("vision_bias", "tied")
        if not (isinstance(value, bool) if switch else _is_positive(value)):
            problems.add(
                "value is wrong",
                where=f"{where}: {OTHER_FIELDS[field]}",
                expected="true or false" if switch else "a number above 0",
                found=repr(value),
            )
    problems.raise_if_any(CheckpointError, f"{where} describes a model that cannot be converted")
    # JSON writes 1.0 as 1, too; the native configuration wants a float.
    others |= {field: float(others[field]) for field in ("rope_theta", "layer_scale")}
    size = VisionLanguageConfig(**sizes, **others)
    require_divisible(size, where)
    return size


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e30


def require_divisible(size: VisionLanguageConfig, where: str) -> None:
    """Heads share their widths evenly, and the visual tokens of a frame form a grid of whole 2x2 patches.

    Raises:
        CheckpointError: naming every pair of sizes that does not go together.
    """
    pairs = {
        "heads of the vision tower": (size.vision_width, size.vision_heads),
        "heads of the language model": (size.width, 2 * size.heads),  # half of a head is turned by its place
        "heads that share keys": (size.heads, size.key_value_heads),
        "two patches": (size.image_size, 2 * size.patch_size),
    }
    wrong = [f"{whole} by {part} ({name})" for name, (whole, part) in pairs.items() if whole % part]
    if wrong:
        raise CheckpointError(
            "sizes cannot be divided", where=where, expected="no remainder", found=", ".join(wrong)
        )


def _at(config: Mapping[str, Any], path: str, default: Any) -> Any:
    value: Any = config
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return default
        value = value[part]
    return value


def with_head_of(size: VisionLanguageConfig, tensors: Mapping[str, Tensor]) -> VisionLanguageConfig:
    """A checkpoint that holds its own output matrix is not tied, whatever its configuration says."""
    return dataclasses.replace(size, tied=False) if HEAD in tensors else size


def to_native(tensors: Mapping[str, Tensor], size: VisionLanguageConfig, where: str) -> dict[str, Tensor]:
    """The weights under the names of `InternVLForConditionalGeneration`.

    Raises:
        CheckpointError: names that are missing, unknown or of another shape, in the file's own words.
    """
    require_same_names(tensors, to_original(empty_weights(size), where), where)
    return translate(tensors, RULES, where)


def to_original(tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The weights of the native class under the original names.

    Raises:
        CheckpointError: when they are not those of the native class.
    """
    return translate(tensors, reversed_rules(RULES), where)


def empty_weights(size: VisionLanguageConfig) -> dict[str, Tensor]:
    """Names and shapes of the native class, without values; a tied matrix is named once."""
    weights: dict[str, Tensor] = empty_internvl(size).state_dict()
    if size.tied:
        del weights["lm_head.weight"]
    return weights


def empty_internvl(
    size: VisionLanguageConfig, image_token_id: int = 0, padding_id: int = 0
) -> InternVLForConditionalGeneration:
    """A native model of this size without values."""
    with torch.device("meta"):
        return build_internvl(size, size.vocabulary or 0, image_token_id, padding_id)
