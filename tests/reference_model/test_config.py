"""Recipes go to JSON and back, and a wrong field is named with its place."""

from __future__ import annotations

import dataclasses
import json

import pytest

from benchmark.errors import CheckpointError, UsageError
from reference_model.config import Recipe, StageKind, from_mapping, to_json
from reference_model.recipes import RECIPES, find_recipe, tiny, with_scaled_steps
from tests.reference_model.mini_reviosa import mini_recipe, stage


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_survive_json(name):
    recipe = find_recipe(name)
    assert from_mapping(Recipe, json.loads(to_json(recipe))) == recipe


def changed(path: str, value: object) -> dict:
    data = json.loads(to_json(mini_recipe(stage(StageKind.LANGUAGE))))
    place = data
    *outer, last = path.split(".")
    for key in outer:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("model.frames.policy", "random", "Recipe.model.frames.policy.*expected uniform or first"),
        ("model.mask_decoder.blocks", [1, 2], r"mask_decoder\.blocks.*4 values"),
        ("model.mask_decoder.blocks", 3, r"mask_decoder\.blocks.*a list"),
        ("model.mask_decoder.multimask", 1, r"multimask.*expected bool"),
        ("model.vision_language.layers", True, r"layers.*expected int"),
        ("model.vision_language.layers", "2", r"layers.*expected int"),
        ("model.vision_language.colour", "red", r"unknown \['colour'\]"),
        ("model.vision_language.layers", None, r"missing \['layers'\]"),
        ("model.frames", [], r"Recipe\.model\.frames.*an object"),
    ],
)
def test_wrong_values_are_named(path, value, message):
    with pytest.raises(CheckpointError, match=message):
        from_mapping(Recipe, changed(path, value))


def test_whole_numbers_are_fine_where_a_float_is_wanted():
    data = changed("model.vision_language.layer_scale", 1)
    assert from_mapping(Recipe, data).model.vision_language.layer_scale == 1.0


def test_unknown_recipe_suggests_the_nearest():
    with pytest.raises(UsageError, match="did you mean tiny"):
        find_recipe("tiyn")


def test_steps_can_be_scaled_but_never_to_nothing():
    short = with_scaled_steps(tiny(), 1e-9)
    assert {one.steps for one in short.training.stages} == {1}
    assert dataclasses.replace(short, training=tiny().training) == tiny()
