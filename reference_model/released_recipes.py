"""Recipes of the models that the authors of ReVIOSa released: InternVL2.5 with the large SAM2.

They say what the released weights are and how they were asked; `full_recipes.py` adds their training.

Source: cvlab-kaist/InterRVOS at 14c261e, and the configurations of InternVL2_5-1B and -4B.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from benchmark.errors import CheckpointError
from reference_model.config import (
    AttentionLossConfig,
    DataConfig,
    FrameConfig,
    FramePolicy,
    ModelConfig,
    OptimizerConfig,
    PromptConfig,
    Recipe,
    Resize,
    TokenNames,
    TrainingConfig,
    VisionLanguageConfig,
)
from reference_model.sam2_weights import SIZES

TOKENS = TokenNames(actor="[SEG]", target="[SEG_OBJ]", padding="<|endoftext|>", unknown="<|endoftext|>")
ADDED_TOKENS = ("[SEG]", "<p>", "</p>", "<vp>", "</vp>", "[SEG_OBJ]")
"""What the released code adds to the tokenizer of InternVL2.5, in this order."""

TEMPLATES: dict[str, PromptConfig] = {
    "qwen_chat": PromptConfig(
        "\nPlease segment {expression}.<|im_end|>\n<|im_start|>assistant\n",
        max_answer_tokens=64,
        before_frames="<|im_start|>user\n",
        between_frames="\n",
    ),
    # Its marks are no tokens of Qwen's tokenizer: they are read and written as plain text.
    "phi3_chat": PromptConfig(
        "\nPlease segment {expression}.<|end|>\n<|assistant|>\n",
        max_answer_tokens=64,
        before_frames="<|user|>\n",
        between_frames="\n",
        stop_text="<|end|>",
    ),
}
"""The words around an expression by the template's name; there is no system text."""


def reviosa_1b() -> Recipe:
    """ReVIOSa-1B: InternVL2.5-1B (Qwen2.5-0.5B) and SAM2 Hiera-L."""
    language = _internvl(layers=24, width=896, heads=14, feed_forward=4864)
    return _released("reviosa_1b", language, "qwen_chat", AttentionLossConfig(22, (5, 7, 10, 11)))


def reviosa_4b() -> Recipe:
    """ReVIOSa-4B: InternVL2.5-4B (Qwen2.5-3B) and SAM2 Hiera-L."""
    language = _internvl(layers=36, width=2048, heads=16, feed_forward=11008)
    return _released("reviosa_4b", language, "phi3_chat", AttentionLossConfig(33, (6, 12, 13, 14)))


RELEASED: dict[str, Callable[[], Recipe]] = {"reviosa_1b": reviosa_1b, "reviosa_4b": reviosa_4b}


def released_recipe(size: VisionLanguageConfig, template: str, where: str) -> Recipe:
    """The released recipe with a language part of this size, with the size's own details and a template.

    Raises:
        CheckpointError: when no released model has this size, or the template is unknown.
    """
    if template not in TEMPLATES:
        raise CheckpointError(
            "unknown chat template", where=where, expected=" or ".join(TEMPLATES), found=repr(template)
        )
    for make in RELEASED.values():
        recipe = make()
        known = recipe.model.vision_language
        if _shape(known) == _shape(size):
            model = dataclasses.replace(recipe.model, vision_language=size, prompts=TEMPLATES[template])
            return dataclasses.replace(recipe, model=model)
    sizes = "; ".join(f"{name}: {_shape(make().model.vision_language)}" for name, make in RELEASED.items())
    raise CheckpointError(
        "not the size of a released model",
        where=where,
        expected=f"(layers, width, heads of the language model; layers, width of the vision tower) {sizes}",
        found=str(_shape(size)),
        fix="add its recipe to reference_model/released_recipes.py",
    )


def _shape(size: VisionLanguageConfig) -> tuple[int, ...]:
    return size.layers, size.width, size.heads, size.vision_layers, size.vision_width


def _internvl(layers: int, width: int, heads: int, feed_forward: int) -> VisionLanguageConfig:
    return VisionLanguageConfig(
        image_size=448,
        patch_size=14,
        vision_layers=24,
        vision_width=1024,
        vision_heads=16,
        layers=layers,
        width=width,
        heads=heads,
        key_value_heads=2,
        max_positions=32768,
        vision_feed_forward=4096,
        feed_forward=feed_forward,
        vision_bias=True,
        rope_theta=1e6,
        tied=False,
    )


def _released(
    name: str, language: VisionLanguageConfig, template: str, attention: AttentionLossConfig
) -> Recipe:
    model = ModelConfig(
        vision_language=language,
        mask_decoder=dataclasses.replace(
            SIZES["hiera-large"], pointer_times=False, absent_memory=False, hide_absent=False
        ),
        prompts=TEMPLATES[template],
        frames=FrameConfig(language_frames=5, policy=FramePolicy.FIRST, resize=Resize.BICUBIC),
        tokens=TOKENS,
    )
    training = TrainingConfig(
        data=DataConfig("interrvos", "train"),
        optimizer=OptimizerConfig(),
        attention_loss=attention,
        stages=(),
    )
    return Recipe(name, model, training)
