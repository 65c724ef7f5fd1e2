"""`--option key=value`: text from the command line turned into the keyword arguments of an adapter.

The signature of the adapter's `__init__` is the specification: names, types, defaults. `of.key=value`
goes as entry `key` into a parameter `of_options`, which is how a wrapper hands options on.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from benchmark.command_line import unknown_name
from benchmark.errors import AdapterError, UsageError

FLAG = "--option"
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def parse_options(texts: Sequence[str]) -> dict[str, str]:
    """`["key=value", ...]` as a mapping.

    Raises:
        UsageError: when a text has no `=` or a key comes twice.
    """
    options: dict[str, str] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise UsageError("not an option", where=f"{FLAG} {text}", expected="key=value")
        if key in options:
            raise UsageError(f"option {key!r} is given twice", where=f"{FLAG} {text}")
        options[key] = value
    return options


def bind_options(adapter_class: type, options: Mapping[str, str], adapter: str) -> dict[str, Any]:
    """Keyword arguments for `adapter_class`: the given options converted, the others at their default.

    Raises:
        UsageError: for an unknown option, a missing one, or a value of the wrong type.
        AdapterError: when the signature itself cannot be used from the command line.
    """
    parameters = _parameters(adapter_class, adapter)
    given: dict[str, Any] = {}
    for key, text in options.items():
        outer, dot, inner = key.partition(".")
        if dot and f"{outer}_options" in parameters:
            given.setdefault(f"{outer}_options", {})[inner] = text
            continue
        if key not in parameters or _is_mapping(parameters[key].annotation):
            known = [name for name in parameters if not _is_mapping(parameters[name].annotation)]
            if not known:
                raise UsageError(
                    f"adapter {adapter!r} has no options", where=f"{FLAG} {key}", fix=f"leave {FLAG} out"
                )
            raise unknown_name(f"option of adapter {adapter!r}", key, known, FLAG)
        given[key] = _convert(text, parameters[key].annotation, f"{FLAG} {key}={text}", adapter)
    for name, parameter in parameters.items():
        if name in given:
            continue
        if parameter.default is inspect.Parameter.empty:
            raise UsageError(f"adapter {adapter!r} needs option {name!r}", where=f"{FLAG} {name}=VALUE")
        given[name] = parameter.default
    return given


def _parameters(adapter_class: type, adapter: str) -> dict[str, inspect.Parameter]:
    try:
        signature = inspect.signature(adapter_class, eval_str=True)
    except NameError as error:
        raise AdapterError(
            "the types of the adapter's options cannot be read", where=adapter, found=str(error)
        ) from error
    found = {}
    for name, parameter in signature.parameters.items():
        if parameter.kind in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL):
            raise AdapterError(
                "an adapter names its options",
                where=f"{adapter}: {adapter_class.__name__}.__init__",
                found=str(parameter),
                fix="write each option as a parameter with a type",
            )
        untyped = parameter.annotation is inspect.Parameter.empty
        found[name] = parameter.replace(annotation=str) if untyped else parameter
    return found


def _is_mapping(annotation: Any) -> bool:
    parts = get_args(annotation) if _is_union(annotation) else (annotation,)
    return any(get_origin(part) is Mapping or get_origin(part) is dict for part in parts)


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _convert(text: str, annotation: Any, where: str, adapter: str) -> Any:
    if _is_union(annotation):
        parts = get_args(annotation)
        if type(None) in parts and text == "none":
            return None
        kinds = [part for part in parts if part is not type(None)]
        if len(kinds) == 1:
            return _convert(text, kinds[0], where, adapter)
    if get_origin(annotation) is Literal:
        for choice in get_args(annotation):
            if str(choice) == text:
                return choice
        raise UsageError(
            "the value is not one of the choices",
            where=where,
            expected=" or ".join(map(str, get_args(annotation))),
        )
    if annotation is bool:
        if text.lower() not in _WORDS:
            raise UsageError("not a truth value", where=where, expected="true or false")
        return _WORDS[text.lower()]
    if annotation in (int, float, str, Path):
        try:
            return annotation(text)
        except ValueError as error:
            raise UsageError(
                "the value has the wrong type", where=where, expected=annotation.__name__
            ) from error
    raise AdapterError(
        "this option cannot be given on the command line",
        where=f"{adapter}: {where}",
        expected="a parameter of type str, int, float, bool, Path or Literal",
        found=str(annotation),
    )
