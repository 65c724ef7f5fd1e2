"""Weights of ReVIOSa in the released form and in ours: names, LoRA, and the way in and out.

A released folder holds all weights, under names that ReVIOSa took over from Sa2VA. A training file holds
what was trained: LoRA matrices, embeddings, head, both projectors and the mask decoder; the rest is in the
InternVL2.5 folder and the SAM2 file that the training began with.

Source: cvlab-kaist/InterRVOS at 14c261e, `ReVIOSa/model/hf` (what goes out) and `models/reviosa.py` beside it
(what a training stores); the modules are those of bytedance/Sa2VA at d01bf3f (tag v1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reference_model import internvl_weights, sam2_weights
from reference_model.config import ModelConfig, VisionLanguageConfig
from reference_model.model import Reviosa
from reference_model.weight_names import (
    Rule,
    raise_problems,
    renamed,
    require_same_names,
    reversed_rules,
    translate,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SAM2 = "grounding_encoder.sam2_model."
LORA_TARGETS = tuple(f"self_attn.{one}_proj" for one in "qkvo") + tuple(
    f"mlp.{one}_proj" for one in ("gate", "up", "down")
)
_LORA = re.compile(r"(?P<weight>.+)\.lora_(?P<side>[AB])\.default\.weight")


def _prefixed(rules: Sequence[Rule], left: str, right: str) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            tuple(left + name for name in rule.left), tuple(right + name for name in rule.right), rule.copied
        )
        for rule in rules
    )


def _released_name(name: str) -> str:
    """The released code calls the scale of the memory fuser otherwise: transformers rewrites "gamma"."""
    return name.replace(".gamma", ".g_weight")


RULES: tuple[Rule, ...] = (
    *_prefixed(internvl_weights.RULES, "", "vision_language.internvl."),
    *(
        Rule(tuple(map(_released_name, rule.left)), rule.right, rule.copied)
        for rule in _prefixed(sam2_weights.RULES, SAM2, "mask_decoder.sam2.")
    ),
    *renamed(("text_hidden_fcs.{n}.{p}", "projector.{n}.{p}")),
)


def empty_weights(config: ModelConfig, tokenizer: PreTrainedTokenizerFast) -> dict[str, Tensor]:
    """Names and shapes of a checkpoint of ours, without values; a tied matrix is named once.

    Raises:
        CheckpointError: when the tokenizer lacks a token of the model.
    """
    with torch.device("meta"):
        model = Reviosa(config, tokenizer)
    once = {name for name, _ in model.named_parameters()} | {name for name, _ in model.named_buffers()}
    return {name: one for name, one in model.state_dict().items() if name in once}


def to_checkpoint(
    tensors: Mapping[str, Tensor], config: ModelConfig, tokenizer: PreTrainedTokenizerFast, where: str
) -> dict[str, Tensor]:
    """Released weights under the names of our checkpoints.

    Raises:
        CheckpointError: names that are missing, unknown or of another shape, in the file's own words.
    """
    expected = to_released(empty_weights(config, tokenizer), where)
    require_same_names(tensors, expected, where)
    return translate(tensors, RULES, where)


def to_released(weights: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The weights of a checkpoint of ours under the released names.

    Raises:
        CheckpointError: when they are not those of a checkpoint of ours.
    """
    return translate(weights, reversed_rules(RULES), where)


def trained_names(size: VisionLanguageConfig, sam2: Mapping[str, Tensor]) -> set[str]:
    """What a training file must hold, under released names, LoRA matrices apart by side."""
    layers = (f"language_model.model.layers.{number}" for number in range(size.layers))
    lora = {f"{layer}.{one}.lora_{side}" for layer in layers for one in LORA_TARGETS for side in "AB"}
    projectors = {f"mlp1.{n}.{p}" for n in (0, 1, 3) for p in ("weight", "bias")}
    projectors |= {f"text_hidden_fcs.{n}.{p}" for n in (0, 2) for p in ("weight", "bias")}
    decoder = {SAM2 + name for name in sam2 if name.startswith("sam_mask_decoder.")}
    return lora | projectors | decoder | {"language_model.model.embed_tokens.weight", internvl_weights.HEAD}


def merge_training(
    trained: Mapping[str, Tensor],
    internvl: Mapping[str, Tensor],
    sam2: Mapping[str, Tensor],
    size: VisionLanguageConfig,
    lora_scale: float,
    where: str,
) -> dict[str, Tensor]:
    """A training file put onto the weights that the training began with, under released names.

    Args:
        trained: as stored by the training.
        internvl, sam2: under their original names.
        lora_scale: alpha over rank; the files do not say it (the released configuration has 256 over 128).

    Raises:
        CheckpointError: names that are missing or unknown, or LoRA matrices that do not fit.
    """
    plain: dict[str, Tensor] = {}
    for name, tensor in trained.items():
        short = name.replace("mllm.model.", "").replace("base_model.model.", "")
        match = _LORA.fullmatch(short)
        plain[f"{match['weight']}.lora_{match['side']}" if match else short] = tensor
    wanted = trained_names(size, sam2)
    problems = {"missing": sorted(wanted - set(plain)), "unknown": sorted(set(plain) - wanted)}
    raise_problems("a training file does not fit the model", problems, where, f"{len(wanted)} tensors")
    whole = {**internvl, **{SAM2 + _released_name(name): one for name, one in sam2.items()}}
    misfits: list[str] = []
    for name, tensor in plain.items():
        if not name.endswith((".lora_A", ".lora_B")):
            whole[name] = tensor
        elif name.endswith(".lora_A"):
            target = name.removesuffix(".lora_A")
            merged = merge_lora(whole[f"{target}.weight"], tensor, plain[f"{target}.lora_B"], lora_scale)
            if merged is None:
                misfits.append(target)
            else:
                whole[f"{target}.weight"] = merged
    raise_problems("LoRA matrices do not fit", {"of another shape": misfits}, where)
    return whole


def merge_lora(weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor | None:
    """`weight + scale * b @ a`, computed in float32 and rounded once; `None` where shapes do not fit."""
    if a.dim() != 2 or b.dim() != 2 or b.shape[1] != a.shape[0]:
        return None
    if (b.shape[0], a.shape[1]) != tuple(weight.shape):
        return None
    return (weight.float() + scale * (b.float() @ a.float())).to(weight.dtype)
