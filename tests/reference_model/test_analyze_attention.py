"""The command from end to end on a model with random weights that writes both tokens."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from benchmark.errors import CheckpointError, DatasetError, OutputError, UsageError
from reference_model import (
    analyze_attention,
    convert,
    predict,
    released_recipes,
    sam2_weights,
    training_data,
)
from reference_model.checkpoint import load_checkpoint, save_checkpoint
from reference_model.config import AttentionLossConfig, StageKind
from reference_model.predict import Predictor
from tests.reference_model.mini_reviosa import (
    ClipList,
    build_mini,
    mini_model_config,
    mini_recipe,
    square_clip,
    stage,
)
from tests.reference_model.original_checkpoints import SMALL_SAM2, small_recipe, write_released
from tests.reference_model.test_predict import made_talkative, talkative_model


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """A stored model, two held-back clips, and weights that speak when they are loaded."""
    folder = tmp_path / "model"
    save_checkpoint(folder, build_mini(), mini_recipe(stage(StageKind.LANGUAGE)), {})
    monkeypatch.setattr(
        predict, "load_predictor", lambda *_: Predictor(talkative_model(), torch.device("cpu"))
    )
    clips = ClipList([square_clip(frames) for frames in (4, 6, 7)])
    monkeypatch.setattr(training_data, "open_source", lambda *_: clips)
    return folder


def run(checkpoint, tmp_path, *words: str) -> int | None:
    return analyze_attention.main(
        ["--checkpoint", str(checkpoint), "--output", str(tmp_path / "out"), "--device", "cpu", *words]
    )


def test_everything_is_written_and_the_line_is_printed(checkpoint, tmp_path, capsys):
    assert run(checkpoint, tmp_path, "--clips", "2", "--figures", "1", "--against", str(checkpoint)) == 0
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        *("attention.csv", "compare-0.png", "heads.png", "layers.png", "maps-0.png", "mask-region.png"),
        *("summary.json", "tokens.csv"),
    ]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["clips"] == 2 and len(summary["heads"]) == 1
    assert set(summary["models"]) == {"checkpoint", "against"}
    assert summary["trained"] == {"layer": 1, "heads": [0, 1], "layout": "correct", "by_role": False}
    assert summary["models"]["checkpoint"]["target"]["expected"] == 4
    assert summary["provenance"]["seeds"] == {"drawing clips again": 0}
    # 2 clips of 3 expressions, both tokens each, 2 layers of 2 heads, 2 models; and the head
    assert len((out / "attention.csv").read_text().splitlines()) == 2 * 3 * 2 * 2 * 2 * 2 + 1
    printed = capsys.readouterr().out
    assert summary["recipe_line"] in printed.splitlines()
    assert "note: the attention loss trained layer 1, heads (0, 1) of this model" in printed


def test_an_analysis_is_not_overwritten(checkpoint, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "summary.json").write_text("{}")
    with pytest.raises(OutputError, match="there is an analysis in this folder"):
        run(checkpoint, tmp_path)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--clips", "0"), "expected 1 or more; found 0"),
        (("--top-heads", "0"), "expected 1 or more; found 0"),
        (("--top-heads", "3"), "a layer has fewer heads"),
        (("--seed", "-1"), "no such seed"),
        (("--figures", "-1"), "expected 0 or more; found -1"),
    ],
)
def test_numbers_that_make_no_sense(checkpoint, tmp_path, words, sentence):
    with pytest.raises(UsageError, match=sentence):
        run(checkpoint, tmp_path, *words)
    assert not (tmp_path / "out").exists()


def test_a_model_of_another_size_is_not_compared(checkpoint, tmp_path):
    config = mini_model_config()
    config = dataclasses.replace(
        config, vision_language=dataclasses.replace(config.vision_language, layers=1)
    )
    recipe = dataclasses.replace(mini_recipe(stage(StageKind.LANGUAGE)), model=config)
    save_checkpoint(tmp_path / "small", build_mini(config), recipe, {})
    with pytest.raises(UsageError, match="models of different size"):
        run(checkpoint, tmp_path, "--against", str(tmp_path / "small"))


def test_a_model_that_writes_no_token(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "load_predictor", lambda *_: Predictor(build_mini(), torch.device("cpu")))
    with pytest.raises(CheckpointError, match="wrote no target token"):
        run(checkpoint, tmp_path, "--clips", "1", "--role", "target")


def test_a_recipe_that_holds_no_clip_back_needs_a_split(checkpoint, tmp_path, monkeypatch):
    recipe = mini_recipe(stage(StageKind.LANGUAGE))
    data = dataclasses.replace(recipe.training.data, held_back=0)
    recipe = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, data=data))
    save_checkpoint(tmp_path / "all", build_mini(), recipe, {})
    with pytest.raises(DatasetError, match="there is no clip to analyse"):
        run(tmp_path / "all", tmp_path)
    assert run(tmp_path / "all", tmp_path, "--split", "val", "--clips", "1", "--figures", "0") == 0
    assert not list((tmp_path / "out").glob("maps-*"))


@pytest.mark.parametrize("template", ["qwen_chat", "phi3_chat"])
def test_a_converted_released_checkpoint(tmp_path, monkeypatch, capsys, template):
    """Released names, tokens and words; random weights, which write no tokens by themselves."""
    monkeypatch.setitem(sam2_weights.SIZES, "small", SMALL_SAM2)
    recipe = small_recipe()
    training = dataclasses.replace(recipe.training, attention_loss=AttentionLossConfig(1, (0, 3)))
    monkeypatch.setitem(
        released_recipes.RELEASED, "small", lambda: dataclasses.replace(recipe, training=training)
    )
    source = write_released(tmp_path / "released", template=template)
    convert.main(["--released", str(source), "--output", str(tmp_path / "ours")])

    def load(checkpoint, device):
        loaded = load_checkpoint(checkpoint)
        return Predictor(made_talkative(loaded.model), torch.device(device), loaded)

    monkeypatch.setattr(predict, "load_predictor", load)
    clips = ClipList([square_clip(6, (32, 64), looks=False)])
    monkeypatch.setattr(training_data, "open_source", lambda *_: clips)
    assert run(tmp_path / "ours", tmp_path, "--clips", "1", "--split", "val", "--figures", "1") == 0
    out = tmp_path / "out"
    summary = json.loads((out / "summary.json").read_text())
    sizes = recipe.model.vision_language
    vision = summary["models"]["checkpoint"]["actor"]["vision_by_layer_and_head"]
    text = summary["models"]["checkpoint"]["actor"]["text_by_layer_and_head"]
    assert (len(vision), len(vision[0])) == (sizes.layers, sizes.heads)
    # The two shares of every layer and head are all there is.
    for one, other in zip(vision, text, strict=True):
        assert [a + b for a, b in zip(one, other, strict=True)] == pytest.approx([1] * sizes.heads, abs=1e-5)
    assert (out / "maps-0.png").exists() and (out / "mask-region.png").exists()
    # The released models were trained with the loss, and the command says so.
    assert (summary["trained"]["layer"], summary["trained"]["heads"]) == (1, [0, 3])
    assert "to choose what to train, analyse a model that was trained without it" in capsys.readouterr().out
