"""Folders that `from_pretrained` of transformers reads: weights, configuration, tokenizer, card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from benchmark.errors import OutputError
from benchmark.stored_files import make_folder, write_atomically, write_json
from reference_model.tensor_files import write_tensors

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def refuse_filled(folder: Path) -> None:
    """Refuse a folder that already holds a model: nothing is overwritten.

    Raises:
        OutputError: when there is one.
    """
    for name in ("config.json", "model.safetensors"):
        if (folder / name).exists():
            raise OutputError(
                "there is a model already", where=str(folder / name), fix="choose another --output"
            )


def write_native(folder: Path, model: PreTrainedModel, weights: Mapping[str, Tensor]) -> None:
    """Write weights under native names with the configuration of `model`, whose own values do not matter.

    Raises:
        OutputError: when the place cannot be written to.
    """
    dtypes = sorted({str(one.dtype).removeprefix("torch.") for one in weights.values()})
    settings: dict[str, Any] = model.config.to_dict()
    settings |= {
        "architectures": [type(model).__name__],
        "dtype": dtypes[0] if len(dtypes) == 1 else "float32",
    }
    write_weights(folder, weights)
    write_json(folder / "config.json", settings)


def write_weights(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Write `model.safetensors` in a folder that is made where needed; it appears whole or not at all.

    Raises:
        OutputError: when the place cannot be written to.
    """
    make_folder(folder)
    # `format` is what transformers asks of a file before it reads it.
    write_tensors(folder / "model.safetensors", weights, {"format": "pt"})


def write_card(folder: Path, title: str, lines: list[str], licence: str) -> None:
    """Write the model card `README.md` with the header that the Hub reads.

    Raises:
        OutputError: when the place cannot be written to.
    """
    text = "\n".join(["---", f"license: {licence}", "---", "", f"# {title}", "", *lines, ""])
    write_atomically(folder / "README.md", text.encode())
