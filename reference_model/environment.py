"""Whether this machine can run the model at all: versions, a broken torchvision, the device.

transformers believes that torchvision works whenever it is installed. A build that does not match torch
then breaks every model class with an error that names neither; so this is checked first.
"""

from __future__ import annotations

import errno
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmark.errors import EnvironmentProblem

if TYPE_CHECKING:
    import torch

INSTALL = "pip install -c constraints.txt -e '.[models]'"
INSTALL_TRAINING = "pip install -c constraints.txt -e '.[training]'"
MINIMUM_TRANSFORMERS = (5, 3)  # 5.0 has a fault in Sam2Video's position encodings, 4.57 returns tuples


def require_packages() -> None:
    """Check that torch, transformers and safetensors are there, new enough and not broken by torchvision.

    Raises:
        EnvironmentProblem: one sentence that says what to install or remove.
    """
    for package in ("torch", "transformers", "safetensors"):
        if importlib.util.find_spec(package) is None:
            raise EnvironmentProblem(
                f"the reference model needs {package}, which is not installed", fix=INSTALL
            )
    check_transformers_version(importlib.metadata.version("transformers"))
    if importlib.util.find_spec("torchvision") is not None:
        check_torchvision()


def require_training_packages(tensorboard: bool = True) -> None:
    """Check that the packages of the extra `training` are there; TensorBoard only where it is wanted.

    Raises:
        EnvironmentProblem: naming what is missing and how to install it.
    """
    wanted = ("peft", "accelerate", *(["tensorboard"] if tensorboard else []))
    missing = [name for name in wanted if not importlib.util.find_spec(name)]
    if missing:
        raise EnvironmentProblem(
            f"training at full size needs {', '.join(missing)}, which is not installed", fix=INSTALL_TRAINING
        )


def check_transformers_version(version: str) -> None:
    """Check a version of transformers.

    Raises:
        EnvironmentProblem: when it is older than the first whose Sam2Video works, or a later major one.
    """
    parts = tuple(int("".join(filter(str.isdigit, part)) or 0) for part in version.split(".")[:2])
    if parts < MINIMUM_TRANSFORMERS or parts[0] > MINIMUM_TRANSFORMERS[0]:
        raise EnvironmentProblem(
            "this version of transformers has no usable Sam2Video model",
            expected="transformers >= 5.3, < 6",
            found=version,
            fix=INSTALL,
        )


def check_torchvision() -> None:
    """Check that the installed torchvision can be imported.

    Raises:
        EnvironmentProblem: when importing it fails, as it does when it was built for another torch.
    """
    try:
        importlib.import_module("torchvision")
    except Exception as error:  # a mismatched build raises RuntimeError, OSError or ImportError
        raise EnvironmentProblem(
            "the installed torchvision does not match torch, which breaks every transformers model",
            found=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            fix="pip uninstall torchvision (nothing here needs it), or install the build for your torch",
        ) from error


MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "alloc_failed")


def memory_ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of a GPU or of the machine.

    torch says it of a GPU in an error of its own, of the machine in a plain RuntimeError; cuBLAS and cuDNN in
    one as well.
    """
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    said = str(error).lower()
    plain = isinstance(error, RuntimeError) and any(words in said for words in MEMORY_WORDS)
    return plain or isinstance(error, MemoryError)


@contextmanager
def enough_memory(fix: str) -> Iterator[None]:
    """Let a full memory, of a GPU or of the machine, be one sentence; also to be put before a function.

    Raises:
        EnvironmentProblem: where the block ran out of memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not memory_ran_out(error):
            raise
        said = str(error).strip()
        raise EnvironmentProblem(
            "not enough memory on the device",
            found=said.splitlines()[0] if said else "no word of why",
            fix=fix,
        ) from error


def torch_device(name: str) -> torch.device:
    """The device of a name ("auto", "cpu", "cuda", "cuda:1").

    Raises:
        EnvironmentProblem: when a CUDA device is asked for that this machine does not have.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EnvironmentProblem("no such device", expected="auto, cpu or cuda", found=name) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EnvironmentProblem(
            "this CUDA device is not here",
            found=f"{name}; torch sees {torch.cuda.device_count()} CUDA devices",
            fix="use --device cpu, or install a CUDA build of torch and its driver",
        )
    return device
