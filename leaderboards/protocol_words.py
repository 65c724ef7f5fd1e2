"""Protocols in words, from the files that the scorer reads."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.protocol import FOLDER, SETTINGS, read_protocol

RULE_NAMES: Mapping[str, str] = {
    "selection": "Expressions",
    "role": "Truth and answer",
    "frames": "Frames",
    "empty_masks": "Frames without pixels",
    "unclaimed_track": "Nothing claimed",
    "failed": "Failed predictions",
    "missing": "Missing predictions",
    "boundary_tolerance": "Tolerance of outlines",
    "averaging": "Averages",
}
RULE_WORDS: Mapping[tuple[str, str], str] = {
    ("selection", "all"): "all of them",
    ("selection", "interaction"): "those that name an interaction: unidirectional, with at least one target",
    ("role", "actor"): "the actor; in sentences without an interaction, all that they refer to",
    ("role", "target"): "the targets, as one mask",
    ("frames", "all"): "all of a clip, the first and the last included",
    ("empty_masks", "both-empty-scores-one"): "where truth and answer both show nothing, J and F are 1",
    ("unclaimed_track", "scored-as-empty"): "an answer without a track counts as a track without pixels",
    (
        "failed",
        "zero-on-every-frame",
    ): "0 on every frame, also where the truth is empty; counted beside the score",
    (
        "missing",
        "zero-on-every-frame",
    ): "0 on every frame, also where the truth is empty; counted beside the score",
    (
        "averaging",
        "frame, expression, dataset",
    ): "over the frames of an expression, then over all expressions",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a protocol in words."""

    name: str
    words: str


@dataclass(frozen=True, slots=True)
class ProtocolSection:
    """One protocol as a page shows it; `text` is its file."""

    name: str
    version: int
    setting: str
    summary: str
    digest: str
    rules: tuple[Rule, ...]
    text: str


def protocol_sections() -> tuple[ProtocolSection, ...]:
    """Every protocol, in the order of the settings.

    Raises:
        ProtocolError: when a protocol file is damaged.
    """
    return tuple(_section(setting) for setting in SETTINGS)


def _section(setting: str) -> ProtocolSection:
    path = FOLDER / f"{setting}.toml"
    protocol = read_protocol(path)
    text = path.read_text(encoding="utf-8")
    stored = tomllib.loads(text)
    rules = tuple(Rule(name, _words(key, stored[key])) for key, name in RULE_NAMES.items())
    return ProtocolSection(
        *(protocol.name, protocol.version, protocol.setting, protocol.summary, protocol.digest),
        rules=rules,
        text=text,
    )


def _words(key: str, value: Any) -> str:
    if isinstance(value, float):
        return f"{value} of the diagonal of a frame, rounded up to whole pixels"
    plain = ", ".join(value) if isinstance(value, list) else str(value)
    return RULE_WORDS[key, plain]
