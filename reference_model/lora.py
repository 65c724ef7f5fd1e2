"""LoRA inside the language model, which weights a fine-tuning trains, and one plain model out of both again.

Source: cvlab-kaist/InterRVOS at 14c261e, `reviosa.py` and `configs/reviosa_1b.py`: LoRA on every linear layer
of the language model but the head; embeddings, head, both projectors and SAM2's mask decoder in full.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from benchmark.errors import CheckpointError
from reference_model.released_weights import merge_lora
from reference_model.tuning_config import LoraConfig

if TYPE_CHECKING:
    from reference_model.model import Reviosa

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ADAPTER = "default"
_LORA = re.compile(r"(?P<layer>.+)\.lora_(?P<side>[AB])\.default\.weight")
WITHOUT_LOSS = ("iou_prediction_head", "pred_obj_score_head")
"""Parts of the mask decoder that no loss reaches; the official code trains them in name only."""


def add_lora(model: Reviosa, config: LoraConfig) -> None:
    """Put LoRA matrices beside the linear layers of the language model; outputs stay as they were."""
    from peft import LoraConfig as PeftConfig
    from peft import inject_adapter_in_model

    inject_adapter_in_model(
        PeftConfig(
            r=config.rank,
            lora_alpha=config.alpha,
            lora_dropout=config.dropout,
            target_modules=rf".*\.({'|'.join(TARGETS)})",
            bias="none",
        ),
        model.vision_language.language_model,
        adapter_name=ADAPTER,
    )


def choose_trained(model: Reviosa) -> None:
    """Let gradients reach what the fine-tuning trains, and nothing else."""
    language = model.vision_language
    model.requires_grad_(False)
    for name, parameter in language.language_model.named_parameters():
        if _LORA.fullmatch(name):
            parameter.requires_grad_(True)
    decoder = model.mask_decoder.sam2.mask_decoder
    for module in (
        language.embeddings,
        language.head,
        language.connector,
        model.projector,
        decoder,
    ):
        module.requires_grad_(True)
    for name in WITHOUT_LOSS:
        getattr(decoder, name).requires_grad_(False)


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Name and weight of everything that is trained; a tied matrix is named once."""
    return {name: one for name, one in model.named_parameters() if one.requires_grad}


def set_types(model: nn.Module, frozen: torch.dtype) -> None:
    """Trained weights in float32, frozen ones in another type."""
    for parameter in model.parameters():
        wanted = torch.float32 if parameter.requires_grad else frozen
        if parameter.dtype != wanted:
            parameter.data = parameter.data.to(wanted)


def merged_weights(
    weights: Mapping[str, Tensor], scale: float, stored: torch.dtype | None = None
) -> dict[str, Tensor]:
    """Weights of a model with LoRA as those of the model without it: base + scale * B A, in float32.

    Args:
        stored: type of the result; `None` keeps the type of each weight.

    Raises:
        CheckpointError: when a matrix lacks its partner.
    """
    plain: dict[str, Tensor] = {}
    pairs = dict(_pairs(weights))
    for name, tensor in weights.items():
        if _LORA.fullmatch(name):
            continue
        short = name.replace(".base_layer.", ".")
        layer = short.removesuffix(".weight")
        value = tensor
        if layer in pairs and short.endswith(".weight"):
            merged = merge_lora(tensor, *pairs[layer], scale)
            if merged is None:
                raise CheckpointError("LoRA matrices do not fit", where=name)
            value = merged
        plain[short] = value if stored is None else value.to(stored)
    return plain


def _pairs(weights: Mapping[str, Tensor]) -> Iterator[tuple[str, tuple[Tensor, Tensor]]]:
    for name in weights:
        match = _LORA.fullmatch(name)
        if match and match["side"] == "A":
            other = f"{match['layer']}.lora_B.{ADAPTER}.weight"
            if other not in weights:
                raise CheckpointError("a LoRA matrix lacks its partner", where=name, expected=other)
            yield match["layer"], (weights[name], weights[other])
