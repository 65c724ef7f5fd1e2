"""Floating point that is exact by definition: rounded to nearest, no approximations.

PTX ISA: "Floating Point Instructions", "Half Precision Floating Point Instructions", "Data Movement and
Conversion Instructions: cvt". What the manual gives only a bound of error for (`ex2.approx`, `div.full`) is
refused: two machines may differ there. Results that are NaN are the canonical one.
"""

from __future__ import annotations

import re

from tests.benchmark.ptx.arithmetic import compared
from tests.benchmark.ptx.instructions import Operands, form
from tests.benchmark.ptx.syntax import WIDTHS

ORDERED = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "=="}
WHOLE = {"rni": "nearbyint", "rzi": "trunc", "rmi": "floor", "rpi": "ceil"}


def _read(o: Operands, index: int, kind: str, flush: object = False) -> str:
    """An operand of type f32, f64, f16 or bf16 as a C++ number."""
    if kind in ("f16", "bf16"):
        return f"from_{kind}({o.read(index, 'u16')})"
    return f"flushed({o.read(index, kind)})" if flush else o.read(index, kind)


def _write(o: Operands, value: str, kind: str, flush: object) -> str:
    return o.write(f"flushed({value})" if flush else value, kind)


@form(r"(add|sub|mul|div)(\.rn)?(\.ftz)?\.(f32|f64)")
def _sum(o: Operands, m: re.Match[str]) -> str:
    o.count(3)
    if m[1] == "div" and not m[2]:
        raise o.of.refuse("unknown instruction")
    sign = {"add": "+", "sub": "-", "mul": "*", "div": "/"}[m[1]]
    return _write(o, f"{_read(o, 1, m[4], m[3])} {sign} {_read(o, 2, m[4], m[3])}", m[4], m[3])


@form(r"fma\.rn(\.ftz)?\.(f32|f64)")
def _fused(o: Operands, m: re.Match[str]) -> str:
    o.count(4)
    parts = ", ".join(_read(o, place, m[2], m[1]) for place in (1, 2, 3))
    return _write(o, f"std::fma({parts})", m[2], m[1])


@form(r"sqrt\.rn(\.ftz)?\.(f32|f64)")
def _root(o: Operands, m: re.Match[str]) -> str:
    o.count(2)
    return _write(o, f"std::sqrt({_read(o, 1, m[2], m[1])})", m[2], m[1])


@form(r"(min|max)(\.ftz)?(\.NaN)?\.(f32|f64)")
def _extreme(o: Operands, m: re.Match[str]) -> str:
    o.count(3)
    first, second = (_read(o, place, m[4], m[2]) for place in (1, 2))
    value = f"{'smaller' if m[1] == 'min' else 'larger'}({first}, {second})"
    if m[3]:
        value = f"std::isunordered({first}, {second}) ? NAN : {value}"
    return _write(o, value, m[4], m[2])


@form(r"(neg|abs)(\.ftz)?\.(f32|f64)")
def _sign(o: Operands, m: re.Match[str]) -> str:
    o.count(2)
    value = _read(o, 1, m[3], m[2])
    return _write(o, f"-{value}" if m[1] == "neg" else f"std::fabs({value})", m[3], m[2])


@form(
    r"setp\.(eq|ne|lt|le|gt|ge|equ|neu|ltu|leu|gtu|geu|num|nan)(?:\.(and|or|xor))?(\.ftz)?\.(f32|f64|f16|bf16)"
)
def _compared(o: Operands, m: re.Match[str]) -> str:
    o.count(4 if m[2] else 3)
    first, second = (_read(o, place, m[4], m[3]) for place in (1, 2))
    unordered = f"std::isunordered({first}, {second})"
    relation = m[1]
    if relation in ("num", "nan"):
        holds = f"({'!' if relation == 'num' else ''}{unordered})"
    elif relation == "ne":
        holds = f"(!{unordered} && {first} != {second})"
    elif relation == "neu":
        holds = f"({first} != {second})"  # holds for NaN, too
    elif relation in ORDERED:
        holds = f"({first} {ORDERED[relation]} {second})"
    else:
        holds = f"({unordered} || {first} {ORDERED[relation[:-1]]} {second})"
    return compared(o, holds, m[2])


@form(r"cvt(\.ftz)?\.(f32|f64)\.(f32|f64|f16|bf16)|cvt(\.rn)(\.ftz)?\.(f32|f16|bf16)\.(f64|f32)")
def _resized(o: Operands, m: re.Match[str]) -> str:
    o.count(2)
    target, source, flush = (m[6], m[7], m[5]) if m[4] else (m[2], m[3], m[1])
    if (target, source) not in {
        ("f32", "f16"), ("f32", "bf16"), ("f64", "f16"), ("f64", "f32"), ("f32", "f64"), ("f16", "f32"),
        ("bf16", "f32"), ("f64", "bf16"),
    } or (m[4] is None and (target, source) == ("f32", "f64")):  # fmt: skip
        raise o.of.refuse("unknown instruction")
    value = _read(o, 1, source, flush and source == "f32")
    if target in ("f16", "bf16"):
        return o.write(f"to_{target}({value})", "u16")
    return _write(o, f"{target}({value})", target, flush and target == "f32")


@form(r"cvt\.rn\.(f16|bf16)x2\.f32")
def _packed(o: Operands, m: re.Match[str]) -> str:
    o.count(3)
    high, low = (f"u32(to_{m[1]}({o.read(place, 'f32')}))" for place in (1, 2))
    return o.write(f"{high} << 16 | {low}", "u32")


@form(r"cvt\.rn\.(f32|f64)\.([su](?:8|16|32|64))")
def _from_integer(o: Operands, m: re.Match[str]) -> str:
    o.count(2)
    return o.write(f"{m[1]}({o.read(1, m[2])})", m[1])


@form(r"cvt\.(rni|rzi|rmi|rpi)(\.ftz)?\.(?:([su](?:8|16|32|64))|(f32|f64))\.(f32|f64|f16|bf16)")
def _to_integer(o: Operands, m: re.Match[str]) -> str:
    o.count(2)
    value = f"std::{WHOLE[m[1]]}({_read(o, 1, m[5], m[2])})"
    if m[4]:
        if m[4] != m[5]:
            raise o.of.refuse("unknown instruction")
        return _write(o, value, m[4], m[2])
    assert WIDTHS[m[3]]
    return o.write(f"whole<{m[3]}>({value})", m[3])
