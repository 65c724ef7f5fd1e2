"""Recipes at full size, each with its ablations, and small siblings that run the same code.

    reviosa_1b                 InternVL2.5-1B and SAM2 Hiera-L
    reviosa_4b                 InternVL2.5-4B and SAM2 Hiera-L
    reviosa_qwen2_5_vl_3b      Qwen2.5-VL-3B and SAM2 Hiera-L (supplement, B.3)

A name that ends in `-baseline`, `+aml` or `+tokens` is an ablation of the paper (table 3): one token and no
attention mask loss; that and the attention mask loss; or the two tokens without it. `..._tiny` are the
siblings: random weights, small sizes, the synthetic set.

Source of the numbers: paper, section 5; cvlab-kaist/InterRVOS at 14c261e, `configs/reviosa_{1b,4b}.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from reference_model.config import (
    AttentionLayout,
    AttentionLossConfig,
    DataConfig,
    LanguageFamily,
    MaskDecoderConfig,
    Recipe,
    TargetNorm,
    VisionLanguageConfig,
)
from reference_model.tuning_config import ChatTemplate, LoraConfig, MixPart, Precision, TuningConfig

CHATS: dict[str, ChatTemplate] = {
    "qwen_chat": ChatTemplate("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>"),
    "phi3_chat": ChatTemplate("<|user|>\n", "<|end|>\n<|assistant|>\n", "<|end|>"),
}
"""The chat templates of the released models; there is no system text."""

INTERRVOS = MixPart("interrvos", postfix=True, interactions_first=True)
JOINT_MIX = (
    INTERRVOS,
    MixPart("mevis", repeats=4),
    MixPart("ref-youtube-vos", repeats=4),
    MixPart("ref-davis17", repeats=4),
)
"""The datasets of table A4. The paper does not say how they are weighted: the repeats are those of the
official configurations that train on MeViS or Ref-YouTube-VOS alone; Ref-DAVIS takes the same."""

HELD_BACK = 16  # clips of InterRVOS train that validation uses and training does not


def reviosa_1b() -> Recipe:
    """InternVL2.5-1B and SAM2 Hiera-L."""
    from reference_model.released_recipes import reviosa_1b as released

    return _tuned(released(), "qwen_chat")


def reviosa_4b() -> Recipe:
    """InternVL2.5-4B and SAM2 Hiera-L."""
    from reference_model.released_recipes import reviosa_4b as released

    return _tuned(released(), "phi3_chat")


def reviosa_qwen2_5_vl_3b() -> Recipe:
    """Qwen2.5-VL-3B and SAM2 Hiera-L.

    The paper publishes neither the layer and heads of its attention mask loss nor the size of the frames.
    Layer and heads are those of the 4B model, whose language model has the same shape: choose them anew with
    `python -m reference_model.analyze_attention` on a model trained by `reviosa_qwen2_5_vl_3b+tokens`.
    """
    recipe = reviosa_1b()
    language = VisionLanguageConfig(
        image_size=448,
        patch_size=14,
        vision_layers=32,
        vision_width=1280,
        vision_heads=16,
        layers=36,
        width=2048,
        heads=16,
        key_value_heads=2,
        max_positions=128_000,
        vision_feed_forward=3420,
        feed_forward=11008,
        vision_bias=True,
        rope_theta=1e6,
        tied=True,
        family=LanguageFamily.QWEN2_5_VL,
    )
    tokens = replace(
        recipe.model.tokens, image_start="<|vision_start|>", image_end="<|vision_end|>", image="<|image_pad|>"
    )
    model = replace(recipe.model, vision_language=language, tokens=tokens)
    training = replace(recipe.training, attention_loss=AttentionLossConfig(33, (6, 12, 13, 14), by_role=True))
    return Recipe("reviosa_qwen2_5_vl_3b", model, training)


def reviosa_1b_tiny() -> Recipe:
    """Small sibling of `reviosa_1b`."""
    return _small(reviosa_1b())


def reviosa_4b_tiny() -> Recipe:
    """Small sibling of `reviosa_4b`."""
    return _small(reviosa_4b())


def reviosa_qwen2_5_vl_3b_tiny() -> Recipe:
    """Small sibling of `reviosa_qwen2_5_vl_3b`."""
    return _small(reviosa_qwen2_5_vl_3b())


def baseline(recipe: Recipe) -> Recipe:
    """[SEG] alone: one token for everything that is meant, no attention mask loss."""
    return _with(recipe, target_token=False, attention=0.0, name=f"{recipe.name}-baseline")


def with_aml(recipe: Recipe) -> Recipe:
    """The baseline and the attention mask loss."""
    return _with(recipe, target_token=False, name=f"{recipe.name}+aml")


def with_tokens(recipe: Recipe) -> Recipe:
    """The baseline and a token for each role."""
    return _with(recipe, attention=0.0, name=f"{recipe.name}+tokens")


def with_joint_mix(recipe: Recipe) -> Recipe:
    """Trained on InterRVOS, MeViS, Ref-YouTube-VOS and Ref-DAVIS together."""
    return _with(recipe, mix=JOINT_MIX)


def official_attention_layout(recipe: Recipe) -> Recipe:
    """The attention mask loss as the official code lays its targets out."""
    loss = replace(recipe.training.attention_loss, layout=AttentionLayout.OFFICIAL)
    return replace(recipe, training=replace(recipe.training, attention_loss=loss))


def with_target_norm(recipe: Recipe, norm: TargetNorm) -> Recipe:
    """The mask losses of actors and targets averaged in another way."""
    return replace(recipe, training=replace(recipe.training, target_norm=norm))


def _with(
    recipe: Recipe, attention: float | None = None, name: str | None = None, **changes: object
) -> Recipe:
    tuning = tuning_of(recipe)
    if attention is not None:
        changes["weights"] = replace(tuning.weights, attention=attention)
    training = replace(recipe.training, tuning=replace(tuning, **changes))  # type: ignore[arg-type]
    return replace(recipe, name=name or recipe.name, training=training)


def tuning_of(recipe: Recipe) -> TuningConfig:
    """The fine-tuning of a recipe that has one."""
    if recipe.training.tuning is None:
        raise ValueError(f"{recipe.name} is trained in stages")
    return recipe.training.tuning


def _tuned(recipe: Recipe, template: str) -> Recipe:
    tuning = TuningConfig((INTERRVOS,), CHATS[template], pretrained=True)
    training = replace(
        recipe.training,
        data=DataConfig("interrvos", "train", held_back=HELD_BACK),
        attention_loss=replace(recipe.training.attention_loss, by_role=True),
        log_every=10,
        tuning=tuning,
    )
    return replace(recipe, training=training)


def _small(recipe: Recipe) -> Recipe:
    language = replace(
        recipe.model.vision_language,
        image_size=56,
        vision_layers=2,
        vision_width=32,
        vision_heads=2,
        layers=3,
        width=48,
        heads=4,
        key_value_heads=2,
        max_positions=4096,
        vision_feed_forward=64,
        feed_forward=96,
        initializer_range=0.06,
        layer_scale=1.0,
    )
    decoder = MaskDecoderConfig(
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
        multimask=True,
        hide_absent=False,
        pointer_times=False,
        absent_memory=False,
    )
    model = replace(recipe.model, vision_language=language, mask_decoder=decoder)
    tuning = replace(
        tuning_of(recipe),
        mix=(replace(INTERRVOS, dataset="interrvos-synthetic"),),
        pretrained=False,
        lora=LoraConfig(rank=4, alpha=8, dropout=0.05),
        precision=Precision.FLOAT32,
        frames=2,
        epochs=1,
        videos_per_step=4,
        learning_rate=2e-3,
        points=256,
    )
    training = replace(
        recipe.training,
        data=DataConfig("interrvos-synthetic", "train", held_back=2),
        attention_loss=replace(recipe.training.attention_loss, layer=1, heads=(0, 3)),
        tuning=tuning,
    )
    return Recipe(f"{recipe.name}_tiny", model, training)


SIZES: tuple[Callable[[], Recipe], ...] = (
    reviosa_1b,
    reviosa_4b,
    reviosa_qwen2_5_vl_3b,
    reviosa_1b_tiny,
    reviosa_4b_tiny,
    reviosa_qwen2_5_vl_3b_tiny,
)
ABLATIONS: dict[str, Callable[[Recipe], Recipe]] = {
    "-baseline": baseline,
    "+aml": with_aml,
    "+tokens": with_tokens,
}


def _derived(make: Callable[[], Recipe], change: Callable[[Recipe], Recipe]) -> Callable[[], Recipe]:
    return lambda: change(make())


FULL_RECIPES: dict[str, Callable[[], Recipe]] = {make.__name__: make for make in SIZES} | {
    make.__name__ + ending: _derived(make, change) for make in SIZES for ending, change in ABLATIONS.items()
}
"""Every name that `--recipe` knows beside those of `recipes.py`."""
