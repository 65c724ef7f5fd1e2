"""A training step of a small language model without the attention mask loss, with it, and with it eagerly.

At the widths of the 1B model: python -m tests.benchmarks.measure_attention_loss
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.benchmarks.measure_attention_loss import Case, Size, Variant, held_bytes, make_case, step

SMALL = Size(
    layers=4,
    width=64,
    heads=4,
    feed_forward=128,
    vocabulary=50,
    tokens_per_side=8,
    tokens=400,
    chosen_heads=(0, 2),
)


@pytest.fixture(scope="module")
def case() -> Case:
    torch.set_num_threads(1)
    return make_case(SMALL)


@pytest.mark.parametrize("variant", list(Variant))
def test_a_step(benchmark: Any, case: Case, variant: Variant) -> None:
    assert benchmark(step, case, variant) > 0


def test_rows_and_eager_attention_are_the_same_step(case: Case) -> None:
    gradients = []
    losses = [step(case, variant) for variant in Variant]
    assert losses[1] == pytest.approx(losses[2], abs=1e-5) and losses[0] < losses[1]
    for variant in (Variant.WITH, Variant.EAGER):
        step(case, variant)
        gradients.append([one.grad.clone() for one in case.model.internvl.model.language_model.parameters()])
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5 * float(theirs.abs().max()), rtol=1e-4)


def test_rows_hold_hardly_more_memory_and_eager_attention_much_more(case: Case) -> None:
    without, rows, eager = (held_bytes(case, variant) for variant in Variant)
    assert without < rows < 1.1 * without
    square = case.packed.ids_BL.shape[1] ** 2 * 4
    # Fused attention keeps one square a layer, the mask; eager attention one for each head.
    assert eager - without > 0.95 * square * SMALL.layers * (SMALL.heads - 1)
