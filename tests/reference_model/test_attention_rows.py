"""Attention rows against eager attention: both text sides, LoRA with dropout, activation checkpointing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from transformers import Qwen2Config, Qwen2Model
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLTextConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLTextModel

from reference_model.attention_rows import attention_rows, indices, watched
from reference_model.losses import attention_mask_loss

LAYER, HEADS, LENGTH = 1, (0, 3), 24
ROWS = torch.tensor([(0, 20), (0, 23), (1, 11), (1, 22)])
SIZES = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,  # attention far from even
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": None,
}


def qwen2() -> nn.Module:
    return Qwen2Model(Qwen2Config(**SIZES))


def qwen2_5_vl() -> nn.Module:
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}
    return Qwen2_5_VLTextModel(Qwen2_5_VLTextConfig(**SIZES, rope_parameters=rope))


def with_lora(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    def built() -> nn.Module:
        config = LoraConfig(
            r=4, lora_alpha=8, lora_dropout=0.3, target_modules=["q_proj", "k_proj", "v_proj"]
        )
        model: nn.Module = inject_adapter_in_model(config, build())
        for name, one in model.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(one, std=0.3)  # it starts as zero, which would hide dropout
        return model

    return built


MODELS = {
    "qwen2": qwen2,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen2-lora": with_lora(qwen2),
    "qwen2_5_vl-lora": with_lora(qwen2_5_vl),
}


def checkpoint_layers(model: nn.Module, use_reentrant: bool) -> None:
    """Activation checkpointing, under the name that the installed transformers has for it."""
    newer = hasattr(model, "activation_checkpointing_enable")
    enable = model.activation_checkpointing_enable if newer else model.gradient_checkpointing_enable
    enable({"use_reentrant": use_reentrant})


def hooks(model: nn.Module) -> dict[str, int]:
    return {
        name: len(one._forward_hooks) + len(one._forward_pre_hooks) for name, one in model.named_modules()
    }


def positions(name: str) -> Tensor:
    plain = torch.arange(LENGTH).expand(2, -1)
    if not name.startswith("qwen2_5_vl"):
        return plain
    # Time, height and width of twelve visual tokens on a grid of 3 x 4; words go on from there.
    grid = torch.arange(12)
    words = torch.arange(LENGTH - 12) + 4
    axes = (torch.zeros(12, dtype=torch.long), grid // 4, grid % 4)
    return torch.stack([torch.cat([axis, words]) for axis in axes])[:, None].expand(-1, 2, -1)


def built(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    model = MODELS[name]().train()
    causal = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
    hidden = torch.randn(2, LENGTH, SIZES["hidden_size"])
    return model, hidden, causal


def rows_of_fused(name: str, model: nn.Module, hidden: Tensor, causal: Tensor) -> Tensor:
    model.set_attn_implementation("sdpa")
    torch.manual_seed(7)  # the same dropout in both passes
    with watched([model.layers[LAYER]]) as (seen,):
        model(inputs_embeds=hidden, attention_mask=causal[None, None], position_ids=positions(name))
    return attention_rows(seen, HEADS, ROWS)


def rows_of_eager(name: str, model: nn.Module, hidden: Tensor, causal: Tensor) -> Tensor:
    model.set_attn_implementation("eager")
    torch.manual_seed(7)
    mask = torch.zeros(1, 1, LENGTH, LENGTH).masked_fill(~causal, torch.finfo(torch.float32).min)
    output = model(
        inputs_embeds=hidden, attention_mask=mask, position_ids=positions(name), output_attentions=True
    )
    clip, token = ROWS.unbind(1)
    found: Tensor = output.attentions[LAYER][clip, :, token][:, list(HEADS)]
    return found


def gradients(model: nn.Module, rows: Tensor) -> dict[str, Tensor]:
    """What the loss on the first twelve tokens gives to every weight that it reaches."""
    truth = (torch.rand(len(ROWS), 12, generator=torch.Generator().manual_seed(1)) > 0.6).float()
    model.zero_grad()
    attention_mask_loss(rows[..., :12], truth).backward()
    return {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointing"])
@pytest.mark.parametrize("name", list(MODELS))
def test_values_and_gradients_are_those_of_eager_attention(name, checkpointing):
    model, hidden, causal = built(name)
    expected = rows_of_eager(name, model, hidden, causal)
    theirs = gradients(model, expected)
    if checkpointing:
        checkpoint_layers(model, use_reentrant=False)
    found = rows_of_fused(name, model, hidden, causal)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.sum(-1), torch.ones(found.shape[:2]))
    mine = gradients(model, found)
    assert {one for one, value in mine.items() if value.any()} == {
        one for one, value in theirs.items() if value.any()
    }
    for one, value in theirs.items():
        if value.any():
            torch.testing.assert_close(
                mine[one], value, atol=1e-5 * float(value.abs().max()), rtol=1e-5, msg=one
            )


def test_dropout_of_a_wrapped_projection_is_that_of_the_forward_pass():
    """A second run of the projections would draw another dropout: rows of no attention that happened."""
    model, hidden, causal = built("qwen2-lora")
    first = rows_of_fused("qwen2", model, hidden, causal)
    model.eval()
    without = rows_of_fused("qwen2", model, hidden, causal)
    assert (first - without).abs().max() > 1e-3


def test_nothing_stays_behind_on_the_model():
    model, hidden, causal = built("qwen2")
    before = {
        name: len(one._forward_hooks) + len(one._forward_pre_hooks) for name, one in model.named_modules()
    }
    rows_of_fused("qwen2", model, hidden, causal)
    configs = [layer.self_attn.config for layer in model.layers]
    with pytest.raises(KeyError), watched(model.layers):
        model(inputs_embeds=hidden, attention_mask={})
    assert all(one.self_attn.config is config for one, config in zip(model.layers, configs, strict=True))
    after = {
        name: len(one._forward_hooks) + len(one._forward_pre_hooks) for name, one in model.named_modules()
    }
    assert after == before


def test_reentrant_checkpointing_is_refused_and_not_a_loss_without_gradients():
    model, hidden, causal = built("qwen2")
    checkpoint_layers(model, use_reentrant=True)
    with pytest.raises(ValueError, match="use_reentrant"):
        rows_of_fused("qwen2", model, hidden.requires_grad_(), causal)


def test_layer_that_was_not_run_is_refused():
    model, _, _ = built("qwen2")
    with watched([model.layers[LAYER]]) as (seen,):
        pass
    with pytest.raises(ValueError, match="not run"):
        attention_rows(seen, HEADS, ROWS)


def test_no_mask_means_causal_order():
    model, hidden, causal = built("qwen2")
    masked = rows_of_fused("qwen2", model, hidden, causal)
    with watched([model.layers[LAYER]]) as (seen,):
        model(inputs_embeds=hidden, position_ids=positions("qwen2"))
    assert seen.mask is None
    torch.testing.assert_close(attention_rows(seen, HEADS, ROWS), masked, atol=1e-6, rtol=1e-5)


def test_scores_are_not_rounded_under_autocast():
    """bfloat16 has three digits: a score of 20 would be off by up to 0.06, its share by six percent."""
    model, hidden, causal = built("qwen2")
    with watched([model.layers[LAYER]]) as (seen,), torch.no_grad():
        model(inputs_embeds=hidden, attention_mask=causal[None, None], position_ids=positions("qwen2"))
    exact = attention_rows(seen, HEADS, ROWS)
    with torch.autocast("cpu", torch.bfloat16):
        found = attention_rows(seen, HEADS, ROWS)
    assert found.dtype is torch.float32
    assert torch.equal(found, exact)


def test_mask_of_another_form_is_refused():
    model, hidden, causal = built("qwen2")
    with watched([model.layers[LAYER]]) as (seen,):
        model(inputs_embeds=hidden, attention_mask=causal[None, None], position_ids=positions("qwen2"))
    seen.mask = torch.ones(2, LENGTH)
    with pytest.raises(ValueError, match="four dimensions"):
        attention_rows(seen, HEADS, ROWS)


def test_analysis_before_a_training_leaves_no_tensor_that_it_cannot_use():
    indices.cache_clear()
    model, hidden, causal = built("qwen2")
    with torch.inference_mode():
        rows_of_fused("qwen2", model, hidden, causal)
    assert gradients(model, rows_of_fused("qwen2", model, hidden, causal))
