"""Weights that transformers reads: a folder on this machine, or a name on the Hub."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.errors import CheckpointError


def is_folder(name: str) -> bool:
    """Whether a name of weights means a folder rather than `owner/model` on the Hub."""
    return Path(name).is_absolute() or name.startswith((".", "~")) or Path(name).exists()


def check_folder(name: str) -> None:
    """Refuse a folder without a model; names on the Hub are the Hub client's to refuse.

    Raises:
        CheckpointError: when the folder holds no `config.json`.
    """
    if is_folder(name) and not (Path(name) / "config.json").is_file():
        raise CheckpointError("no checkpoint here", where=name, expected="config.json and weights")


def check_type(name: str, revision: str | None, types: Sequence[str], what: str) -> None:
    """Refuse weights of another kind than is wanted, before they are read.

    Args:
        types: transformers' `model_type` of those that are wanted.
        what: they are, in words.

    Raises:
        CheckpointError: when the configuration is missing or names another type.
    """
    from transformers import AutoConfig

    check_folder(name)
    found = AutoConfig.from_pretrained(name, revision=revision).model_type
    if found not in types:
        raise CheckpointError(f"not a {what}", where=name, expected=" or ".join(types), found=found)


def count_weights(model: Any) -> int:
    """Number of weights of a torch module."""
    return sum(int(one.numel()) for one in model.parameters())


def requirement(name: str, revision: str | None) -> str:
    """The weights as `Requirements.weights` names them."""
    if is_folder(name):
        return str(Path(name).absolute())
    return f"{name}@{revision}" if revision else name


def folders_digest(*names: str) -> str | None:
    """SHA-256 over the folders among the names, `None` without one: small files whole, weights by size.

    Folders whose weights were trained further without changing a byte of size are not told apart; hashing
    many gigabytes before each run would take minutes.
    """
    folders = [Path(name) for name in names if is_folder(name)]
    if not folders:
        return None
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(one for one in folder.glob("*") if one.is_file()):
            small = path.suffix in (".json", ".txt", ".jinja", ".py")
            content = path.read_bytes() if small else str(path.stat().st_size).encode()
            digest.update(path.name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()
