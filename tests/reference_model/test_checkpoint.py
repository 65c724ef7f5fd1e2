"""Checkpoints on disk: round trip, and every way to be broken gets its sentence."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmark.errors import CheckpointError
from reference_model.checkpoint import (
    SHIPPED,
    load_checkpoint,
    own_weights,
    save_checkpoint,
    weights_digest,
)
from reference_model.config import StageKind
from tests.reference_model.mini_reviosa import build_mini, mini_recipe, stage


@pytest.fixture
def saved(tmp_path):
    model = build_mini()
    digest = save_checkpoint(tmp_path, model, mini_recipe(stage(StageKind.VISION)), {"seed": 3})
    return tmp_path, model, digest


def test_round_trip(saved):
    folder, model, digest = saved
    loaded = load_checkpoint(folder)
    assert loaded.digest == digest
    assert loaded.recipe == mini_recipe(stage(StageKind.VISION))
    assert loaded.facts == {"seed": 3}
    assert not loaded.model.training
    for name, one in model.state_dict().items():
        assert torch.equal(one, loaded.model.state_dict()[name]), name
    assert loaded.model.question_ids("red square") == model.question_ids("red square")


def test_writing_twice_gives_the_same_bytes(saved, tmp_path):
    folder, model, _ = saved
    save_checkpoint(tmp_path / "again", model, mini_recipe(stage(StageKind.VISION)), {"seed": 3})
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def change_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("projector.0.bias"), "missing: projector.0.bias"),
        (lambda w: w.update(extra=torch.zeros(1)), "unknown: extra"),
        (
            lambda w: w.update({"projector.0.bias": torch.zeros(3)}),
            r"of another shape: projector.0.bias \(3,\) instead of \(32,\)",
        ),
        (lambda w: w["projector.0.bias"].add_(1), "not of one checkpoint"),
    ],
)
def test_weights_that_do_not_fit_are_listed(saved, change, message):
    change_weights(saved[0], change)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(saved[0])


def test_missing_and_extra_weights_come_in_one_error(saved):
    def both(weights):
        weights["extra"] = weights.pop("projector.0.bias")

    change_weights(saved[0], both)
    with pytest.raises(CheckpointError, match=r"missing: projector.0.bias; unknown: extra"):
        load_checkpoint(saved[0])


def change_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    config |= changes
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "config.json").unlink(), "no checkpoint here"),
        (lambda f: (f / "config.json").write_text("{"), "configuration cannot be read"),
        (lambda f: (f / "config.json").write_text("[" * 100_000), "configuration cannot be read"),
        (lambda f: (f / "config.json").write_text("[]"), "configuration is incomplete"),
        (lambda f: change_config(f, recipe=None), "configuration is incomplete"),
        (lambda f: change_config(f, format=99), "checkpoint of another format.*expected format 1; found 99"),
        (lambda f: change_config(f, recipe={}), "does not fit this version"),
        (lambda f: (f / "model.safetensors").unlink(), "weights are missing"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 40), "damaged or not safetensors"),
        (
            lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-9]),
            "damaged or not safetensors",
        ),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "tokenizer cannot be read"),
        (lambda f: (f / "tokenizer.json").unlink(), "tokenizer cannot be read"),
    ],
)
def test_damaged_files_are_named(saved, damage, message):
    damage(saved[0])
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(saved[0])


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere: no checkpoint here"):
        load_checkpoint(tmp_path / "nowhere")


def test_tied_weights_are_stored_once():
    model = build_mini()
    names = [name for name in own_weights(model) if "embed_tokens" in name or "lm_head" in name]
    assert len(names) == 1


def test_the_digest_tells_values_names_types_and_shapes_apart():
    base = {"a": torch.arange(4.0)}
    others = [
        {"a": torch.arange(4.0) + 1},
        {"b": torch.arange(4.0)},
        {"a": torch.arange(4.0).view(2, 2)},
        {"a": torch.arange(4.0).double()},
    ]
    assert len({weights_digest(one) for one in [base, *others]}) == 5
    assert weights_digest(base) == weights_digest({"a": torch.arange(4.0)})


def test_the_shipped_checkpoint_is_small_and_whole():
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 25_000_000
    loaded = load_checkpoint(SHIPPED)
    assert loaded.recipe.name == "tiny"
    assert loaded.facts["trained_on"] == ["interrvos-synthetic:train"]
