"""The model that a fine-tuning begins with: pretrained halves and new words, or random weights.

Both halves come as folders that `python -m reference_model.convert --internvl` and `--sam2` write; a
Qwen2.5-VL folder is taken as it comes from the Hub. What is new (the projector to SAM2, the rows of the added
words, the LoRA matrices) depends on the seed alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from benchmark.errors import CheckpointError, UsageError
from reference_model.byte_tokenizer import build_byte_tokenizer
from reference_model.checkpoint import fill_weights, own_weights, weights_digest
from reference_model.config import ModelConfig, Recipe
from reference_model.conversations import ANSWERS, POSTFIXES, QUESTIONS
from reference_model.full_recipes import tuning_of
from reference_model.lora import add_lora, choose_trained, set_types
from reference_model.model import Reviosa
from reference_model.released_recipes import ADDED_TOKENS
from reference_model.tokenizer_files import read_tokenizer, token_ids
from reference_model.tuning_config import Precision
from reference_model.weight_files import read_folder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

EMBEDDING_DEVIATION = 0.02  # of the rows of new words, as transformers starts them


def starting_model(
    recipe: Recipe, seed: int, language: Path | None = None, sam2: Path | None = None
) -> tuple[Reviosa, Recipe]:
    """The model with its LoRA matrices, what is trained marked, and the recipe with the sizes found.

    Args:
        language: folder of the converted InternVL2.5 (or of Qwen2.5-VL); `sam2`: of the converted SAM2.

    Raises:
        UsageError: a recipe for pretrained halves has not got both.
        CheckpointError: a folder is no such model, is damaged, or has another size than the recipe.
    """
    if (language is None) != (sam2 is None) or (tuning_of(recipe).pretrained and language is None):
        raise UsageError(
            f"the recipe {recipe.name} begins with two pretrained halves",
            where="command line",
            expected="--internvl FOLDER --sam2 FOLDER",
            found=f"--internvl {language or 'absent'}, --sam2 {sam2 or 'absent'}",
            fix="write the folders with `python -m reference_model.convert --internvl ...` and `--sam2 ...`",
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if language is None or sam2 is None:
            tokenizer = sibling_tokenizer(recipe)
            model = Reviosa(recipe.model, tokenizer)
            _share_place_code(model)
        else:
            model, recipe = _pretrained(recipe, language, sam2)
        tuning = tuning_of(recipe)
        add_lora(model, tuning.lora)
    choose_trained(model)
    narrow = tuning.precision is Precision.BFLOAT16
    set_types(model, torch.bfloat16 if narrow else torch.float32)
    return model, recipe


def frozen_digest(model: Reviosa) -> str:
    """SHA-256 over what training leaves as it is: all weights of a starting model that take no gradient."""
    trained = {name for name, one in model.named_parameters() if one.requires_grad}
    return weights_digest({name: one for name, one in own_weights(model).items() if name not in trained})


def _share_place_code(model: Reviosa) -> None:
    """Give the two modules of SAM2 that hold its random code of places the same one, as published weights do.

    transformers draws them apart; the original form, which `convert --checkpoint` writes, has one.
    """
    sam2 = model.mask_decoder.sam2
    own = sam2.prompt_encoder.shared_embedding.positional_embedding
    with torch.no_grad():
        own.copy_(sam2.shared_image_embedding.positional_embedding)


def sibling_tokenizer(recipe: Recipe) -> PreTrainedTokenizerFast:
    """The tokenizer of a recipe without pretrained halves."""
    from benchmark.datasets.synthetic import VOCABULARY

    chat = tuning_of(recipe).chat
    template = (chat.user, chat.assistant, chat.end)
    texts = [*QUESTIONS, *POSTFIXES, *ANSWERS, *template, " ".join(VOCABULARY)]
    return build_byte_tokenizer(texts, recipe.model.tokens, ADDED_TOKENS)


def _pretrained(recipe: Recipe, language: Path, sam2: Path) -> tuple[Reviosa, Recipe]:
    tokenizer = read_tokenizer(language)
    names = recipe.model.tokens
    known = (names.image, names.image_start, names.image_end, names.turn_start, names.turn_end, names.padding)
    token_ids(tokenizer, known, str(language))
    tokenizer.add_tokens(
        [one for one in ADDED_TOKENS if one not in tokenizer.get_vocab()], special_tokens=True
    )
    words = {_native_name(name): one for name, one in read_folder(language).items()}
    masks = read_folder(sam2)
    rows = _rows(words, language)
    model_config = _found_sizes(recipe.model, max(rows, len(tokenizer)), "lm_head.weight" not in words, masks)
    model = Reviosa(model_config, tokenizer)
    native = model.vision_language.native
    fill_weights(native, _with_new_rows(words, native, rows), str(language))
    fill_weights(model.mask_decoder.sam2, masks, str(sam2))
    return model, replace(recipe, model=model_config)


def _native_name(name: str) -> str:
    """The name in the native class; folders of Qwen2.5-VL on the Hub have the names of an older one."""
    if name.startswith("visual."):
        return f"model.{name}"
    old = name.startswith("model.") and name.split(".")[1] in ("layers", "embed_tokens", "norm")
    return f"model.language_{name}" if old else name


def _found_sizes(config: ModelConfig, vocabulary: int, tied: bool, sam2: Mapping[str, Tensor]) -> ModelConfig:
    """What a folder decides: rows of the embeddings, a head of its own or not, SAM2 2.0 or 2.1."""
    return replace(
        config,
        vision_language=replace(config.vision_language, vocabulary=vocabulary, tied=tied),
        mask_decoder=replace(
            config.mask_decoder,
            pointer_times="temporal_positional_encoding_projection_layer.weight" in sam2,
            absent_memory="occlusion_spatial_embedding_parameter" in sam2,
        ),
    )


def _rows(words: Mapping[str, Tensor], folder: Path) -> int:
    name = "model.language_model.embed_tokens.weight"
    if name not in words or words[name].dim() != 2:
        raise CheckpointError(
            "not a converted language model",
            where=str(folder),
            expected=f"{name} of two dimensions",
            found="original names" if any("language_model.model." in one for one in words) else "other names",
            fix="convert the folder first: python -m reference_model.convert --internvl FOLDER --output ...",
        )
    return len(words[name])


def _with_new_rows(words: Mapping[str, Tensor], model: nn.Module, rows: int) -> dict[str, Tensor]:
    """The weights with random rows for the words that were added, as transformers adds them."""
    wanted = dict(model.state_dict())
    whole = dict(words)
    for name in ("model.language_model.embed_tokens.weight", "lm_head.weight"):
        missing = len(wanted[name]) - rows
        if name in whole and missing > 0:
            new = torch.randn(missing, whole[name].shape[1]) * EMBEDDING_DEVIATION
            whole[name] = torch.cat([whole[name], new.to(whole[name].dtype)])
    return whole
