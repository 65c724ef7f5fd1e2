"""Attention of a few tokens in a few heads, beside the fused attention of a language model.

The attention mask loss needs the softmax rows of the role tokens only: a few rows of four heads of one layer.
All that they are made of passes by in the forward pass: a layer that is *watched* keeps the queries and keys
that it hands to its attention function, which are held for the backward pass anyhow, and nothing is computed
twice. Since they are the very tensors of the forward pass, rows are those of that pass also where the
projections are wrapped (LoRA with dropout), where weights are there only while their module runs (FSDP),
and where the layer is computed again in the backward pass (activation checkpointing, the non-reentrant kind).

It works for any language model of transformers that takes its attention function from the registry there:
Qwen2 in InternVL, the text side of Qwen2.5-VL.

Legend of shape suffixes:
    B clips   L tokens   D width   R rows   A all heads   H chosen heads   G key-value heads
    Z width of a head
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

WATCHED = "reviosa_watched"


@dataclass(slots=True)
class SeenLayer:
    """What one layer worked with in one forward pass; empty before it.

    Attributes:
        attention: the layer's attention module.
        fused: name of its attention function.
        input_BLD: hidden states that go into the layer.
        queries_BALZ: queries, rotary positions put in.
        keys_BGLZ: the same of the keys.
        mask: the attention mask (B or 1, 1, L, L), boolean or to be added; `None` for plain causal order.
        scaling: what scores are multiplied with.
    """

    attention: Any
    fused: str
    input_BLD: Tensor | None = None
    queries_BALZ: Tensor | None = None
    keys_BGLZ: Tensor | None = None
    mask: Tensor | None = None
    scaling: float = 1.0


@contextmanager
def watched(layers: Sequence[nn.Module]) -> Iterator[list[SeenLayer]]:
    """Keep what these layers work with in the forward pass inside the `with` block; one entry per layer.

    Only references are kept. Afterwards the layers are as before: when they are computed again (activation
    checkpointing) nothing is kept.
    """
    with ExitStack() as stack:
        yield [stack.enter_context(_watched(layer)) for layer in layers]


@contextmanager
def _watched(layer: nn.Module) -> Iterator[SeenLayer]:
    attention: Any = layer.self_attn
    config = attention.config
    seen = SeenLayer(attention, config._attn_implementation)

    def before_layer(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen.input_BLD = arguments[0] if arguments else named["hidden_states"]

    handle = layer.register_forward_pre_hook(before_layer, with_kwargs=True)
    # The attention module looks its function up in its configuration, which all layers share.
    attention.config = copy.copy(config)
    attention.config._attn_implementation = WATCHED
    attention.config.seen_layer = seen
    try:
        yield seen
    finally:
        attention.config = config
        handle.remove()


def _watched_attention(
    attention: Any, queries_BALZ: Tensor, keys_BGLZ: Tensor, values: Tensor, mask: Tensor | None, **named: Any
) -> tuple[Tensor, Tensor | None]:
    """The layer's own attention function, and a note of what it was given."""
    seen: SeenLayer = attention.config.seen_layer
    seen.queries_BALZ, seen.keys_BGLZ, seen.mask = queries_BALZ, keys_BGLZ, mask
    seen.scaling = named["scaling"]
    eager: Callable[..., Any] = sys.modules[type(attention).__module__].eager_attention_forward
    function = ALL_ATTENTION_FUNCTIONS.get_interface(seen.fused, eager)
    output: tuple[Tensor, Tensor | None] = function(attention, queries_BALZ, keys_BGLZ, values, mask, **named)
    return output


AttentionInterface.register(WATCHED, _watched_attention)


def attention_rows(seen: SeenLayer, heads: Sequence[int], rows_R2: Tensor) -> Tensor:
    """Softmax attention (R, H, L) of chosen tokens in chosen heads of a layer that was watched.

    Products and softmax are in float32 whatever the model computes in, as fused kernels do. Nothing here
    waits for a GPU, and there are few steps: beside a fused model their number counts, not their size.

    Args:
        rows_R2: (clip, token) index pairs.

    Raises:
        ValueError: when the layer was not run, was given a mask of an unknown form, or keeps no graph for
            a backward pass that will come.
    """
    if seen.queries_BALZ is None or seen.keys_BGLZ is None or seen.input_BLD is None:
        raise ValueError("the layer whose attention is wanted was not run while it was watched")
    if torch.is_grad_enabled() and seen.input_BLD.requires_grad and not seen.keys_BGLZ.requires_grad:
        raise ValueError(
            "reentrant activation checkpointing leaves nothing for the gradients of attention rows; "
            "enable it with use_reentrant=False"
        )
    clips, groups, length, _ = seen.keys_BGLZ.shape
    group = seen.queries_BALZ.shape[1] // groups
    device = rows_R2.device
    clip, token = rows_R2.unbind(1)
    place = token if clips == 1 else clip * length + token
    # index_select has the cheapest gradient of all ways to pick.
    queries_RAZ = seen.queries_BALZ.transpose(1, 2).flatten(0, 1).index_select(0, place)
    queries_RHZ = queries_RAZ.index_select(1, indices(tuple(heads), device)).float() * seen.scaling
    of_head = indices(tuple(head // group for head in heads), device)
    keys_BHLZ = seen.keys_BGLZ.index_select(1, of_head).float()
    # Every row against every clip, then its own: cheaper than a copy of the keys for each row.
    with torch.autocast(device.type, enabled=False):  # it would give scores of three digits
        scores_BHRL = queries_RHZ.transpose(0, 1) @ keys_BHLZ.transpose(2, 3)
    if clips == 1:
        scores_RHL = scores_BHRL[0].transpose(0, 1)
    else:
        own = torch.arange(len(clip), device=device) * clips + clip
        scores_RHL = scores_BHRL.permute(2, 0, 1, 3).flatten(0, 1).index_select(0, own)
    return _masked(scores_RHL, seen.mask, clip, token).softmax(-1)


def _masked(scores_RHL: Tensor, mask: Tensor | None, clip: Tensor, token: Tensor) -> Tensor:
    length = scores_RHL.shape[-1]
    if mask is None:
        later_RL = torch.arange(length, device=token.device) > token[:, None]
        return scores_RHL.masked_fill(later_RL[:, None], float("-inf"))
    if mask.dim() != 4:
        raise ValueError(f"attention rows need a mask of four dimensions or none, not {tuple(mask.shape)}")
    place = token if len(mask) == 1 else clip * length + token
    rows_RL = mask[:, 0].flatten(0, 1).index_select(0, place)
    if rows_RL.dtype == torch.bool:
        return scores_RHL.masked_fill(~rows_RL[:, None], float("-inf"))
    return scores_RHL + rows_RL[:, None]


@cache
def indices(numbers: tuple[int, ...], device: torch.device) -> Tensor:
    """An index tensor; kept, because sending one to a GPU makes it wait."""
    # Not one of inference mode, which would be of no use in a training that comes after.
    with torch.inference_mode(False):
        return torch.tensor(numbers, device=device)
