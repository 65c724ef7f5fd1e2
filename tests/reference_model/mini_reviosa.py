"""A ReVIOSa small enough for a test, and clips of two plain squares to feed it."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

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
from reference_model.model import Reviosa
from reference_model.prompts import build_word_tokenizer
from reference_model.training_data import TrainingClip, TrainingExpression

WORDS = ("red", "blue", "green", "square", "disc", "pushing", "being", "pushed", "by", "object")
COLOURS = {"red": (220, 40, 40), "blue": (40, 60, 220), "green": (40, 200, 60)}


def mini_model_config() -> ModelConfig:
    return ModelConfig(
        vision_language=VisionLanguageConfig(
            image_size=32,
            patch_size=4,
            vision_layers=1,
            vision_width=32,
            vision_heads=2,
            layers=2,
            width=32,
            heads=2,
            key_value_heads=1,
            initializer_range=0.06,
            layer_scale=1.0,
        ),
        mask_decoder=MaskDecoderConfig(
            image_size=64,
            width=128,
            trunk_width=16,
            blocks=(1, 1, 2, 1),
            window_sizes=(8, 4, 4, 2),
            feed_forward=64,
            memory_layers=1,
            memory_frames=3,
            mask_channels=4,
            fuser_ratio=1,
            fuser_scale=0.5,
            initializer_range=0.06,
        ),
        prompts=PromptConfig("segment {expression} :", AnswerStyle.GROUNDED, label_frames=True),
        frames=FrameConfig(language_frames=3, policy=FramePolicy.UNIFORM, encode_chunk=2),
    )


def stage(kind: StageKind, **changes) -> StageConfig:
    weights = LossWeights(mask_ce=1.0, mask_dice=1.0, regression=0.5, object_score=0.2)
    plain = StageConfig(kind.value, kind, 3, 2, 2, 1e-3, weights, warmup_steps=1)
    return dataclasses.replace(plain, **changes)


def mini_recipe(*stages: StageConfig) -> Recipe:
    training = TrainingConfig(
        data=DataConfig("interrvos-synthetic", "train", clips=8, held_back=2),
        optimizer=OptimizerConfig(),
        attention_loss=AttentionLossConfig(layer=1, heads=(0, 1)),
        stages=stages,
        log_every=1,
    )
    return Recipe("mini", mini_model_config(), training)


def build_mini(config: ModelConfig | None = None, seed: int = 0) -> Reviosa:
    config = config or mini_model_config()
    tokenizer = build_word_tokenizer(WORDS, config.prompts, config.tokens)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Reviosa(config, tokenizer).eval()


def square_clip(frames: int = 6, size: tuple[int, int] = (48, 64), looks: bool = True) -> TrainingClip:
    """A red square that pushes a blue one to the right."""
    height, width = size
    masks = np.zeros((2, frames, height, width), bool)
    for frame in range(frames):
        left = 4 + 2 * frame
        masks[0, frame, 16:32, left : left + 12] = True
        masks[1, frame, 16:32, left + 12 : left + 24] = True
    pixels = np.full((frames, height, width, 3), 60, np.uint8)
    pixels[masks[0]], pixels[masks[1]] = COLOURS["red"], COLOURS["blue"]
    expressions = (
        TrainingExpression("red square pushing blue square", (0,), (1,)),
        TrainingExpression("blue square being pushed by red square", (1,), (0,)),
        TrainingExpression("red square", (0,), ()),
    )
    known = (
        {"colour": "red", "shape": "square", "texture": "plain", "size": "large"},
        {"colour": "blue", "shape": "square", "texture": "plain", "size": "large"},
    )
    return TrainingClip(pixels, masks, expressions, known if looks else None)


class ClipList:
    """A source of the clips it is given."""

    def __init__(self, clips: list[TrainingClip]) -> None:
        self._clips = clips

    def __len__(self) -> int:
        return len(self._clips)

    def clip(self, index: int) -> TrainingClip:
        return self._clips[index]
