"""What the numbers and the output folder of a command line must be before any work begins."""

from __future__ import annotations

import math
from pathlib import Path

from benchmark.errors import OutputError, UsageError

LARGEST_SEED = 2**63 - 1  # of torch; numpy takes no negative one


def require_at_least(least: int, flag: str, value: int | None) -> None:
    """Refuse a number that is too small; `None`, an option that was not given, passes.

    Raises:
        UsageError: naming the option.
    """
    if value is not None and value < least:
        raise UsageError("the number is too small", where=flag, expected=f"{least} or more", found=str(value))


def require_seed(flag: str, value: int | None) -> None:
    """Refuse a number that the generators of numpy or torch do not take.

    Raises:
        UsageError: naming the option.
    """
    if value is not None and not 0 <= value <= LARGEST_SEED:
        raise UsageError("no such seed", where=flag, expected=f"0 to {LARGEST_SEED}", found=str(value))


def require_scale(flag: str, value: float) -> None:
    """Refuse a factor that no number of steps can be multiplied by.

    Raises:
        UsageError: naming the option.
    """
    if not 0 < value < math.inf:
        raise UsageError("steps must be positive", where=flag, expected="a number above 0", found=str(value))


def refuse_taken_folder(folder: Path, state_file: str, model_file: str) -> None:
    """Refuse to begin a training where another one, or a model, lies.

    Raises:
        OutputError: there is a training (it can be resumed) or a model (it would be overwritten).
    """
    if (folder / state_file).exists():
        raise OutputError(
            "there is a training in this folder",
            where=str(folder),
            fix="add --resume to go on with it, or choose another --output",
        )
    if (folder / model_file).exists():
        raise OutputError(
            "there is a model in this folder, which the training would overwrite",
            where=str(folder),
            fix="choose another --output",
        )
