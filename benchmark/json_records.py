"""Frozen dataclasses as JSON: writing them, reading them back with every field checked, their schema.

One description, the dataclass, serves all three, so they cannot drift apart. Supported annotations are
those that result files need: str, bool, int, float, `None`, enums of strings, unions with `None`,
homogeneous tuples, tuples of fixed length, string-keyed mappings, nested dataclasses and `Any`.
A field may carry metadata: `key` (its name in JSON), `doc` (a description for the schema),
`stored=False` (it stays in memory), and `added=True` (files from before it was added lack it and are read
with its default; the schema does not require it).
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import math
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from benchmark.errors import ProblemCollector

Record = TypeVar("Record")


def entry(
    key: str | None = None, doc: str | None = None, *, stored: bool = True, added: bool = False
) -> dict[str, Any]:
    """Metadata of a field: its JSON name, its description, whether it is stored, whether it came later."""
    return {"key": key, "doc": doc, "stored": stored, "added": added}


def to_json(value: Any) -> Any:
    """A value as what `json.dumps` takes, keys in the order of the fields.

    Raises:
        ValueError: for NaN and infinities, which JSON does not have.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {key: to_json(getattr(value, field.name)) for key, field in _stored_fields(type(value))}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} cannot be stored in JSON")
    return value


def from_json(record: type[Record], value: Any, problems: ProblemCollector, where: str = "") -> Record | None:
    """The dataclass that a parsed JSON value describes; `None` after reporting what is wrong with it.

    Unknown and missing keys, wrong types and NaN are added to `problems`, all of them, with their place.
    """
    count = len(problems.problems)
    made = _read(record, value, problems, where)
    return None if len(problems.problems) > count else typing.cast(Record, made)


def schema_of(record: type[Any], title: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of a dataclass; every key not added later is required, no other is allowed."""
    definitions: dict[str, Any] = {}
    top = _schema(record, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **top,
        "$defs": dict(sorted(definitions.items())),
    }


def _stored_fields(record: type[Any]) -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    for field in dataclasses.fields(record):
        if field.metadata.get("stored", True):
            yield field.metadata.get("key") or field.name, field


def _read(kind: Any, value: Any, problems: ProblemCollector, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        chosen = next(one for one in arguments if one is not types.NoneType)
        return None if value is None else _read(chosen, value, problems, where)
    if dataclasses.is_dataclass(kind):
        return _read_record(typing.cast(type[Any], kind), value, problems, where)
    if origin is tuple:
        return _read_tuple(arguments, value, problems, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            return _wrong("an object", value, problems, where)
        return {key: _read(arguments[1], item, problems, f"{where}/{key}") for key, item in value.items()}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        known = [one.value for one in kind]
        return kind(value) if value in known else _wrong(" or ".join(known), value, problems, where)
    return _read_plain(kind, value, problems, where)


def _read_plain(kind: Any, value: Any, problems: ProblemCollector, where: str) -> Any:
    names = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
    accepted: tuple[type, ...] = (int, float) if kind is float else (kind,)
    right = isinstance(value, accepted) and (kind is bool or not isinstance(value, bool))
    if not right or (isinstance(value, float) and not math.isfinite(value)):
        return _wrong(names[kind], value, problems, where)
    return float(value) if kind is float else value


def _read_tuple(arguments: tuple[Any, ...], value: Any, problems: ProblemCollector, where: str) -> Any:
    if not isinstance(value, list):
        return _wrong("a list", value, problems, where)
    kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
    if len(kinds) != len(value):
        return _wrong(f"a list of {len(kinds)}", value, problems, where)
    pairs = enumerate(zip(kinds, value, strict=True))
    return tuple(_read(kind, item, problems, f"{where}/{index}") for index, (kind, item) in pairs)


def _read_record(record: type[Any], value: Any, problems: ProblemCollector, where: str) -> Any:
    if not isinstance(value, dict):
        return _wrong("an object", value, problems, where)
    fields = dict(_stored_fields(record))
    hints = _hints(typing.cast(Any, record))
    for key in value.keys() - fields.keys():
        problems.add("unknown key", where=f"{where}/{key}", expected=", ".join(fields))
    made: dict[str, Any] = {}
    for key, field in fields.items():
        if key in value:
            made[field.name] = _read(hints[field.name], value[key], problems, f"{where}/{key}")
        elif field.metadata.get("added"):
            made[field.name] = field.default
        else:
            problems.add("key is missing", where=f"{where}/{key}")
    # Incomplete: the caller sees the problems and throws this away.
    return record(**made) if made.keys() == {field.name for field in fields.values()} else None


@functools.cache
def _hints(record: type[Any]) -> Mapping[str, Any]:
    """The types of the fields of a record; finding them takes longer than reading a record."""
    return typing.get_type_hints(record)


def _wrong(expected: str, value: Any, problems: ProblemCollector, where: str) -> None:
    shown = repr(value)
    problems.add(
        "wrong value",
        where=where or "/",
        expected=expected,
        found=shown if len(shown) < 60 else shown[:57] + "...",
    )


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    plain = {str: "string", bool: "boolean", int: "integer", float: "number"}
    if kind is Any:
        return {}
    if kind in plain:
        return {"type": plain[kind]}
    if origin in (typing.Union, types.UnionType):
        chosen = next(one for one in arguments if one is not types.NoneType)
        return {"anyOf": [_schema(chosen, definitions), {"type": "null"}]}
    if dataclasses.is_dataclass(kind):
        record = typing.cast(type[Any], kind)
        if record.__name__ not in definitions:
            definitions[record.__name__] = {}  # holds the place while the fields are visited
            definitions[record.__name__] = _object_schema(record, definitions)
        return {"$ref": f"#/$defs/{record.__name__}"}
    if origin is tuple and arguments[-1] is Ellipsis:
        return {"type": "array", "items": _schema(arguments[0], definitions)}
    if origin is tuple:
        items = [_schema(one, definitions) for one in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1], definitions)}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return {"enum": [one.value for one in kind]}
    raise TypeError(f"no JSON form is defined for {kind}")


def _object_schema(record: type[Any], definitions: dict[str, Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(record)
    properties, required = {}, []
    for key, field in _stored_fields(record):
        described = _schema(hints[field.name], definitions)
        doc = field.metadata.get("doc")
        properties[key] = {"description": doc, **described} if doc else described
        if not field.metadata.get("added"):
            required.append(key)
    return {
        "type": "object",
        "description": (record.__doc__ or "").split("\n")[0],
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
