"""Integers, bits and predicates.

PTX ISA: "Integer Arithmetic", "Logic and Shift", "Comparison and Selection".
"""

from __future__ import annotations

import re

from tests.benchmark.ptx.instructions import Operands, form

INTEGER = r"([su](?:16|32|64))"
COMPARED = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
UNSIGNED = {"lo": "<", "ls": "<=", "hi": ">", "hs": ">="}
LOGIC = {"and": "&", "or": "|", "xor": "^"}


def _unsigned(kind: str) -> str:
    return "u" + kind[1:]


def _wide(kind: str) -> str:
    return kind[0] + str(2 * int(kind[1:]))


@form(rf"(add|sub|mul\.lo)\.{INTEGER}")
def _sum(o: Operands, m: re.Match[str]) -> str:
    o.count(3)
    sign = {"add": "+", "sub": "-", "mul.lo": "*"}[m[1]]
    # As 64-bit integers without sign: C++ would promote 16 bits to a type that can overflow.
    kind = _unsigned(m[2])
    return o.write(f"u64({o.read(1, kind)}) {sign} u64({o.read(2, kind)})", kind)


@form(r"(mul|mad)\.(hi|wide|lo)\." + INTEGER)
def _product(o: Operands, m: re.Match[str]) -> str:
    o.count(4 if m[1] == "mad" else 3)
    part, kind = m[2], m[3]
    if part == "wide" and kind.endswith("64"):
        raise o.of.refuse("unknown instruction")
    first, second = o.read(1, kind), o.read(2, kind)
    out = _unsigned(_wide(kind) if part == "wide" else kind)
    if part == "hi":
        product = f"u64(mul_hi({first}, {second}))"
    elif part == "wide":
        product = f"u64({kind[0]}64({first}) * {kind[0]}64({second}))"
    else:
        product = f"u64({first}) * u64({second})"
    plus = f" + u64({o.read(3, out)})" if m[1] == "mad" else ""
    return o.write(product + plus, out)


@form(rf"(div|rem)\.{INTEGER}")
def _quotient(o: Operands, m: re.Match[str]) -> str:
    o.count(3)
    name = {"div": "quotient", "rem": "remainder_"}[m[1]]
    kind = m[2]
    return o.write(f"{name}<{kind}>(t, {o.line}, {o.read(1, kind)}, {o.read(2, kind)})", _unsigned(kind))


@form(r"(neg|abs)\.(s(?:16|32|64))")
def _negated(o: Operands, m: re.Match[str]) -> str:
    o.count(2)
    plain, signed = o.read(1, _unsigned(m[2])), o.read(1, m[2])
    minus = f"u64(0) - u64({plain})"
    return o.write(minus if m[1] == "neg" else f"{signed} < 0 ? {minus} : u64({plain})", _unsigned(m[2]))


@form(rf"(min|max)\.{INTEGER}")
def _extreme(o: Operands, m: re.Match[str]) -> str:
    o.count(3)
    first, second = o.read(1, m[2]), o.read(2, m[2])
    return o.write(f"{first} {'<' if m[1] == 'min' else '>'} {second} ? {first} : {second}", m[2])


@form(r"(and|or|xor)\.(b16|b32|b64|pred)")
def _logic(o: Operands, m: re.Match[str]) -> str:
    o.count(3)
    return o.write(f"{o.read(1, m[2])} {LOGIC[m[1]]} {o.read(2, m[2])}", m[2])


@form(r"not\.(b16|b32|b64|pred)")
def _not(o: Operands, m: re.Match[str]) -> str:
    o.count(2)
    return o.write(f"{'!' if m[1] == 'pred' else '~'}{o.read(1, m[1])}", m[1])


@form(r"(shl\.b|shr\.[bus])(16|32|64)")
def _shift(o: Operands, m: re.Match[str]) -> str:
    o.count(3)
    kind = ("s" if m[1] == "shr.s" else "u") + m[2]
    return o.write(f"{m[1][:3]}<{kind}>({o.read(1, kind)}, {o.read(2, 'u32')})", _unsigned(kind))


@form(r"shf\.(l|r)\.(wrap|clamp)\.b32")
def _funnel(o: Operands, m: re.Match[str]) -> str:
    o.count(4)
    by = o.read(3, "u32")
    by = f"({by} & 31)" if m[2] == "wrap" else f"({by} < 32 ? {by} : 32)"
    left = str(m[1] == "l").lower()
    return o.write(f"funnel({o.read(1, 'u32')}, {o.read(2, 'u32')}, {by}, {left})", "u32")


@form(r"(popc|clz)\.b(32|64)")
def _counted(o: Operands, m: re.Match[str]) -> str:
    o.count(2)
    value = o.read(1, "u" + m[2])
    if m[1] == "popc":
        return o.write(f"__builtin_popcountll({value})", "u32")
    return o.write(f"{value} ? __builtin_clzll({value}) - {64 - int(m[2])} : {m[2]}", "u32")


@form(r"brev\.b(32|64)")
def _reversed(o: Operands, m: re.Match[str]) -> str:
    o.count(2)
    return o.write(f"reversed({o.read(1, 'u' + m[1])})", "u" + m[1])


@form(r"bfind(\.shiftamt)?\.([su](?:32|64))")
def _highest(o: Operands, m: re.Match[str]) -> str:
    o.count(2)
    found = f"highest({o.read(1, m[2])})"
    if m[1]:
        found = f"{found} == ~0u ? ~0u : {int(m[2][1:]) - 1}u - {found}"
    return o.write(found, "u32")


@form(r"bfe\.([su](?:32|64))")
def _extracted(o: Operands, m: re.Match[str]) -> str:
    o.count(4)
    parts = f"{o.read(1, m[1])}, {o.read(2, 'u32')}, {o.read(3, 'u32')}"
    return o.write(f"field<{m[1]}>({parts})", _unsigned(m[1]))


@form(r"bfi\.b(32|64)")
def _inserted(o: Operands, m: re.Match[str]) -> str:
    o.count(5)
    kind = "u" + m[1]
    parts = f"{o.read(1, kind)}, {o.read(2, kind)}, {o.read(3, 'u32')}, {o.read(4, 'u32')}"
    return o.write(f"inserted<{kind}>({parts})", kind)


@form(r"lop3\.b32")
def _table(o: Operands, m: re.Match[str]) -> str:
    o.count(5)
    return o.write(f"lop3({', '.join(o.read(place, 'u32') for place in range(1, 5))})", "u32")


@form(r"prmt\.b32")
def _permuted(o: Operands, m: re.Match[str]) -> str:
    o.count(4)
    return o.write(f"permuted({', '.join(o.read(place, 'u32') for place in range(1, 4))})", "u32")


@form(r"setp\.(eq|ne|lt|le|gt|ge|lo|ls|hi|hs)(?:\.(and|or|xor))?\.([bsu](?:16|32|64))")
def _compared(o: Operands, m: re.Match[str]) -> str:
    o.count(4 if m[2] else 3)
    relation, kind = m[1], m[3]
    if (relation in UNSIGNED and kind[0] != "u") or (kind[0] == "b" and relation not in ("eq", "ne")):
        raise o.of.refuse("unknown instruction")
    holds = f"({o.read(1, kind)} {(COMPARED | UNSIGNED)[relation]} {o.read(2, kind)})"
    return compared(o, holds, m[2])


def compared(o: Operands, holds: str, combined: str | None) -> str:
    """Writes `p|q` of a comparison: what holds, and what does not, each combined with a predicate."""
    rest = f" {LOGIC[combined]} {o.read(3, 'pred')}" if combined else ""
    names = o.names[0].split("|")
    if len(names) == 1:
        return o.write(holds + rest, "pred")
    # The predicate that is combined may be one of the two that are written.
    out = f"bool yes = {holds}{rest}, no = !{holds}{rest}; "
    return out + " ".join(
        o.store(name.strip(), value, "pred") for name, value in zip(names, ("yes", "no"), strict=True)
    )


@form(r"selp\.([bsu](?:16|32|64)|f32|f64)")
def _selected(o: Operands, m: re.Match[str]) -> str:
    o.count(4)
    kind = "u" + m[1][1:]
    return o.write(f"{o.read(3, 'pred')} ? {o.read(1, kind)} : {o.read(2, kind)}", kind)


@form(r"cvt\.([su](?:8|16|32|64))\.([su](?:8|16|32|64))")
def _converted(o: Operands, m: re.Match[str]) -> str:
    o.count(2)
    target, source = m[1], m[2]
    # Truncated or extended as the source's sign says; then a register wider than the target is filled as
    # the target's sign says.
    return o.write(f"{target}({o.read(1, source)})", target)
