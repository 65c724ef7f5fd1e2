"""Floating-point operations of what runs inside a `with` block, fused attention included.

The counter of torch 2.11 stops at attention with fewer heads of keys than of queries, and that of no version
knows the kernel of a CPU; so fused attention of every kind is counted from its shapes here. Causal order is
not made use of: what is masked is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

FORWARD = (
    torch.ops.aten._scaled_dot_product_flash_attention,
    torch.ops.aten._scaled_dot_product_efficient_attention,
    torch.ops.aten._scaled_dot_product_cudnn_attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu,
)
BACKWARD = (
    torch.ops.aten._scaled_dot_product_flash_attention_backward,
    torch.ops.aten._scaled_dot_product_efficient_attention_backward,
    torch.ops.aten._scaled_dot_product_cudnn_attention_backward,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward,
)
"""All of them begin with (the gradient of the output,) queries, keys, values: (B, heads, L, width)."""


def attention_operations(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any
) -> int:
    """Two products, of queries with keys and of their shares with values; two for each term."""
    batch, heads, rows, width = query
    return 2 * batch * heads * rows * key[2] * (width + value[3])


def attention_gradient_operations(
    _: Sequence[int], query: Sequence[int], key: Sequence[int], value: Sequence[int], *__: Any, **___: Any
) -> int:
    """Five products: the scores once more, and one for each of the four gradients on the way back."""
    batch, heads, rows, width = query
    return 2 * batch * heads * rows * key[2] * (3 * width + 2 * value[3])


def operation_counter() -> FlopCounterMode:
    """A counter; `get_total_flops()` after the block."""
    formulas = dict.fromkeys(FORWARD, attention_operations)
    backward = dict.fromkeys(BACKWARD, attention_gradient_operations)
    return FlopCounterMode(display=False, custom_mapping={**formulas, **backward})
