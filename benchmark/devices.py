"""`--device`: which device an adapter is loaded on. torch is asked only when it can matter."""

from __future__ import annotations

import importlib
import importlib.util
import re
from types import ModuleType

from benchmark.errors import EnvironmentProblem, UsageError


def check_device_name(device: str) -> None:
    """Refuse what is not `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        UsageError: for anything else.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UsageError("unknown device", where=f"--device {device}", expected="auto, cpu, cuda or cuda:N")


def resolve_device(device: str, local_rank: int | None = None) -> str:
    """The device to load on: `cpu`, `cuda` or `cuda:N`.

    Args:
        device: `auto` takes a GPU if torch sees one, `cuda` insists on it.
        local_rank: number of this process among those of this machine; `auto` and `cuda` then mean the
            GPU of that number.

    Raises:
        EnvironmentProblem: when a GPU was asked for and is not there.
    """
    check_device_name(device)
    if device == "cpu":
        return "cpu"
    torch = _torch(device)
    if torch is None:
        return "cpu"
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        if device == "auto":
            return "cpu"
        raise EnvironmentProblem(
            "no GPU is available",
            where=f"--device {device}",
            found=f"torch {torch.__version__} sees no CUDA device",
            fix="use --device cpu, or install a CUDA build of torch with a working driver",
        )
    number = int(device.partition(":")[2]) if ":" in device else local_rank
    if number is not None and number >= count:
        raise EnvironmentProblem(
            "there are fewer GPUs than asked for",
            where=f"--device {device}" + ("" if ":" in device else f", local rank {local_rank}"),
            expected=f"at least {number + 1}",
            found=f"{count}",
            fix="start at most one process per GPU, or use --device cpu",
        )
    return "cuda" if number is None else f"cuda:{number}"


def _torch(device: str) -> ModuleType | None:
    if importlib.util.find_spec("torch") is None:
        if device == "auto":
            return None
        raise EnvironmentProblem(
            "a GPU needs torch, which is not installed",
            where=f"--device {device}",
            fix="pip install -c constraints.txt -e '.[models]'",
        )
    try:
        # By name: this package must be importable, and its imports checkable, without torch.
        return importlib.import_module("torch")
    except (ImportError, OSError, RuntimeError) as error:
        raise EnvironmentProblem(
            "the installed torch cannot be imported",
            where=f"--device {device}",
            found=str(error),
            fix="install it again: pip install -c constraints.txt -e '.[models]'",
        ) from error
