"""What several adapters refuse in the same words: numbers that are too small, a model that is not loaded."""

from __future__ import annotations

from typing import TypeVar

from benchmark.errors import AdapterError, UsageError

Part = TypeVar("Part")


def check_counts(least: int = 1, **counts: int) -> None:
    """Refuse an option that says how many there are and says too few.

    Raises:
        UsageError: naming the first such option.
    """
    for name, count in counts.items():
        if count < least:
            raise UsageError("too few", where=f"--option {name}={count}", expected=f"{least} or more")


def loaded(part: Part | None, adapter: str) -> Part:
    """A part of a model that only `load` makes.

    Raises:
        AdapterError: before `load` and after `unload`.
    """
    if part is None:
        raise AdapterError("the model is not loaded", where=f"adapter {adapter}", fix="call load first")
    return part
