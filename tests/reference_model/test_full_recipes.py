"""Full-size recipes: the numbers of paper and official configurations, ablations, siblings that train."""

from __future__ import annotations

import json
from dataclasses import astuple, replace

import numpy as np
import pytest
import torch

from benchmark.errors import UsageError
from reference_model.config import AttentionLayout, Recipe, TargetNorm, from_mapping, to_json
from reference_model.full_command import chosen_recipe
from reference_model.full_recipes import ABLATIONS, CHATS, FULL_RECIPES, SIZES, tuning_of
from reference_model.full_training import Schedule, train_all
from reference_model.model import build_reader, parameter_count
from reference_model.recipes import find_recipe
from reference_model.released_recipes import TEMPLATES
from reference_model.train import build_parser, main
from reference_model.tuning_config import Precision, TurnLayout
from reference_model.tuning_run import learning_rate, total_steps
from tests.reference_model.small_tuning import small_session, small_tuning, write_clips


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("clips"), 4)


def test_every_recipe_has_its_own_name_and_survives_json():
    assert len(FULL_RECIPES) == len(SIZES) * (1 + len(ABLATIONS)) == 24
    for name in FULL_RECIPES:
        recipe = find_recipe(name)
        assert recipe.name == name
        assert from_mapping(Recipe, json.loads(to_json(recipe))) == recipe


@pytest.mark.parametrize(
    ("name", "layer", "heads"), [("1b", 22, (5, 7, 10, 11)), ("4b", 33, (6, 12, 13, 14))]
)
def test_the_numbers_of_the_official_configuration(name, layer, heads):
    recipe = find_recipe(f"reviosa_{name}")
    tuning, loss = tuning_of(recipe), recipe.training.attention_loss
    assert (tuning.lora.rank, tuning.lora.alpha, tuning.lora.dropout) == (128, 256, 0.05)
    assert (tuning.learning_rate, tuning.warmup_share, tuning.epochs) == (4e-5, 0.05, 10)
    assert astuple(tuning.weights) == (1.0, 2.0, 0.5, 1.0)
    assert (tuning.videos_per_step, tuning.frames, tuning.expressions) == (32, 4, 5)
    assert (tuning.points, tuning.most_tokens) == (12_544, 8192)
    assert recipe.training.optimizer.betas == (0.9, 0.999)
    assert recipe.training.optimizer.weight_decay == 0.05
    assert (loss.layer, loss.heads, loss.layout) == (layer, heads, AttentionLayout.CORRECT)
    assert recipe.training.target_norm is TargetNorm.CORRECT
    assert total_steps(8000, recipe) == 2500


def test_the_chat_of_training_is_that_of_the_released_models():
    for name, chat in CHATS.items():
        question = TEMPLATES[name]
        assert chat.user == question.before_frames
        assert (
            question.question.endswith(chat.assistant) and question.question.split(".")[1] == chat.assistant
        )
        assert question.stop_text in (None, chat.end)


@pytest.mark.parametrize("name", [make.__name__ for make in SIZES])
def test_the_ablations_change_one_thing_each(name):
    whole, base, aml, tokens = (find_recipe(name + ending) for ending in ("", "-baseline", "+aml", "+tokens"))
    switches = [
        (tuning_of(one).target_token, tuning_of(one).weights.attention) for one in (base, aml, tokens, whole)
    ]
    assert switches == [(False, 0.0), (False, 1.0), (True, 0.0), (True, 1.0)]
    assert base.model == aml.model == tokens.model == whole.model
    weights = replace(tuning_of(whole).weights, attention=0.0)
    same = replace(tuning_of(whole), target_token=False, weights=weights)
    assert tuning_of(base) == same  # and nothing else


def test_qwen2_5_vl_has_the_published_size():
    """Qwen/Qwen2.5-VL-3B-Instruct: 3,754,622,976 weights with its 151,936 rows of embeddings."""
    size = replace(find_recipe("reviosa_qwen2_5_vl_3b").model.vision_language, vocabulary=151_936)
    with torch.device("meta"):
        assert parameter_count(build_reader(size, 151_936, 151_655, 151_643)) == 3_754_622_976


def test_the_rate_warms_up_and_falls_as_a_cosine():
    recipe = find_recipe("reviosa_1b")
    rates = [learning_rate(step, 1000, recipe) for step in range(1000)]
    assert rates[0] == pytest.approx(4e-5 * 1e-5)
    assert rates[50] == pytest.approx(4e-5) == max(rates)
    assert np.all(np.diff(rates[:51]) > 0) and np.all(np.diff(rates[50:]) < 0)
    assert rates[525] == pytest.approx(2e-5, rel=1e-3) and rates[-1] < 1e-9


def test_the_command_line_changes_a_recipe():
    words = ["--recipe", "reviosa_1b", "--aml-layout", "official", "--target-norm", "paper", "--joint"]
    words += ["--turns", "independent", "--precision", "float32", "--videos-per-pass", "4"]
    recipe = chosen_recipe(
        find_recipe("reviosa_1b"), build_parser().parse_args([*words, "--no-activation-checkpointing"])
    )
    tuning = tuning_of(recipe)
    assert recipe.training.attention_loss.layout is AttentionLayout.OFFICIAL
    assert recipe.training.target_norm is TargetNorm.PAPER
    assert [one.dataset for one in tuning.mix] == ["interrvos", "mevis", "ref-youtube-vos", "ref-davis17"]
    assert (tuning.turns, tuning.precision) == (TurnLayout.INDEPENDENT, Precision.FLOAT32)
    assert (tuning.videos_per_pass, tuning.checkpoint_activations) == (4, False)
    with pytest.raises(UsageError, match="the number is too small"):
        chosen_recipe(recipe, build_parser().parse_args(["--steps", "0"]))


def test_options_of_fine_tuning_are_refused_for_a_recipe_with_stages(tmp_path):
    words = ["--recipe", "tiny", "--output", str(tmp_path), "--aml-layout", "official", "--steps", "3"]
    with pytest.raises(UsageError, match=r"tiny is trained in stages.*--steps --aml-layout"):
        main(words)


@pytest.mark.parametrize("name", [one for one in FULL_RECIPES if "_tiny" in one])
def test_every_sibling_trains(clips, name):
    recipe = small_tuning(name, videos_per_step=1)
    session = small_session(clips, recipe, steps=2)
    train_all(session, Schedule(None, show=False), {})
    row = session.progress.curve[-1]
    assert all(np.isfinite(value) for value in row.values() if isinstance(value, float))
    assert ("attention" in row) == ("+aml" in name or name.endswith("_tiny"))


def test_a_sibling_learns_its_answers(clips):
    recipe = small_tuning(videos_per_step=1, learning_rate=1e-2, warmup_share=0.1)
    session = small_session(clips, recipe, steps=16)
    train_all(session, Schedule(None, show=False), {})
    first, last = session.progress.curve[0], session.progress.curve[-1]
    assert last["text"] < 0.7 * first["text"]
    assert torch.isfinite(torch.tensor(last["loss"]))
