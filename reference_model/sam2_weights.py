"""SAM2 checkpoints (`sam2_hiera_*.pt`, `sam2.1_hiera_*.pt`) and `Sam2VideoModel`: names and sizes.

SAM2.1 differs from SAM2 in two weights: object pointers say how long ago they were (`obj_ptr_tpos_proj`),
and the memory of frames without the object is marked (`no_obj_embed_spatial`).

Source: facebookresearch/sam2 at 2b90b9f, `sam2/modeling` for the names, `sam2/configs` for the sizes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchmark.errors import CheckpointError
from reference_model.config import MaskDecoderConfig
from reference_model.mask_decoder import build_sam2
from reference_model.weight_names import Rule, renamed, require_same_names, reversed_rules, translate

if TYPE_CHECKING:
    from transformers import Sam2VideoModel


def _three_layers(left: str, right: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"{left}.layers.{number}.{{p}}", f"{right}.{name}.{{p}}")
        for number, name in enumerate(("proj_in", "layers.0", "proj_out"))
    )


def _each(left: str, right: str, names: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((left.format(old), right.format(new)) for old, new in names.items())


_TOP = (
    ("maskmem_tpos_enc", "memory_temporal_positional_encoding"),
    ("no_mem_embed", "no_memory_embedding"),
    ("no_mem_pos_enc", "no_memory_positional_encoding"),
    ("no_obj_ptr", "no_object_pointer"),
    ("no_obj_embed_spatial", "occlusion_spatial_embedding_parameter"),
    ("mask_downsample.{p}", "mask_downsample.{p}"),
    ("obj_ptr_tpos_proj.{p}", "temporal_positional_encoding_projection_layer.{p}"),
    *_three_layers("obj_ptr_proj", "object_pointer_proj"),
)

_TRUNK = (
    ("image_encoder.trunk.pos_embed", "vision_encoder.backbone.pos_embed"),
    ("image_encoder.trunk.pos_embed_window", "vision_encoder.backbone.pos_embed_window"),
    ("image_encoder.trunk.patch_embed.proj.{p}", "vision_encoder.backbone.patch_embed.projection.{p}"),
    ("image_encoder.neck.convs.{n}.conv.{p}", "vision_encoder.neck.convs.{n}.{p}"),
    *_each(
        "image_encoder.trunk.blocks.{{n}}.{}.{{p}}",
        "vision_encoder.backbone.blocks.{{n}}.{}.{{p}}",
        {
            "norm1": "layer_norm1",
            "norm2": "layer_norm2",
            "attn.qkv": "attn.qkv",
            "attn.proj": "attn.proj",
            "mlp.layers.0": "mlp.proj_in",
            "mlp.layers.1": "mlp.proj_out",
            "proj": "proj",
        },
    ),
)

_PROMPTS = (
    ("sam_prompt_encoder.not_a_point_embed.weight", "prompt_encoder.not_a_point_embed.weight"),
    ("sam_prompt_encoder.no_mask_embed.weight", "prompt_encoder.no_mask_embed.weight"),
    *_each(
        "sam_prompt_encoder.mask_downscaling.{}.{{p}}",
        "prompt_encoder.mask_embed.{}.{{p}}",
        {"0": "conv1", "1": "layer_norm1", "3": "conv2", "4": "layer_norm2", "6": "conv3"},
    ),
)

_DECODER = (
    *_each(
        "sam_mask_decoder.{}.weight",
        "mask_decoder.{}.weight",
        {"iou_token": "iou_token", "mask_tokens": "mask_tokens", "obj_score_token": "obj_score_token"},
    ),
    *_each(
        "sam_mask_decoder.{}.{{p}}",
        "mask_decoder.{}.{{p}}",
        {
            "conv_s0": "conv_s0",
            "conv_s1": "conv_s1",
            "output_upscaling.0": "upscale_conv1",
            "output_upscaling.1": "upscale_layer_norm",
            "output_upscaling.3": "upscale_conv2",
            "transformer.norm_final_attn": "transformer.layer_norm_final_attn",
        },
    ),
    *(
        (
            f"sam_mask_decoder.transformer.{part}.{old}.{{p}}",
            f"mask_decoder.transformer.{part}.{new}.{{p}}",
        )
        for part in (
            "layers.{n}.self_attn",
            "layers.{n}.cross_attn_token_to_image",
            "layers.{n}.cross_attn_image_to_token",
            "final_attn_token_to_image",
        )
        for old, new in (("{q}_proj", "{q}_proj"), ("out_proj", "o_proj"))
    ),
    *_each(
        "sam_mask_decoder.transformer.layers.{{n}}.{}.{{p}}",
        "mask_decoder.transformer.layers.{{n}}.{}.{{p}}",
        {
            "norm1": "layer_norm1",
            "norm2": "layer_norm2",
            "norm3": "layer_norm3",
            "norm4": "layer_norm4",
            "mlp.layers.0": "mlp.proj_in",
            "mlp.layers.1": "mlp.proj_out",
        },
    ),
    *_three_layers(
        "sam_mask_decoder.output_hypernetworks_mlps.{n}", "mask_decoder.output_hypernetworks_mlps.{n}"
    ),
    *_three_layers("sam_mask_decoder.iou_prediction_head", "mask_decoder.iou_prediction_head"),
    *_three_layers("sam_mask_decoder.pred_obj_score_head", "mask_decoder.pred_obj_score_head"),
)

_MEMORY = (
    *(
        (
            f"memory_attention.layers.{{n}}.{part}.{old}.{{p}}",
            f"memory_attention.layers.{{n}}.{part}.{new}.{{p}}",
        )
        for part in ("self_attn", "cross_attn_image")
        for old, new in (("{q}_proj", "{q}_proj"), ("out_proj", "o_proj"))
    ),
    *_each(
        "memory_attention.layers.{{n}}.{}.{{p}}",
        "memory_attention.layers.{{n}}.{}.{{p}}",
        {
            "linear1": "linear1",
            "linear2": "linear2",
            "norm1": "layer_norm1",
            "norm2": "layer_norm2",
            "norm3": "layer_norm3",
        },
    ),
    ("memory_attention.norm.{p}", "memory_attention.layer_norm.{p}"),
    *_each(
        "memory_encoder.mask_downsampler.encoder.{}.{{p}}",
        "memory_encoder.mask_downsampler.{}.{{p}}",
        {
            "0": "layers.0.conv",
            "1": "layers.0.layer_norm",
            "3": "layers.1.conv",
            "4": "layers.1.layer_norm",
            "6": "layers.2.conv",
            "7": "layers.2.layer_norm",
            "9": "layers.3.conv",
            "10": "layers.3.layer_norm",
            "12": "final_conv",
        },
    ),
    ("memory_encoder.pix_feat_proj.{p}", "memory_encoder.feature_projection.{p}"),
    ("memory_encoder.out_proj.{p}", "memory_encoder.projection.{p}"),
    ("memory_encoder.fuser.layers.{n}.gamma", "memory_encoder.memory_fuser.layers.{n}.scale"),
    *_each(
        "memory_encoder.fuser.layers.{{n}}.{}.{{p}}",
        "memory_encoder.memory_fuser.layers.{{n}}.{}.{{p}}",
        {
            "dwconv": "depthwise_conv",
            "norm": "layer_norm",
            "pwconv1": "pointwise_conv1",
            "pwconv2": "pointwise_conv2",
        },
    ),
)

RULES: tuple[Rule, ...] = (
    *renamed(*_TOP, *_TRUNK, *_PROMPTS, *_DECODER, *_MEMORY),
    Rule(
        tuple(f"sam_prompt_encoder.point_embeddings.{number}.weight" for number in range(4)),
        ("prompt_encoder.point_embed.weight",),
    ),
    Rule(
        ("sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",),
        (
            "prompt_encoder.shared_embedding.positional_embedding",
            "shared_image_embedding.positional_embedding",
        ),
        copied=True,
    ),
)

_PUBLISHED = MaskDecoderConfig(image_size=1024, multimask=True, hide_absent=True)
SIZES: dict[str, MaskDecoderConfig] = {
    "hiera-tiny": dataclasses.replace(
        _PUBLISHED, trunk_width=96, blocks=(1, 2, 7, 2), trunk_heads=1, global_blocks=(5, 7, 9)
    ),
    "hiera-small": dataclasses.replace(
        _PUBLISHED, trunk_width=96, blocks=(1, 2, 11, 2), trunk_heads=1, global_blocks=(7, 10, 13)
    ),
    "hiera-base-plus": dataclasses.replace(
        _PUBLISHED,
        trunk_width=112,
        blocks=(2, 3, 16, 3),
        trunk_heads=2,
        global_blocks=(12, 16, 20),
        background_side=14,
    ),
    "hiera-large": dataclasses.replace(
        _PUBLISHED,
        trunk_width=144,
        blocks=(2, 6, 36, 4),
        trunk_heads=2,
        global_blocks=(23, 33, 43),
        window_sizes=(8, 4, 16, 8),
    ),
}
"""The four published sizes; a checkpoint holds no configuration, so it is told by its shapes."""


def find_size(tensors: Mapping[str, Tensor], where: str) -> MaskDecoderConfig:
    """The published size that a checkpoint has, told by the width and the number of its trunk blocks.

    Raises:
        CheckpointError: when it is none of them.
    """
    patch = tensors.get("image_encoder.trunk.patch_embed.proj.weight")
    prefix = "image_encoder.trunk.blocks."
    blocks = {name.removeprefix(prefix).split(".")[0] for name in tensors if name.startswith(prefix)}
    width = patch.shape[0] if patch is not None and patch.dim() else None
    for size in SIZES.values():
        if (width, len(blocks)) == (size.trunk_width, sum(size.blocks)):
            return dataclasses.replace(
                size,
                pointer_times="obj_ptr_tpos_proj.weight" in tensors,
                absent_memory="no_obj_embed_spatial" in tensors,
            )
    known = "; ".join(
        f"{name}: width {size.trunk_width}, {sum(size.blocks)} blocks" for name, size in SIZES.items()
    )
    raise CheckpointError(
        "not a SAM2 checkpoint of a published size",
        where=where,
        expected=known,
        found=f"width {width or 'unknown'}, {len(blocks)} blocks",
        fix="give a sam2_hiera_*.pt or sam2.1_hiera_*.pt file",
    )


def to_native(tensors: Mapping[str, Tensor], size: MaskDecoderConfig, where: str) -> dict[str, Tensor]:
    """The weights under the names of `Sam2VideoModel`.

    Raises:
        CheckpointError: names that are missing, unknown or of another shape, in the file's own words.
    """
    require_same_names(tensors, to_original(empty_sam2(size).state_dict(), where), where)
    return translate(tensors, RULES, where)


def to_original(tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The weights of a `Sam2VideoModel` under the names of the `sam2` package.

    Raises:
        CheckpointError: when they are not those of a `Sam2VideoModel`.
    """
    return translate(tensors, reversed_rules(RULES), where)


def empty_sam2(size: MaskDecoderConfig) -> Sam2VideoModel:
    """A model of this size without values: names and shapes only."""
    with torch.device("meta"):
        return build_sam2(size)
