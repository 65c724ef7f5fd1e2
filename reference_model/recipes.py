"""Named recipes: functions that return a whole configuration.

`tiny` is trained from nothing on the synthetic set, on a CPU in two hours or so, and ships with the
project; how its shipped weights came about is told in `checkpoints/tiny/MODEL_CARD.md`. Sizes are its only
difference from larger recipes, and the aids that replace pretraining: the vision, object-prompt and
language stages, and grounded answers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from benchmark.command_line import unknown_name
from reference_model.config import (
    AnswerStyle,
    AttentionLossConfig,
    DataConfig,
    FrameConfig,
    FramePolicy,
    LossWeights,
    MaskDecoderConfig,
    ModelConfig,
    OptimizerConfig,
    PromptConfig,
    Recipe,
    StageConfig,
    StageKind,
    TrainingConfig,
    VisionLanguageConfig,
)
from reference_model.full_recipes import FULL_RECIPES


def tiny() -> Recipe:
    """The model that ships with the project."""
    return Recipe("tiny", tiny_model(), tiny_training())


def tiny_model() -> ModelConfig:
    """Sizes of `tiny`."""
    return ModelConfig(
        vision_language=VisionLanguageConfig(
            image_size=96,
            patch_size=6,
            vision_layers=2,
            vision_width=64,
            vision_heads=4,
            layers=4,
            width=128,
            heads=4,
            key_value_heads=2,
            initializer_range=0.06,
            layer_scale=1.0,
        ),
        mask_decoder=MaskDecoderConfig(
            image_size=128,
            width=128,
            trunk_width=24,
            blocks=(2, 1, 2, 1),
            window_sizes=(8, 4, 8, 4),
            feed_forward=128,
            memory_layers=1,
            memory_frames=4,
            mask_channels=8,
            fuser_ratio=2,
            fuser_scale=0.5,
            initializer_range=0.06,
        ),
        prompts=PromptConfig(
            question="segment {expression} :",
            answer_style=AnswerStyle.GROUNDED,
            label_frames=True,
        ),
        frames=FrameConfig(language_frames=4, policy=FramePolicy.UNIFORM, prompt_every_frame=True),
    )


def tiny_training() -> TrainingConfig:
    """Stages of `tiny`."""
    masks = LossWeights(text=0.0, mask_ce=4.0, mask_dice=1.0, attention=0.0, object_score=0.2)
    # Motion and looks are asked of the visual tokens from the first step: neither comes by itself.
    words = LossWeights(mask_ce=0.0, mask_dice=0.0, regression=0.5, vision=0.5, motion=1.0)
    both = LossWeights(mask_ce=4.0, mask_dice=1.0, regression=0.5, object_score=0.2, vision=0.5, motion=1.0)
    tracking = StageConfig(
        "object-tracking", StageKind.OBJECT_MEMORY, 400, 4, 3, 8e-4, masks, frames=8, kept_prompts=0.75
    )
    return TrainingConfig(
        data=DataConfig(dataset="interrvos-synthetic", split="train"),
        optimizer=OptimizerConfig(betas=(0.9, 0.98), weight_decay=0.01),
        attention_loss=AttentionLossConfig(layer=2, heads=(0, 1)),
        stages=(
            # A small rate never finds shape (45% right after 700 steps at 1.5e-3, 71% after 900 at 8e-3).
            StageConfig("vision", StageKind.VISION, 1800, 8, 0, 6e-3, LossWeights(vision=1.0)),
            StageConfig("object-prompts", StageKind.OBJECT_PROMPTS, 1300, 16, 4, 1.2e-3, masks),
            StageConfig("object-memory", StageKind.OBJECT_MEMORY, 250, 3, 3, 1e-3, masks, frames=12),
            tracking,
            StageConfig("language", StageKind.LANGUAGE, 4600, 8, 6, 2e-3, words),
            dataclasses.replace(
                tracking,
                name="memory",
                kind=StageKind.MEMORY,
                steps=250,
                learning_rate=6e-4,
                train_vision_language=False,
            ),
            StageConfig("connect", StageKind.JOINT, 120, 12, 4, 3e-4, both, train_mask_decoder=False),
        ),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {"tiny": tiny} | FULL_RECIPES


def find_recipe(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        UsageError: when there is none, with the nearest names.
    """
    if name not in RECIPES:
        raise unknown_name("recipe", name, list(RECIPES), "--recipe")
    return RECIPES[name]()


def with_scaled_steps(recipe: Recipe, scale: float) -> Recipe:
    """The recipe with the steps of every stage multiplied, at least one step each."""
    stages = tuple(
        dataclasses.replace(
            stage,
            steps=max(1, round(stage.steps * scale)),
            warmup_steps=max(1, round(stage.warmup_steps * min(1.0, scale))),
        )
        for stage in recipe.training.stages
    )
    return dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, stages=stages))
