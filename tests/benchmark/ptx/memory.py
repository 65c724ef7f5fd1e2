"""Moves, loads, stores, atomics.

PTX ISA: "Data Movement and Conversion", "Parallel Synchronization and Communication" (`atom`, `red`). Hints
about caches change nothing here. Atomics are plain: only one thread runs at a time.
"""

from __future__ import annotations

import re

from tests.benchmark.ptx.instructions import Operands, form
from tests.benchmark.ptx.syntax import WIDTHS

ORDER = r"(?:\.(?:weak|relaxed|acquire|release|acq_rel|volatile|cta|cluster|gpu|sys))*"
HINTS = (
    r"(?:\.(?:nc|ca|cg|cs|lu|cv|wb|wt|L1::(?:evict_normal|evict_unchanged|evict_first|evict_last|no_allocate)"
    r"|L2::(?:evict_normal|evict_first|evict_last|64B|128B|256B|cache_hint)))*"
)
KINDS = r"([bsuf](?:8|16|32|64))"


@form(r"mov\.(pred|[bsuf](?:16|32|64))")
def _move(o: Operands, m: re.Match[str]) -> str:
    o.count(2)
    kind = m[1]
    raw = "pred" if kind == "pred" else "u" + kind[1:]
    if o.names[0].startswith("{"):
        parts = o.vector(0)
        each = f"u{WIDTHS[kind] // len(parts)}"
        out = f"u64 whole = {o.read(1, raw)}; "
        return out + " ".join(
            o.store(name, f"whole >> {index * WIDTHS[each]}", each) for index, name in enumerate(parts)
        )
    if o.names[1].startswith("{"):
        parts = o.vector(1)
        each = f"u{WIDTHS[kind] // len(parts)}"
        packed = (f"u64({o.value(name, each)}) << {index * WIDTHS[each]}" for index, name in enumerate(parts))
        return o.write(" | ".join(packed), raw)
    return o.write(o.read(1, raw), raw)


@form(r"cvta(?:\.to)?\.global\.u64")
def _generic(o: Operands, m: re.Match[str]) -> str:
    o.count(2)
    return o.write(o.read(1, "u64"), "u64")


@form(r"createpolicy\.fractional\.L2::\w+(?:\.L2::\w+)?\.b64")
def _policy(o: Operands, m: re.Match[str]) -> str:
    return o.write("0", "u64")


@form(rf"ld\.param\.{KINDS}")
def _parameter(o: Operands, m: re.Match[str]) -> str:
    o.count(2)
    found = re.fullmatch(r"\[ ?([\w$]+) ?(?:\+ ?(\d+) ?)?\]", o.names[1])
    known = {parameter.name: parameter for parameter in o.kernel.parameters}
    if not found or found[1] not in known:
        raise o.of.refuse("no such parameter")
    place = int(found[2] or 0)
    if 8 * place + WIDTHS[m[1]] > known[found[1]].bits:
        raise o.of.refuse("reads past the end of the parameter")
    source = f"block.job->parameters + {known[found[1]].offset + place}"
    return _take(o, o.names[0], m[1], source)


def _take(o: Operands, name: str, kind: str, place: str) -> str:
    """Loads one value; narrower than its register, it is extended as its type says."""
    whole = kind if kind[0] == "s" else f"u{kind[1:]}"
    return o.store(name, f"taken<{whole}>({place})", whole)


def _place(o: Operands, space: str, index: int, total: int, how: str) -> str:
    """Checked memory of `total` bytes: `how` is an `Access` of memory.hpp; what is written lies in `data`."""
    data = ", data" if how == "WRITE" else ""
    return f"{space}_at(t, {o.address(index)}, {total}, {o.line}, {how}{data})"


@form(rf"ld{ORDER}\.(global|shared)(?:::cta)?{HINTS}(?:\.v([24]))?{HINTS}\.{KINDS}")
def _load(o: Operands, m: re.Match[str]) -> str:
    o.count(2, 3)  # a third one is a policy of the cache
    names, size = o.vector(0), WIDTHS[m[3]] // 8
    if len(names) != int(m[2] or 1):
        raise o.of.refuse("another number of registers than its vector has")
    how = "ORDERED" if re.search(r"relaxed|acquire|volatile", o.of.opcode) else "READ"
    out = f"u8* at = {_place(o, m[1], 1, size * len(names), how)}; "
    return out + " ".join(_take(o, name, m[3], f"at + {size * index}") for index, name in enumerate(names))


@form(rf"st{ORDER}\.(global|shared)(?:::cta)?{HINTS}(?:\.v([24]))?{HINTS}\.{KINDS}")
def _store(o: Operands, m: re.Match[str]) -> str:
    o.count(2, 3)
    names, size = o.vector(1), WIDTHS[m[3]] // 8
    if len(names) != int(m[2] or 1):
        raise o.of.refuse("another number of registers than its vector has")
    raw = f"u{8 * size}"
    parts = (f"put<{raw}>(data + {size * index}, {o.value(name, raw)});" for index, name in enumerate(names))
    total = size * len(names)
    place = _place(o, m[1], 0, total, "WRITE")
    return f"u8 data[{total}]; {' '.join(parts)} std::memcpy({place}, data, {total});"


@form(
    rf"(atom|red){ORDER}\.(global|shared)(?:::cta)?{ORDER}\.(add|min|max|and|or|xor|exch|cas|inc|dec)"
    r"\.([bsuf](?:32|64))"
)
def _atomic(o: Operands, m: re.Match[str]) -> str:
    returns, operation, kind = m[1] == "atom", m[3], m[4]
    first = int(returns)
    o.count(first + (3 if operation == "cas" else 2))
    sorts = {"add": "suf", "min": "su", "max": "su", "inc": "u", "dec": "u"}.get(operation, "b")
    if kind[0] not in sorts or (not returns and operation in ("exch", "cas")):
        raise o.of.refuse("unknown instruction")
    raw = f"u{kind[1:]}"
    new, old = o.read(first + 1, kind), f"{kind if kind[0] in 'su' else raw}(old)"
    if kind[0] == "f":
        value = f"pattern(f{kind[1:]}(real(old) + {new}))"
    elif operation == "cas":
        value = f"{old} == {new} ? {o.read(first + 2, raw)} : {old}"
    elif operation == "exch":
        value = new
    elif operation == "inc":
        value = f"{old} >= {new} ? 0 : {old} + 1"
    elif operation == "dec":
        value = f"{old} == 0 || {old} > {new} ? {new} : {old} - 1"
    elif operation in ("min", "max"):
        value = f"{old} {'<' if operation == 'min' else '>'} {new} ? {old} : {new}"
    elif operation == "add":
        value = f"{raw}(old) + {o.read(first + 1, raw)}"
    else:
        value = f"{old} { {'and': '&', 'or': '|', 'xor': '^'}[operation] } {new}"
    size = WIDTHS[kind] // 8
    out = f"u8* at = {_place(o, m[2], first, size, 'ATOMIC')}; {raw} old = taken<{raw}>(at); "
    out += f"put<{raw}>(at, {raw}({value}));"
    return out + (" " + o.write("old", raw) if returns else "")
