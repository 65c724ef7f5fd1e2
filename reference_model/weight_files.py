"""Weights as other projects store them: safetensors in one file or in shards, or a pickle of tensors.

A pickle is only ever read with `torch.load(weights_only=True)`: tensors and plain containers come in, code
is refused.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.errors import CheckpointError
from reference_model.checkpoint import read_tensors

WRAPPERS = ("model", "state_dict", "module")
"""Keys under which sam2, mmengine and DeepSpeed put the weights."""

ZIP, PICKLE = b"PK\x03\x04", b"\x80"
"""How files of torch begin: since 1.6, and before."""

DEEPSPEED_FILE = "mp_rank_00_model_states.pt"


def read_folder(folder: Path) -> dict[str, Tensor]:
    """All tensors of a Hub folder: `model.safetensors`, its shards, or `pytorch_model.bin`.

    Raises:
        CheckpointError: no weights, a missing or damaged shard, or shards that do not fit their index.
    """
    if (folder / "model.safetensors").is_file():
        return read_tensors(folder / "model.safetensors")
    for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        if (folder / index).is_file():
            return _read_shards(folder, folder / index)
    if (folder / "pytorch_model.bin").is_file():
        return read_pickle(folder / "pytorch_model.bin")
    raise CheckpointError(
        "no weights here",
        where=str(folder),
        expected="model.safetensors, model.safetensors.index.json with its shards, or pytorch_model.bin",
        fix="give the folder as it was downloaded from the Hub",
    )


def _read_shards(folder: Path, index: Path) -> dict[str, Tensor]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(one, str) for one in names.values()):
        raise CheckpointError("index of the shards cannot be read", where=str(index), expected="weight_map")
    tensors: dict[str, Tensor] = {}
    for shard in sorted(set(names.values())):
        path = folder / Path(shard).name
        tensors |= read_pickle(path) if path.suffix == ".bin" else read_tensors(path)
    absent, extra = sorted(set(names) - set(tensors)), sorted(set(tensors) - set(names))
    if absent or extra:
        raise CheckpointError(
            "shards do not fit their index",
            where=str(index),
            found=f"missing {absent}, unknown {extra}",
            fix="fetch the checkpoint again",
        )
    return tensors


def read_pickle(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.pt`, `.pth` or `.bin` file, or of the folder that DeepSpeed writes in its place.

    Raises:
        CheckpointError: a missing or damaged file, one that holds code, or one without tensors.
    """
    file = path / DEEPSPEED_FILE if path.is_dir() else path
    try:
        _require_torch_file(file)
        content = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(
            "weights are missing", where=str(file), fix="give a file that is there"
        ) from error
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            "the pickle holds more than tensors, or is damaged",
            where=str(file),
            expected="tensors in plain dictionaries, which torch.load(weights_only=True) reads",
            found=_reason(error),
            fix="where you trust the file, save its state_dict alone: torch.save(whole['state_dict'], path)",
        ) from error
    except Exception as error:  # on damaged bytes the reader fails with whatever comes first, even KeyError
        raise CheckpointError(
            "weights are damaged",
            where=str(file),
            # Only torch's own reader says what is wrong; "list index out of range" would say nothing.
            found=_reason(error)
            if isinstance(error, RuntimeError)
            else "bytes that break off or make no sense",
            fix="fetch the file again",
        ) from error
    return _unwrapped(content, file)


def _require_torch_file(file: Path) -> None:
    """Refuse what `torch.save` never writes, by its first bytes.

    Raises:
        CheckpointError: for an empty file, text, a pointer of Git LFS, safetensors, or anything else.
    """
    with file.open("rb") as opened:
        first = opened.read(64)
    if first.startswith((ZIP, PICKLE)) or any(one.startswith(first) for one in (ZIP, PICKLE) if first):
        return
    fix = "give the file that torch.save wrote"
    if not first:
        found = "an empty file"
    elif first.startswith(b"version https://git-lfs"):
        found, fix = "a pointer of Git LFS in the place of the file", "fetch the file itself: git lfs pull"
    elif first[8:10] == b'{"':
        found, fix = "safetensors", "give the folder of a Hub model with --released or --internvl"
    else:
        found = f"a file that begins with {first[:16]!r}"
    raise CheckpointError(
        "weights are damaged, or no file of torch",
        where=str(file),
        expected="a zip archive or a pickle, as torch.save writes them",
        found=found,
        fix=fix,
    )


def _reason(error: Exception) -> str:
    """The line of a message that says most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = (line for line in lines if "Unsupported" in line or "WeightsUnpickler error" in line)
    return next(telling, lines[0] if lines else type(error).__name__)


def _unwrapped(content: Any, file: Path) -> dict[str, Tensor]:
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(
            "no weights in this file",
            where=str(file),
            expected=f"names and tensors, alone or under one of {', '.join(WRAPPERS)}",
            found=type(content).__name__,
        )
    strange = sorted(str(name) for name, value in content.items() if not isinstance(value, Tensor))
    if strange:
        raise CheckpointError("not only tensors among the weights", where=str(file), found=", ".join(strange))
    return dict(content)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        CheckpointError: when it is missing, not JSON, or not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            "configuration is missing", where=str(path), fix="give the folder as it was downloaded"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError("configuration cannot be read", where=str(path), found=str(error)) from error
    if not isinstance(value, dict):
        raise CheckpointError("configuration is not an object", where=str(path), found=type(value).__name__)
    return value
