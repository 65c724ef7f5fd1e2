"""Tiny checkpoints of real transformers classes with random weights, saved as released ones are."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    BertTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    InternVLConfig,
    InternVLForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Sam2VideoConfig,
    Sam2VideoModel,
    Sam3Config,
    Sam3TrackerVideoConfig,
    Sam3VideoConfig,
    Sam3VideoModel,
)
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import (
    GroundingDinoImageProcessorPil,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.sam2.configuration_sam2 import Sam2HieraDetConfig, Sam2VisionConfig
from transformers.models.sam2_video.configuration_sam2_video import Sam2VideoMaskDecoderConfig

SIDE = 64  # of SAM2's input

_TEMPLATE = (
    "{{% for message in messages %}}<|im_start|>{{{{ message.role }}}}\n"
    "{{% for part in message.content %}}"
    "{{% if part.type == 'image' %}}{picture}{{% else %}}{{{{ part.text }}}}{{% endif %}}"
    "{{% endfor %}}<|im_end|>\n{{% endfor %}}"
    "{{% if add_generation_prompt %}}<|im_start|>assistant\n{{% endif %}}"
)


def write_qwen(folder: Path) -> Path:
    """A Qwen2.5-VL of about a hundred thousand weights; a byte of the text is a token."""
    torch.manual_seed(0)
    tokens = _qwen_tokenizer()
    text = {**_text(len(tokens)), "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]}}
    eyes = {**_qwen_eyes(), "depth": 2, "window_size": 56, "fullatt_block_indexes": [1]}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=eyes, **_qwen_ids(tokens))
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    tokens.save_pretrained(folder)
    size = {"shortest_edge": 56 * 56, "longest_edge": 112 * 112}
    Qwen2VLImageProcessorPil(size=size).save_pretrained(folder)
    return folder


def write_qwen3(folder: Path) -> Path:
    """A Qwen3-VL of about a hundred thousand weights; a byte of the text is a token."""
    torch.manual_seed(0)
    tokens = _qwen_tokenizer()
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "mrope_interleaved": True}
    text = {**_text(len(tokens)), "head_dim": 8, "rope_parameters": rope}
    eyes = {**_qwen_eyes(), "depth": 3, "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
    config = Qwen3VLConfig(text_config=text, vision_config=eyes, **_qwen_ids(tokens))
    Qwen3VLForConditionalGeneration(config).save_pretrained(folder)
    tokens.save_pretrained(folder)
    size = {"shortest_edge": 64 * 64, "longest_edge": 128 * 128}
    Qwen2VLImageProcessorPil(size=size, patch_size=16).save_pretrained(folder)
    return folder


def _qwen_tokenizer() -> PreTrainedTokenizerFast:
    special = ["<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    return _tokenizer(special, "<|vision_start|><|image_pad|><|vision_end|>", {})


def _qwen_eyes() -> dict[str, object]:
    return {"hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "out_hidden_size": 32}


def _qwen_ids(tokens: PreTrainedTokenizerFast) -> dict[str, int]:
    return {
        "image_token_id": tokens.convert_tokens_to_ids("<|image_pad|>"),
        "video_token_id": tokens.convert_tokens_to_ids("<|video_pad|>"),
        "vision_start_token_id": tokens.convert_tokens_to_ids("<|vision_start|>"),
        "vision_end_token_id": tokens.convert_tokens_to_ids("<|vision_end|>"),
    }


def write_internvl(folder: Path) -> Path:
    """An InternVL of about a hundred thousand weights, four tokens a picture."""
    torch.manual_seed(0)
    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokens = _tokenizer(["<|im_start|>"], "<IMG_CONTEXT>\n", named)
    eyes = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "image_size": [56, 56],
        "patch_size": [14, 14],
    }
    config = InternVLConfig(
        text_config={"model_type": "qwen2", **_text(len(tokens))},
        vision_config=eyes,
        image_token_id=tokens.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    InternVLForConditionalGeneration(config).save_pretrained(folder)
    tokens.save_pretrained(folder)
    GotOcr2ImageProcessorPil(size={"height": 56, "width": 56}, max_patches=2).save_pretrained(folder)
    (folder / "processor_config.json").write_text(
        '{"image_seq_length": 4, "processor_class": "InternVLProcessor"}', encoding="utf-8"
    )
    return folder


def write_sam2(folder: Path) -> Path:
    """A SAM2 video model of about two million weights that sees an object in every frame."""
    torch.manual_seed(0)
    sides = [[SIDE // 4] * 2, [SIDE // 8] * 2, [SIDE // 16] * 2]
    widths = [16, 32, 64, 128]
    backbone = Sam2HieraDetConfig(
        hidden_size=16,
        image_size=[SIDE, SIDE],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[8, 4, 8, 4],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[7, 7],
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone.to_dict(),
        backbone_channel_list=widths[::-1],
        backbone_feature_sizes=sides,
        fpn_hidden_size=128,
    )
    prompts = {"hidden_size": 128, "image_size": SIDE, "patch_size": 16, "mask_input_channels": 8}
    decoder = Sam2VideoMaskDecoderConfig(
        hidden_size=128, mlp_dim=128, num_attention_heads=8, iou_head_hidden_dim=128
    )
    config = Sam2VideoConfig(
        vision_config=vision.to_dict(),
        prompt_encoder_config=prompts,
        mask_decoder_config=decoder,
        image_size=SIDE,
        memory_attention_hidden_size=128,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=128,
        memory_attention_rope_feat_sizes=sides[2],
        memory_encoder_hidden_size=128,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=128,
    )
    model = Sam2VideoModel(config)
    # Random scores are mostly "no object", which hides every mask.
    torch.nn.init.constant_(model.mask_decoder.pred_obj_score_head.proj_out.bias, 5.0)
    model.save_pretrained(folder)
    return folder


def write_grounding_dino(folder: Path) -> Path:
    """A Grounding DINO of about half a million weights; a letter of the text is a token."""
    torch.manual_seed(0)
    letters = [chr(one) for one in range(ord("a"), ord("z") + 1)]
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        ".",
        "?",
        *letters,
        *("##" + one for one in letters),
    ]
    tokens = BertTokenizer(vocab={word: index for index, word in enumerate(words)})
    text = {
        "model_type": "bert",
        "vocab_size": len(words),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    }
    eyes = {
        "model_type": "swin",
        "embed_dim": 16,
        "depths": [1, 1, 1, 1],
        "num_heads": [1, 2, 4, 8],
        "window_size": 4,
        "image_size": 64,
        "out_indices": [2, 3, 4],
    }
    config = GroundingDinoConfig(
        backbone_config=eyes,
        text_config=text,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        num_queries=10,
    )
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    tokens.save_pretrained(folder)
    GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96}).save_pretrained(folder)
    return folder


def write_sam3(folder: Path) -> Path:
    """A SAM3 video model of about four million weights that takes every detection for an object."""
    torch.manual_seed(0)
    tokens = _tokenizer([], "", {})
    patch, side = 14, 56
    cells = side // patch
    eyes = {
        "model_type": "sam3_vision_model",
        "backbone_config": {
            "model_type": "sam3_vit_model",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": side,
            "pretrain_image_size": side,
            "patch_size": patch,
            "window_size": 2,
            "global_attn_indexes": [1],
        },
        "fpn_hidden_size": 128,
        "backbone_feature_sizes": [[4 * cells] * 2, [2 * cells] * 2, [cells] * 2],
    }
    words = {
        "model_type": "clip_text_model",
        "vocab_size": len(tokens),
        "hidden_size": 32,
        "intermediate_size": 64,
        "projection_dim": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 32,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 0,
    }
    layers = {"hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 64, "num_layers": 1}
    detector = Sam3Config(
        vision_config=eyes,
        text_config=words,
        geometry_encoder_config=layers,
        detr_encoder_config=layers,
        detr_decoder_config={**layers, "num_queries": 3},
        mask_decoder_config={"hidden_size": 128, "num_attention_heads": 2},
    )
    tracker = Sam3TrackerVideoConfig(
        vision_config=eyes,
        image_size=side,
        prompt_encoder_config={"hidden_size": 128, "patch_size": patch, "mask_input_channels": 8},
        mask_decoder_config={
            "hidden_size": 128,
            "mlp_dim": 128,
            "num_attention_heads": 8,
            "iou_head_hidden_dim": 128,
        },
        memory_attention_hidden_size=128,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=128,
        memory_encoder_hidden_size=128,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=128,
    )
    config = Sam3VideoConfig(
        detector_config=detector,
        tracker_config=tracker,
        low_res_mask_size=4 * cells,
        score_threshold_detection=0.1,
        new_det_thresh=0.1,
        # What it detects overlaps: nothing is taken for a second view of the same.
        suppress_overlapping_based_on_recent_occlusion_threshold=1.0,
        hotstart_dup_thresh=15,
        hotstart_unmatch_thresh=15,
    )
    model = Sam3VideoModel(config)
    torch.nn.init.constant_(model.tracker_model.mask_decoder.pred_obj_score_head.proj_out.bias, 5.0)
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


def _text(vocabulary: int) -> dict[str, object]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 0,
    }


def _tokenizer(special: list[str], picture: str, named: dict[str, str]) -> PreTrainedTokenizerFast:
    words = ["<|endoftext|>", "<|im_end|>", *special, *named.values()]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytes_only = Tokenizer(
        models.BPE(vocab={one: index for index, one in enumerate(words + letters)}, merges=[])
    )
    bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_only.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=bytes_only,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        # A list, or a dictionary whose names become attributes of the tokenizer.
        extra_special_tokens={**{f"special_{one}": one for one in special}, **named} if named else special,
        chat_template=_TEMPLATE.format(picture=picture),
    )
