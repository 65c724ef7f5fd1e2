"""Small models whose weights and inputs follow from names, so that two programs can build the same ones.

Values come from the raw words of PCG64, which no version of NumPy changes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

SIDE = 56  # of frames for the language model
SAM_SIDE = 128
FRAMES = 5
PROMPTED = (0, 1)
KEPT = 64  # values kept of every output

VISION = {
    "architectures": ["InternVisionModel"],
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": SIDE,
    "patch_size": 14,
    "qkv_bias": True,
    "qk_normalization": False,
    "norm_type": "layer_norm",
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
    "initializer_factor": 1.0,
    "drop_path_rate": 0.0,
}
LANGUAGE = {
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 24,
    "max_position_embeddings": 512,
    "rope_theta": 1000000.0,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "use_sliding_window": False,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
CONFIG = {
    "model_type": "internvl_chat",
    "vision_config": VISION,
    "llm_config": LANGUAGE,
    "downsample_ratio": 0.5,
    "ps_version": "v2",
    "select_layer": -1,
    "force_image_size": SIDE,
    "template": "internvl2_5",
}
IMAGE_TOKEN = 5
VISUAL_TOKENS = 4
IDS = (
    1,
    9,
    3,
    *[IMAGE_TOKEN] * VISUAL_TOKENS,
    4,
    3,
    *[IMAGE_TOKEN] * VISUAL_TOKENS,
    4,
    12,
    13,
    2,
    1,
    14,
    18,
    15,
    23,
)
ROLE_POSITIONS = (IDS.index(18), IDS.index(23))  # where the role tokens are the input
TOKENS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "user", "assistant"),
    *("please", "segment", "it", "is", "and", "red", "blue", "disc", "square", "sure"),
    *("[SEG]", "<p>", "</p>", "<vp>", "</vp>", "[SEG_OBJ]"),
)
"""Word number i is token i; there are as many as `vocab_size`."""
FIRST_ADDED = TOKENS.index("[SEG]")
ABSENT = -5.0  # bias of the object score when the object is not there
LORA_RANK = 4
LORA_SCALE = 2

TRUNK = {"embed_dim": 16, "num_heads": 1, "stages": [1, 1, 2, 1], "global_att_blocks": [3]}
WINDOWS = {"window_pos_embed_bkg_spatial_size": [7, 7], "window_spec": [8, 4, 8, 4]}
MEMORY_LAYERS = 2


def numbers(name: str, shape: Sequence[int]) -> NDArray[np.float32]:
    """Uniform values in [-1, 1) that depend on a name alone."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    words = np.random.PCG64(seed).random_raw(math.prod(shape))
    return ((words >> np.uint64(11)) * 2.0**-52 - 1).astype(np.float32).reshape(shape)


def weight(name: str, shape: Sequence[int]) -> NDArray[np.float32]:
    """A weight of a size that keeps activations lively and objects visible."""
    values = numbers(name, shape)
    last = name.split(".")[-1]
    if name.endswith("pred_obj_score_head.layers.2.bias"):
        return values + 5.0
    if name.endswith("pe_layer.positional_encoding_gaussian_matrix"):
        return values
    if last in ("ls1", "ls2", "gamma", "g_weight"):
        return 0.5 + 0.2 * values
    if len(shape) == 1:
        return (1.0 if last == "weight" else 0.0) + 0.1 * values
    if last == "weight" and len(shape) > 1:
        return values * np.float32(1.7 / math.sqrt(math.prod(shape[1:])))
    return 0.3 * values


def weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, NDArray[np.float32]]:
    """All weights of a list of names and shapes."""
    return {name: weight(name, shape) for name, shape in shapes.items()}


def kept(values: NDArray[np.float32]) -> list[float]:
    """Some values of an output, evenly spread."""
    flat = values.reshape(-1)
    step = max(1, flat.size // KEPT)
    return [float(one) for one in flat[::step][:KEPT]]
