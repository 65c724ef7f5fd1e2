"""What each known evaluator counts: reading and checking the files in `presets/`.

A preset says which frames and objects enter a mean and how the mean is taken; the arithmetic of a
frame is the same for all of them. Every rule has one of the values in `RULES`:

    masks           index maps with one id for each object, or one binary track for each object
    frames          all, or all but the first and the last
    counted_from    from the first frame on, or from where truth or prediction first shows the object
    objects         those given; every id of the truth's scored frames, or of all its frames; or ids 1 to the
                    highest of the first frame
    value_255       in index maps: background of the truth, ignored pixels, or an object like any other
    matching        predictions carry the id of their object, or are assigned for the best total
    never_seen      an object the truth never shows: counted (empty on both sides scores 1), left out, error
    region          J as intersection over union, or with one pixel added to both
    tolerance       of F: part of the frame diagonal, or after the object's size, as meant or as published
    measures        what is reported; a unit that never leaves has none of those over disappearances
    rounding        of a unit's percentages before they are averaged
    overall         mean of all units, or mean of the groups' means
    missing         a prediction that is not there: zero, or an error
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmark.command_line import unknown_name
from benchmark.errors import ProblemCollector, ProtocolError

FOLDER = Path(__file__).parent / "presets"

MEASURES = (
    "J",
    "J-recall",
    "J-decay",
    "F",
    "F-recall",
    "F-decay",
    "A",
    "R",
    "tIoU",
    "vIoU",
    "F-at-frame-tolerance",
    "J-disappearance",
    "F-disappearance",
    "J-reappearance",
    "F-reappearance",
)

RULES: Mapping[str, tuple[str, ...]] = {
    "masks": ("index", "binary"),
    "frames": ("all", "inner"),
    "counted_from": ("first-frame", "first-seen"),
    "objects": ("given", "ids-of-truth", "ids-of-all-frames", "up-to-highest-id-of-first-frame"),
    "value_255": ("background", "ignored", "object"),
    "matching": ("by-id", "best-total"),
    "never_seen": ("counted", "left-out", "error"),
    "region": ("iou", "iou-plus-one"),
    "tolerance": ("frame-diagonal", "object-size", "object-size-as-published"),
    "rounding": ("none", "percent-to-2-decimals"),
    "overall": ("mean-of-units", "mean-of-groups"),
    "missing": ("zero", "error"),
}


@dataclass(frozen=True)
class Preset:
    """The rules of one evaluator, as read from its file."""

    name: str
    version: int
    summary: str
    masks: str
    frames: str
    counted_from: str
    objects: str
    value_255: str
    matching: str
    never_seen: str
    region: str
    tolerance: str
    measures: tuple[str, ...]
    rounding: str
    overall: str
    groups: tuple[str, ...]
    missing: str


def preset_names() -> tuple[str, ...]:
    """Names of all presets, in alphabetical order."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


@cache
def load_preset(name: str) -> Preset:
    """The preset of a name.

    Raises:
        UsageError: when there is none of that name.
        ProtocolError: when its file is damaged.
    """
    if name not in preset_names():
        raise unknown_name("preset", name, preset_names(), "preset")
    return read_preset(FOLDER / f"{name}.toml")


def read_preset(path: Path) -> Preset:
    """One preset file, every key checked.

    Raises:
        ProtocolError: listing everything that is wrong with the file at once.
    """
    try:
        rules = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProtocolError("preset file is not readable TOML", where=str(path), found=str(error)) from error
    _check(rules, str(path))
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in rules.items()
    }
    return Preset(**fields)


def _check(rules: Mapping[str, Any], where: str) -> None:
    problems = ProblemCollector()
    known = set(Preset.__dataclass_fields__)
    for key in sorted(rules.keys() - known):
        problems.add(f"unknown key {key!r}", where=where, expected=", ".join(sorted(known)))
    for key in sorted(known - rules.keys()):
        problems.add(f"key {key!r} is missing", where=where)
    for key in ("name", "summary"):
        if key in rules and not (isinstance(rules[key], str) and rules[key].strip()):
            problems.add(f"{key!r} must be a sentence or a name", where=where, found=repr(rules[key]))
    if type(rules.get("version", 1)) is not int or rules.get("version", 1) < 1:
        problems.add("'version' must be a whole number from 1", where=where, found=repr(rules["version"]))
    for key, values in RULES.items():
        if key in rules and rules[key] not in values:
            problems.add(
                f"{key!r} has no such rule", where=where, expected=" or ".join(values), found=repr(rules[key])
            )
    for key in ("measures", "groups"):
        given = rules.get(key, [])
        if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
            problems.add(f"{key!r} must be a list of names", where=where, found=repr(given))
        elif key == "measures" and not set(given) <= set(MEASURES):
            problems.add(
                "'measures' names what nobody measures",
                where=where,
                expected=", ".join(MEASURES),
                found=repr(given),
            )
    if rules.get("overall") == "mean-of-groups" and not rules.get("groups"):
        problems.add("'overall' of groups needs 'groups'", where=where)
    problems.raise_if_any(ProtocolError, f"{where}: not a valid preset")
