"""What a score means: which expressions, which truth, which frames, and what absent things count.

A protocol is one small file in `benchmark/protocols/`. Every rule has one of the values listed in
`RULES`, so that a rule nobody implements cannot be asked for; a change that moves any score bumps the
file's `version`. The rules in words, and where each is decided:

    selection            `Protocol.selects`: all expressions, or those that name an interaction
    role                 `Protocol.truth_ids`: whose annotation is the truth
    frames               all frames of the clip, first and last included (`aggregate`)
    empty_masks          truth and prediction without pixels score 1 (`metrics.scores`)
    unclaimed_track      no track claimed scores as a track without pixels (`score`)
    failed, missing      0 on every frame, also where the truth is empty (`aggregate`)
    boundary_tolerance   part of the frame diagonal (`metrics.definition`)
    averaging            frames, then expressions, each a plain mean (`aggregate`)
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.command_line import unknown_name
from benchmark.errors import ProblemCollector, ProtocolError
from benchmark.types import Expression, Role

FOLDER = Path(__file__).parent / "protocols"
SETTINGS = ("actor", "target", "rvos")
"""Names of the settings on the command line; `load_protocols` turns them into protocols."""

RULES: Mapping[str, tuple[Any, ...]] = {
    "setting": SETTINGS,
    "selection": ("all", "interaction"),
    "role": tuple(role.value for role in Role),
    "frames": ("all",),
    "empty_masks": ("both-empty-scores-one",),
    "unclaimed_track": ("scored-as-empty",),
    "failed": ("zero-on-every-frame",),
    "missing": ("zero-on-every-frame",),
    "boundary_tolerance": (0.008,),
    "averaging": (["frame", "expression", "dataset"],),
}
"""Every rule of a protocol file and the values that are implemented."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """The rules of one setting; `digest` is the SHA-256 of the rules as read, comments left out."""

    name: str
    version: int
    setting: str
    summary: str
    selection: str
    role: Role
    frames: str
    empty_masks: str
    unclaimed_track: str
    failed: str
    missing: str
    boundary_tolerance: float
    averaging: tuple[str, ...]
    digest: str

    def selects(self, expression: Expression) -> bool:
        """Whether an expression is scored under this protocol."""
        return self.selection == "all" or expression.is_interaction

    def truth_ids(self, expression: Expression) -> tuple[str, ...]:
        """The annotations whose union is the truth of an expression."""
        return expression.actor_ids if self.role is Role.ACTOR else expression.target_ids


def load_protocols(settings: Sequence[str] = SETTINGS) -> tuple[Protocol, ...]:
    """The protocols of settings ("actor", "target", "rvos"), in the order of `SETTINGS`, each once.

    Raises:
        UsageError: when a setting does not exist, or none is named.
        ProtocolError: when a protocol file is damaged.
    """
    wanted = [setting.strip().lower() for setting in settings]
    for setting in wanted or [""]:
        if setting not in SETTINGS:
            raise unknown_name("setting", setting, SETTINGS, "--settings")
    return tuple(read_protocol(FOLDER / f"{setting}.toml") for setting in SETTINGS if setting in wanted)


def read_protocol(path: Path) -> Protocol:
    """One protocol file, every key checked.

    Raises:
        ProtocolError: listing everything that is wrong with the file at once.
    """
    try:
        rules = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ProtocolError("protocol file is missing", where=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(
            "protocol file is not readable TOML", where=str(path), found=str(error)
        ) from error
    _check(rules, str(path))
    text = json.dumps(rules, sort_keys=True, ensure_ascii=False)
    fields = {**rules, "role": Role(rules["role"]), "averaging": tuple(rules["averaging"])}
    return Protocol(**fields, digest=hashlib.sha256(text.encode()).hexdigest())


def _check(rules: Mapping[str, Any], where: str) -> None:
    problems = ProblemCollector()
    known = {"name", "version", "summary", *RULES}
    for key in sorted(rules.keys() - known):
        problems.add(f"unknown key {key!r}", where=where, expected=", ".join(sorted(known)))
    for key in sorted(known - rules.keys()):
        problems.add(f"key {key!r} is missing", where=where)
    for key in ("name", "summary"):
        if key in rules and not (isinstance(rules[key], str) and rules[key].strip()):
            problems.add(f"{key!r} must be a sentence or a name", where=where, found=repr(rules[key]))
    version = rules.get("version", 1)
    if type(version) is not int or version < 1:
        problems.add("'version' must be a whole number from 1", where=where, found=repr(version))
    for key, values in RULES.items():
        if key in rules and rules[key] not in values:
            choices = " or ".join(repr(value) for value in values)
            problems.add(f"{key!r} has no such rule", where=where, expected=choices, found=repr(rules[key]))
    if rules.get("role") == "target" and rules.get("selection") == "all":
        problems.add(
            "role 'target' needs selection 'interaction'",
            where=where,
            fix="expressions without an interaction have no target to score",
        )
    problems.raise_if_any(ProtocolError, f"{where}: not a valid protocol")
