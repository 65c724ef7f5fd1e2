"""Tensors written as a safetensors file, one after the other: a large model needs no second copy in memory.

The bytes are those of the safetensors library (0.8), which would build the whole file in memory first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.errors import CheckpointError
from benchmark.stored_files import written_atomically

CODES: dict[torch.dtype, str] = {
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""Names of types in the format, in the order in which the library lays them out."""

ALIGNMENT = 8


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file that appears whole or not at all.

    Raises:
        CheckpointError: when a tensor's type has no name in the format.
        OutputError: when the place cannot be written to.
    """
    strange = sorted(f"{name} ({one.dtype})" for name, one in tensors.items() if one.dtype not in CODES)
    if strange:
        raise CheckpointError(
            "weights of a type that is not stored", where=str(path), found=", ".join(strange)
        )
    rank = {dtype: number for number, dtype in enumerate(CODES)}
    names = sorted(tensors, key=lambda name: (rank[tensors[name].dtype], name))
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    start = 0
    for name in names:
        tensor = tensors[name]
        end = start + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": CODES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    with written_atomically(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            plain = tensors[name].detach().cpu().contiguous().flatten()
            if plain.numel():
                file.write(memoryview(plain.view(torch.uint8).numpy()))
