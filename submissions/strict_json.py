"""JSON from strangers: bounded size and depth, no key twice, no NaN, no infinity."""

from __future__ import annotations

import json
import math
from typing import Any

from submissions.limits import JSON_DEPTH


class StrictJsonError(ValueError):
    """A JSON text that is refused; `code` is one of the catalogue."""

    def __init__(self, code: str, found: str) -> None:
        super().__init__(found)
        self.code = code


def loads(text: bytes, *, depth: int = JSON_DEPTH) -> Any:
    """The value of a JSON text in UTF-8.

    Raises:
        StrictJsonError: when the text is not strict JSON, or nested deeper than `depth`.
    """
    try:
        value = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_object,
            parse_float=_float,
            parse_constant=_constant,
        )
    except StrictJsonError:
        raise
    except RecursionError as error:
        raise StrictJsonError("json-too-deep", "hundreds of levels") from error
    except UnicodeDecodeError as error:
        raise StrictJsonError("json-invalid", f"byte {error.start} is not UTF-8") from error
    except ValueError as error:
        raise StrictJsonError("json-invalid", str(error)) from error
    if _deeper_than(value, depth):
        raise StrictJsonError("json-too-deep", f"more than {depth} levels")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise StrictJsonError("json-duplicate-key", repr(name[:60]))
            seen.add(name)
    return made


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise StrictJsonError("json-not-finite", text[:60])
    return number


def _constant(name: str) -> float:
    raise StrictJsonError("json-not-finite", name)


def _deeper_than(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        # Only containers have a level below them; texts and numbers are dropped at once.
        level = [
            item
            for one in level
            if isinstance(one, dict | list)
            for item in (one.values() if isinstance(one, dict) else one)
            if isinstance(item, dict | list)
        ]
        if not level:
            return False
    return True
