"""What a model computes in: float32, or bfloat16 where it is stored so and a GPU does it."""

from __future__ import annotations

import torch
from torch import nn

from benchmark.errors import UsageError
from reference_model.model import Reviosa

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def computing_type(name: str, device: torch.device, stored: torch.dtype) -> torch.dtype:
    """The type of a name; `auto` is bfloat16 on a GPU for weights that are stored in it, else float32.

    Raises:
        UsageError: for another name.
    """
    if name == "auto":
        return stored if device.type == "cuda" and stored is torch.bfloat16 else torch.float32
    if name not in TYPES:
        raise UsageError(
            "unknown precision", where=f"--precision {name}", expected="auto, float32 or bfloat16"
        )
    return TYPES[name]


def with_weights_in(model: Reviosa, dtype: torch.dtype | None, device: torch.device) -> Reviosa:
    """The model on a device with its weights in a type.

    Tables that are computed and not stored (of rotary positions) stay in float32: rounded, they would move
    every position of a long prompt.
    """
    if dtype is not None:
        cast_weights(model, dtype)
    return model.to(device)


def cast_weights(model: nn.Module, dtype: torch.dtype) -> None:
    """Cast everything that a checkpoint would store, in place."""
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            parameter.data = parameter.data.to(dtype)
        for name, buffer in module.named_buffers(recurse=False):
            if name not in module._non_persistent_buffers_set and buffer.is_floating_point():
                setattr(module, name, buffer.to(dtype))
