"""Qwen2.5-VL in the place of InternVL: each frame is a picture of its own, positions have three axes.

Legend of shape suffixes:
    B clips   F frames   P visual tokens of a frame   L tokens   D width   S side of a frame
    N patches of a frame   K values of a patch   C colour channels   M frames of all clips
"""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from reference_model.config import VisionLanguageConfig
from reference_model.frame_pixels import IMAGE_DEVIATION, IMAGE_MEAN
from reference_model.vision_language import PackedReader

MERGED = 2  # patches along a side that become one visual token
STILL_FRAMES = 2  # the patch projection takes two frames; a still picture is taken twice
OWN_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of the pictures that Qwen2.5-VL was trained on
OWN_DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def build_qwen(
    config: VisionLanguageConfig, vocabulary: int, image_token_id: int, padding_id: int
) -> Qwen2_5_VLForConditionalGeneration:
    """A Qwen2.5-VL of these sizes with random weights."""
    layers, half = config.vision_layers, config.width // config.heads // 2
    wide = half * 3 // 8  # of the rotary numbers, three eighths each go to height and width: 16, 24, 24 of 64
    text = {
        "vocab_size": config.vocabulary or vocabulary,
        "hidden_size": config.width,
        "intermediate_size": config.feed_forward or config.width * config.mlp_ratio,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.key_value_heads,
        "max_position_embeddings": config.max_positions,
        "initializer_range": config.initializer_range,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": config.rope_theta or 1e6,
            "mrope_section": [half - 2 * wide, wide, wide],
        },
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": padding_id,
        "tie_word_embeddings": config.tied,
    }
    vision = {
        "depth": layers,
        "hidden_size": config.vision_width,
        "num_heads": config.vision_heads,
        "intermediate_size": config.vision_feed_forward or config.vision_width * config.mlp_ratio,
        "patch_size": config.patch_size,
        "spatial_merge_size": MERGED,
        "temporal_patch_size": STILL_FRAMES,
        "window_size": 8 * config.patch_size,
        "out_hidden_size": config.width,
        # Every fourth block sees the whole picture: 7, 15, 23 and 31 of 32.
        "fullatt_block_indexes": sorted({max(0, layers * part // 4 - 1) for part in range(1, 5)}),
        "initializer_range": config.initializer_range,
    }
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config=text,
            vision_config=vision,
            image_token_id=image_token_id,
            tie_word_embeddings=config.tied,
        )
    )


@final
class QwenVisionLanguage(PackedReader):
    """Qwen2.5-VL: reads packed clips. It answers questions in `generation.py`."""

    def __init__(
        self, config: VisionLanguageConfig, vocabulary: int, image_token_id: int, padding_id: int
    ) -> None:
        super().__init__()
        self.config = config
        self.image_token_id = image_token_id
        self.padding_id = padding_id
        self.qwen = build_qwen(config, vocabulary, image_token_id, padding_id)

    @property
    def native(self) -> nn.Module:
        model: nn.Module = self.qwen
        return model

    @property
    def connector(self) -> nn.Module:
        connector: nn.Module = self.qwen.model.visual.merger
        return connector

    def visual_tokens(self, pixels_BFCSS: Tensor) -> Tensor:
        batch, frames = pixels_BFCSS.shape[:2]
        side = self.config.image_size // self.config.patch_size
        patches = patches_of(own_pixels(pixels_BFCSS.flatten(0, 1)), self.config.patch_size)
        grid = torch.tensor([[1, side, side]] * (batch * frames), device=pixels_BFCSS.device)
        visual: Any = self.qwen.model.visual
        output = visual(patches.to(visual.dtype).flatten(0, 1), grid_thw=grid)
        tokens: Tensor = getattr(output, "pooler_output", output)
        return tokens.view(batch, frames, self.config.tokens_per_frame, -1)

    def places(self, ids_BL: Tensor, position_BL: Tensor, shown: int = 0) -> Tensor:
        """Time, height and width (3, B, L) of every token.

        A frame takes as many numbers as it has rows of visual tokens: all of them have the number at which
        the frame begins as their time, and that plus row and column as the rest. Words have one number
        three times. Source: transformers 5.23, `Qwen2_5_VLModel.get_rope_index`.
        """
        side, every = self.config.tokens_per_side, self.config.tokens_per_frame
        visual_BL = ids_BL == self.image_token_id
        count_BL = visual_BL.long().cumsum(1)
        within_BL = (count_BL - 1) % every
        # Frames that are over before a token; a visual token's own frame is not.
        over_BL = torch.where(visual_BL, (count_BL - 1) // every, count_BL // every) + shown // every
        number_BL = position_BL - over_BL * (every - side)
        begin_BL = number_BL - within_BL
        zero = torch.zeros_like(begin_BL)
        grid = torch.stack([zero, within_BL // side, within_BL % side])
        return torch.where(visual_BL, begin_BL + grid, number_BL)


def own_pixels(pixels_MCSS: Tensor) -> Tensor:
    """Pixels normalised as Qwen2.5-VL wants them, from those normalised by ImageNet."""

    def column(values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values, device=pixels_MCSS.device).view(3, 1, 1)

    plain = pixels_MCSS * column(IMAGE_DEVIATION) + column(IMAGE_MEAN)
    return (plain - column(OWN_MEAN)) / column(OWN_DEVIATION)


def patches_of(pixels_MCSS: Tensor, size: int) -> Tensor:
    """Frames cut into patches (M, N, K), the four of one visual token side by side, each frame taken twice.

    Source: transformers 5.23, `Qwen2VLImageProcessor`.
    """
    count, channels, side, _ = pixels_MCSS.shape
    cells = side // size // MERGED
    cut = pixels_MCSS.view(count, channels, cells, MERGED, size, cells, MERGED, size)
    patches = cut.permute(0, 2, 5, 3, 6, 1, 4, 7)  # cell row, cell column, row and column in it, C, patch
    twice = patches.unsqueeze(6).expand(-1, -1, -1, -1, -1, -1, STILL_FRAMES, -1, -1)
    return twice.reshape(count, cells * cells * MERGED**2, channels * STILL_FRAMES * size * size)
