"""Checkpoints as other projects store them, small, with the names and shapes of the public code."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reference_model import released_recipes
from reference_model.config import MaskDecoderConfig, Recipe
from reference_model.internvl_weights import read_size
from tests.reference_model.golden import peer_cases as cases

GOLDEN = Path(__file__).parent / "golden" / "peers.json"
SMALL_SAM2 = MaskDecoderConfig(
    image_size=cases.SAM_SIDE,
    trunk_width=16,
    blocks=(1, 1, 2, 1),
    window_sizes=(8, 4, 8, 4),
    memory_layers=cases.MEMORY_LAYERS,
    multimask=True,
    trunk_heads=1,
    global_blocks=(3,),
)


@cache
def golden() -> dict[str, Any]:
    """What the peers said."""
    stored: dict[str, Any] = json.loads(GOLDEN.read_text())
    return stored


def weights_of(case: str) -> dict[str, Tensor]:
    """The weights of a case under the peer's names."""
    return {name: torch.from_numpy(one) for name, one in cases.weights(golden()["shapes"][case]).items()}


def largest_difference(case: str, output: str, found: Tensor) -> float:
    """Between the peer's stored values of an output and ours; the shapes must be the same."""
    stored = golden()["outputs"][case][output]
    assert list(found.shape) == stored["shape"]
    ours = np.array(cases.kept(found.detach().float().numpy()))
    return float(np.abs(ours - np.array(stored["values"])).max())


def write_tokenizer(folder: Path, tokens: tuple[str, ...] = cases.TOKENS) -> None:
    """A tokenizer with one word per token."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(tokens)}, unk_token=tokens[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [word for word in tokens if not word.isalpha()]
    tokenizer.add_special_tokens([AddedToken(word, normalized=False) for word in special])
    tokenizer.save(str(folder / "tokenizer.json"))


def write_internvl(folder: Path, weights: dict[str, Tensor] | None = None, **config: Any) -> Path:
    """An original InternVL folder."""
    from safetensors.torch import save_file

    write_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps(cases.CONFIG | config))
    save_file(weights_of("internvl") if weights is None else weights, folder / "model.safetensors")
    return folder


def write_sam2(path: Path, weights: dict[str, Tensor] | None = None, case: str = "sam2") -> Path:
    """A sam2 file."""
    torch.save({"model": weights_of(case) if weights is None else weights}, path)
    return path


def small_recipe() -> Recipe:
    """A released recipe of the small size."""
    recipe = released_recipes.reviosa_1b()
    size = read_size(cases.CONFIG, "small")
    return dataclasses.replace(
        recipe, name="small", model=dataclasses.replace(recipe.model, vision_language=size)
    )


def write_released(folder: Path, weights: dict[str, Tensor] | None = None, **config: Any) -> Path:
    """A released ReVIOSa folder."""
    written = {"model_type": "reviosa_chat", "template": "qwen_chat"} | config
    return write_internvl(folder, weights_of("sa2va") if weights is None else weights, **written)


def write_training(folder: Path, trained: dict[str, Tensor] | None = None) -> tuple[Path, Path, Path]:
    """A training file, and the InternVL folder and the SAM2 file that the training began with."""
    first = cases.FIRST_ADDED
    base = weights_of("internvl")
    for name in ("language_model.model.embed_tokens.weight", "language_model.lm_head.weight"):
        base[name] = base[name][:first].clone()
    internvl = write_internvl(folder / "internvl", base, llm_config=cases.LANGUAGE | {"vocab_size": first})
    write_tokenizer(internvl, cases.TOKENS[:first])
    sam2 = write_sam2(folder / "sam2.pt")
    path = folder / "iter_10.pth"
    torch.save({"state_dict": weights_of("training") if trained is None else trained}, path)
    return path, internvl, sam2
