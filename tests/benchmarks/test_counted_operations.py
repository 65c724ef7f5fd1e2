"""Fused attention counts as much as the products that it is made of, whatever kernel runs."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.benchmarks.counted_operations import BACKWARD, FORWARD, operation_counter


def tensors(groups: int) -> list[torch.Tensor]:
    sizes = ((2, 8, 32, 16), (2, groups, 20, 16), (2, groups, 20, 16))
    return [torch.randn(size, requires_grad=True) for size in sizes]


def counted(groups: int, written_out: bool) -> int:
    query, key, value = tensors(groups)
    with operation_counter() as counter:
        if written_out:
            key, value = (one.repeat_interleave(8 // groups, 1) for one in (key, value))
            output = (query @ key.transpose(2, 3)).softmax(-1) @ value
        else:
            output = F.scaled_dot_product_attention(query, key, value, enable_gqa=True)
        output.sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("groups", [8, 2])
def test_fused_attention_is_counted_forwards_and_backwards(groups):
    again = 2 * 2 * 8 * 32 * 20 * 16  # a fused kernel computes the scores once more on its way back
    assert counted(groups, False) == counted(groups, True) + again


def test_kernels_of_every_device_are_known_under_these_names():
    """Torch must have them, with queries, keys and values in the places that the formulas read."""
    for kernel in FORWARD:
        assert [one.name for one in kernel.default._schema.arguments[:3]] == ["query", "key", "value"]
    for kernel in BACKWARD:
        names = [one.name for one in kernel.default._schema.arguments[:4]]
        assert names[0].startswith("grad_out") and names[1:] == ["query", "key", "value"]
