"""Rules between names: there and back, and every name that does not fit is listed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.errors import CheckpointError
from reference_model import internvl_weights, sam2_weights
from reference_model.weight_names import Rule, renamed, require_same_names, reversed_rules, translate
from tests.reference_model.original_checkpoints import SMALL_SAM2, weights_of

RULES = (
    Rule(("layer.{n}.qkv.{p}",), ("block.{n}.q.{p}", "block.{n}.k.{p}", "block.{n}.v.{p}")),
    Rule(("grid",), ("first.grid", "second.grid"), copied=True),
    *renamed(("head.{rest}", "output.{rest}")),
)


def some_weights(layers: int, rows: int) -> dict[str, torch.Tensor]:
    made = {f"layer.{n}.qkv.weight": torch.arange(3.0 * rows * 2).view(-1, 2) + n for n in range(layers)}
    return made | {"grid": torch.ones(2), "head.a.b": torch.zeros(1)}


@settings(deadline=None)
@given(layers=st.integers(0, 12), rows=st.integers(1, 5))
def test_there_and_back(layers, rows):
    before = some_weights(layers, rows)
    moved = translate(before, RULES, "file")
    assert len(moved) == 3 * layers + 3
    after = translate(moved, reversed_rules(RULES), "file")
    assert set(after) == set(before)
    assert all(torch.equal(one, after[name]) for name, one in before.items())


def test_a_fused_matrix_is_cut_in_order():
    moved = translate(some_weights(1, 2), RULES, "file")
    assert [moved[f"block.0.{one}.weight"][0, 0].item() for one in "qkv"] == [0, 4, 8]


@pytest.mark.parametrize(
    ("rules", "weights", "message"),
    [
        (RULES, {"a": torch.ones(1), "layer.x.qkv.weight": torch.ones(3)}, "unknown: a, layer.x.qkv.weight"),
        (RULES, {"layer.3.qkv.bias": torch.ones(4)}, "that cannot be cut: layer.3.qkv.bias"),
        (RULES, {"layer.3.qkv.bias": torch.tensor(1.0)}, "that cannot be cut: layer.3.qkv.bias"),
        (
            reversed_rules(RULES),
            {"block.7.q.weight": torch.ones(1)},
            "missing: block.7.k.weight, block.7.v.weight",
        ),
        (
            reversed_rules(RULES),
            {"first.grid": torch.ones(2), "second.grid": torch.zeros(2)},
            "whose copies differ: first.grid",
        ),
    ],
)
def test_names_that_do_not_fit_are_listed(rules, weights, message):
    with pytest.raises(CheckpointError, match=f"file: weights that the conversion does not know.*{message}"):
        translate(weights, rules, "file")


def test_all_differences_come_in_one_error():
    found = {"a": torch.ones(1), "b": torch.ones(2), "x": torch.ones(1)}
    with pytest.raises(
        CheckpointError, match=r"missing: c; unknown: x; of another shape: b \(2,\) instead of \(3,\)"
    ):
        require_same_names(found, {"a": torch.ones(1), "b": torch.ones(3), "c": torch.ones(1)}, "file")


@pytest.mark.parametrize("case", ["sam2", "sam2.1", "internvl"])
def test_every_public_name_goes_in_and_comes_out(case):
    rules = internvl_weights.RULES if case == "internvl" else sam2_weights.RULES
    before = weights_of(case)
    after = translate(translate(before, rules, "file"), reversed_rules(rules), "file")
    assert set(after) == set(before)
    assert all(torch.equal(one, after[name]) for name, one in before.items())


def test_published_sizes_of_sam2_are_told_apart_by_their_shapes():
    for name, size in sam2_weights.SIZES.items():
        weights = sam2_weights.to_original(sam2_weights.empty_sam2(size).state_dict(), name)
        assert sam2_weights.find_size(weights, name) == size


def test_a_file_of_no_published_size_of_sam2():
    assert SMALL_SAM2 not in sam2_weights.SIZES.values()
    with pytest.raises(CheckpointError, match="hiera-large: width 144, 48 blocks; found width 16, 5 blocks"):
        sam2_weights.find_size(weights_of("sam2"), "file")
    for weights in ({}, {"image_encoder.trunk.patch_embed.proj.weight": torch.tensor(1.0)}):
        with pytest.raises(CheckpointError, match="found width unknown, 0 blocks"):
            sam2_weights.find_size(weights, "file")
