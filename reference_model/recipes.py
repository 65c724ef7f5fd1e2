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
    words = LossWeights(text=1.0, mask_ce=0.0, mask_dice=0.0, attention=1.0, regression=0.5)
    more_words = dataclasses.replace(words, vision=0.5, motion=1.0)
    both = LossWeights(mask_ce=4.0, mask_dice=1.0, regression=0.5, object_score=0.2, vision=0.5, motion=1.0)
    return TrainingConfig(
        data=DataConfig(dataset="interrvos-synthetic", split="train"),
        optimizer=OptimizerConfig(betas=(0.9, 0.98), weight_decay=0.01),
        attention_loss=AttentionLossConfig(layer=2, heads=(0, 1)),
        stages=(
            StageConfig("vision", StageKind.VISION, 700, 8, 0, 1.5e-3, LossWeights(vision=1.0)),
            StageConfig("object-prompts", StageKind.OBJECT_PROMPTS, 1300, 16, 4, 1.2e-3, masks),
            StageConfig("object-memory", StageKind.OBJECT_MEMORY, 500, 3, 3, 1e-3, masks, frames=12),
            StageConfig(
                "object-tracking",
                StageKind.OBJECT_MEMORY,
                400,
                4,
                3,
                8e-4,
                masks,
                frames=8,
                kept_prompts=0.75,
            ),
            StageConfig("language", StageKind.LANGUAGE, 2100, 8, 6, 1.2e-3, words, final_rate=0.335),
            StageConfig("language-motion", StageKind.LANGUAGE, 2200, 8, 6, 1e-3, more_words),
            StageConfig(
                "memory",
                StageKind.MEMORY,
                250,
                4,
                3,
                6e-4,
                masks,
                frames=8,
                kept_prompts=0.75,
                train_vision_language=False,
            ),
            StageConfig("language-more", StageKind.LANGUAGE, 1500, 8, 6, 8e-4, more_words),
            StageConfig("connect", StageKind.JOINT, 120, 12, 4, 3e-4, both, train_mask_decoder=False),
        ),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {"tiny": tiny}


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
