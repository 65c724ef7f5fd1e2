"""Checkpoints on disk: a folder with `config.json`, `model.safetensors` and `tokenizer.json`.

Only safetensors is ever read: loading a checkpoint runs no code from it. The configuration is written
last and names the digest of the weights, so a folder that was cut off while writing is recognised.
Training state (optimizer, generators, training aids) lies in the same forms in files of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.errors import CheckpointError
from benchmark.stored_files import make_folder, write_atomically, write_json
from reference_model.config import Recipe, from_mapping
from reference_model.model import Reviosa
from reference_model.tensor_files import write_tensors

FORMAT = 1
WEIGHTS_FILE = "model.safetensors"
SHIPPED = Path(__file__).parent / "checkpoints" / "tiny"


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A model and what is known of it.

    Attributes:
        digest: SHA-256 over names, shapes and values of all weights.
        facts: how it was trained (seed, steps, data, provenance), as stored.
        stored_type: type of most of the stored values; the model itself is read in float32.
    """

    model: Reviosa
    recipe: Recipe
    digest: str
    facts: Mapping[str, Any]
    stored_type: torch.dtype = torch.float32


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and values, independent of the file's layout."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_checkpoint(folder: Path, model: Reviosa, recipe: Recipe, facts: Mapping[str, Any]) -> str:
    """Write a checkpoint and return the digest of its weights.

    Raises:
        OutputError: when the place cannot be written to.
    """
    tokenizer: str = model.tokenizer.backend_tokenizer.to_str(pretty=True)
    return save_weights(folder, own_weights(model), tokenizer, recipe, facts)


def save_weights(
    folder: Path, weights: Mapping[str, Tensor], tokenizer: str, recipe: Recipe, facts: Mapping[str, Any]
) -> str:
    """Write a checkpoint from its parts and return the digest of its weights.

    Args:
        tokenizer: the content of `tokenizer.json`.

    Raises:
        OutputError: when the place cannot be written to.
    """
    make_folder(folder)
    digest = weights_digest(weights)
    write_tensors(folder / WEIGHTS_FILE, weights)
    write_atomically(folder / "tokenizer.json", f"{tokenizer}\n".encode())
    written = {"format": FORMAT, "weights_digest": digest, "recipe": asdict(recipe), "training": dict(facts)}
    write_json(folder / "config.json", written)
    return digest


def load_checkpoint(folder: Path) -> LoadedCheckpoint:
    """Read a checkpoint on the CPU, in evaluation mode.

    Raises:
        CheckpointError: missing or damaged files, another format, weights that do not fit.
    """
    from transformers import PreTrainedTokenizerFast

    config = read_config(folder)
    recipe = read_recipe(folder)
    path = folder / "tokenizer.json"
    names = recipe.model.tokens
    try:
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(path), pad_token=names.padding, unk_token=names.unknown
        )
    except Exception as error:  # the tokenizers library raises bare Exception
        raise CheckpointError(
            "tokenizer cannot be read", where=str(path), found=str(error), fix="fetch the checkpoint again"
        ) from error
    model = Reviosa(recipe.model, tokenizer)
    weights = read_tensors(folder / WEIGHTS_FILE)
    fill_weights(model, weights, str(folder / WEIGHTS_FILE))
    digest = weights_digest(weights)
    if digest != config["weights_digest"]:
        raise CheckpointError(
            "weights and configuration are not of one checkpoint",
            where=str(folder),
            expected=f"weights digest {config['weights_digest']}",
            found=digest,
            fix="fetch the checkpoint again",
        )
    return LoadedCheckpoint(model.eval(), recipe, digest, config["training"], stored_type(weights))


def stored_type(weights: Mapping[str, Tensor]) -> torch.dtype:
    """The type of most values."""
    sizes: dict[torch.dtype, int] = {}
    for tensor in weights.values():
        sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.numel()
    return max(sizes, key=lambda one: sizes[one], default=torch.float32)


def read_config(folder: Path) -> dict[str, Any]:
    """The parsed `config.json` of a checkpoint.

    Raises:
        CheckpointError: when it is missing, not JSON, of another format, or lacks a part.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(
            "no checkpoint here",
            where=str(folder),
            expected="config.json, model.safetensors, tokenizer.json",
            fix="give the folder that reference_model.train wrote",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError("configuration cannot be read", where=str(path), found=str(error)) from error
    parts = ("format", "weights_digest", "recipe", "training")
    if not isinstance(config, dict) or any(part not in config for part in parts):
        raise CheckpointError("configuration is incomplete", where=str(path), expected=", ".join(parts))
    if config["format"] != FORMAT:
        raise CheckpointError(
            "checkpoint of another format",
            where=str(path),
            expected=f"format {FORMAT}",
            found=f"{config['format']!r}",
            fix="use the version that wrote it",
        )
    return config


def read_recipe(folder: Path) -> Recipe:
    """The recipe of a checkpoint, without its weights.

    Raises:
        CheckpointError: as `read_config`, or when the recipe does not fit this version.
    """
    return from_mapping(Recipe, read_config(folder)["recipe"], f"{folder / 'config.json'}: recipe")


def own_weights(model: nn.Module) -> dict[str, Tensor]:
    """All weights of a model, tied ones once."""
    seen: set[int] = set()
    weights = {}
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen or not tensor.numel():
            weights[name] = tensor
            seen.add(tensor.data_ptr())
    return weights


def fill_weights(model: nn.Module, weights: Mapping[str, Tensor], where: str) -> None:
    """Put weights into a model; every one must be there, none may be left over, all shapes must fit.

    Raises:
        CheckpointError: with the names that are missing, unknown or of another shape.
    """
    wanted = own_weights(model)
    wrong = {
        "missing": sorted(set(wanted) - set(weights)),
        "unknown": sorted(set(weights) - set(wanted)),
        "of another shape": sorted(
            f"{name} {tuple(weights[name].shape)} instead of {tuple(wanted[name].shape)}"
            for name in set(wanted) & set(weights)
            if weights[name].shape != wanted[name].shape
        ),
    }
    if any(wrong.values()):
        found = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in wrong.items() if names)
        raise CheckpointError(
            "weights do not fit the configuration",
            where=where,
            expected=f"{len(wanted)} tensors",
            found=found,
            fix="use the weights and configuration of one checkpoint",
        )
    # Tied weights share memory, so filling one fills both.
    model.load_state_dict(dict(weights), strict=False)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        CheckpointError: when it is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except FileNotFoundError as error:
        raise CheckpointError(
            "weights are missing", where=str(path), fix="fetch the checkpoint again"
        ) from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            "weights are damaged or not safetensors",
            where=str(path),
            found=str(error),
            fix="fetch the checkpoint again",
        ) from error
    return tensors
