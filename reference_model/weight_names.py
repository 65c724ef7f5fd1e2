"""Weights under other names: rules as plain data, applied in either direction.

A rule pairs name patterns of one program with those of another. Patterns hold fields in braces: `{n}` and
`{m}` stand for a number, `{p}` for weight or bias, `{q}` for one of q, k, v, `{rest}` for anything. A rule
with one name against several cuts a tensor into equal parts along its rows (a fused query-key-value
projection), or puts parts together when it is read the other way; a `copied` rule gives one tensor
several names.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.errors import CheckpointError

FIELDS = {"n": r"\d+", "m": r"\d+", "p": "weight|bias", "q": "q|k|v", "rest": ".+"}


@dataclass(frozen=True, slots=True)
class Rule:
    """Names on the left are the same weights as names on the right; one side has exactly one name."""

    left: tuple[str, ...]
    right: tuple[str, ...]
    copied: bool = False

    def reversed(self) -> Rule:
        """The same rule, read from right to left."""
        return Rule(self.right, self.left, self.copied)


def renamed(*pairs: tuple[str, str]) -> tuple[Rule, ...]:
    """Rules that only rename."""
    return tuple(Rule((left,), (right,)) for left, right in pairs)


def reversed_rules(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """All rules, read from right to left."""
    return tuple(rule.reversed() for rule in rules)


def translate(tensors: Mapping[str, Tensor], rules: Sequence[Rule], where: str) -> dict[str, Tensor]:
    """Every tensor under its name on the right; the first rule that matches a name counts.

    Raises:
        CheckpointError: names that no rule knows, parts that are missing, tensors that cannot be cut, or
            copies that differ; all of them are listed.
    """
    unknown: list[str] = []
    groups: dict[tuple[int, tuple[tuple[str, str], ...]], dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        found = _find(name, rules)
        if found is None:
            unknown.append(name)
            continue
        number, pattern, fields = found
        groups.setdefault((number, tuple(sorted(fields.items()))), {})[pattern] = tensor
    result: dict[str, Tensor] = {}
    problems = {"unknown": unknown, "missing": [], "that cannot be cut": [], "whose copies differ": []}
    for (number, fields), parts in groups.items():
        rule, values = rules[number], dict(fields)
        absent = [_fill(pattern, values) for pattern in rule.left if pattern not in parts]
        if absent:
            problems["missing"] += absent
            continue
        ordered = [parts[pattern] for pattern in rule.left]
        moved = _move(rule, ordered)
        if isinstance(moved, str):
            problems[moved].append(_fill(rule.left[0], values))
            continue
        result.update({_fill(p, values): tensor for p, tensor in zip(rule.right, moved, strict=True)})
    raise_problems("weights that the conversion does not know", problems, where)
    return result


def require_same_names(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str) -> None:
    """Compare names and shapes.

    Raises:
        CheckpointError: listing the names that are missing, unknown or of another shape.
    """
    both = set(found) & set(expected)
    problems = {
        "missing": sorted(set(expected) - set(found)),
        "unknown": sorted(set(found) - set(expected)),
        "of another shape": sorted(
            f"{name} {tuple(found[name].shape)} instead of {tuple(expected[name].shape)}"
            for name in both
            if found[name].shape != expected[name].shape
        ),
    }
    raise_problems("weights do not fit the architecture", problems, where, f"{len(expected)} tensors")


def raise_problems(what: str, problems: Mapping[str, Sequence[str]], where: str, expected: str = "") -> None:
    """One error with all names, or nothing if there are none.

    Raises:
        CheckpointError: when there is at least one name.
    """
    if any(problems.values()):
        found = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in problems.items() if names)
        raise CheckpointError(
            what, where=where, expected=expected, found=found, fix="give the checkpoint that the option names"
        )


def _move(rule: Rule, parts: Sequence[Tensor]) -> list[Tensor] | str:
    """The tensors on the right, or the kind of problem."""
    if rule.copied:
        if any(not _same(parts[0], one) for one in parts[1:]):
            return "whose copies differ"
        return [parts[0].clone() for _ in rule.right]
    if len(rule.left) == len(rule.right) == 1:
        return [parts[0]]
    if len(rule.left) > 1:
        return [torch.cat(list(parts))]
    if parts[0].dim() == 0 or parts[0].shape[0] % len(rule.right):
        return "that cannot be cut"
    return [one.contiguous() for one in parts[0].chunk(len(rule.right))]


def _same(first: Tensor, second: Tensor) -> bool:
    # On the meta device there are shapes only.
    return first.shape == second.shape and (first.is_meta or torch.equal(first, second))


def _find(name: str, rules: Sequence[Rule]) -> tuple[int, str, dict[str, str]] | None:
    for number, rule in enumerate(rules):
        for pattern in rule.left:
            match = _compiled(pattern).fullmatch(name)
            if match:
                return number, pattern, match.groupdict()
    return None


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", pattern)
    return re.compile(
        "".join(
            f"(?P<{part}>{FIELDS[part]})" if index % 2 else re.escape(part)
            for index, part in enumerate(parts)
        )
    )


def _fill(pattern: str, values: Mapping[str, str]) -> str:
    return pattern.format_map(values)
