"""Branches, barriers and what lanes of a warp do together.

PTX ISA: "Control Flow", "Parallel Synchronization and Communication", "Data Movement" (`shfl.sync`). Fences
do nothing: memory is seen by all threads in the order in which they run.
"""

from __future__ import annotations

import re

from tests.benchmark.ptx.instructions import Operands, form


def label(name: str) -> str:
    """A label of PTX as one of C++."""
    return "l_" + name.replace("$", "_d_")


@form(r"bra(?:\.uni)?")
def _branch(o: Operands, m: re.Match[str]) -> str:
    o.count(1)
    return f"goto {label(o.names[0])};"


@form(r"ret(?:\.uni)?|exit")
def _return(o: Operands, m: re.Match[str]) -> str:
    o.count(0)
    return "return;"


@form(r"trap")
def _trap(o: Operands, m: re.Match[str]) -> str:
    return f"fail(t, TRAPPED, {o.line});"


@form(r"membar(?:\.\w+)*|fence(?:\.(?:sc|acq_rel|acquire|release|cta|cluster|gpu|sys))*")
def _fence(o: Operands, m: re.Match[str]) -> str:
    return ""


@form(r"bar(?:\.cta)?\.sync|barrier(?:\.cta)?\.sync\.aligned")
def _barrier(o: Operands, m: re.Match[str]) -> str:
    o.count(1, 2)
    threads = o.kernel.threads
    if o.names[0] != "0" or (len(o.names) == 2 and o.names[1] != str(threads)):
        raise o.of.refuse("only the barrier 0 of all threads is understood")
    return f"barrier(t, {o.line});"


@form(r"bar\.warp\.sync")
def _warp_barrier(o: Operands, m: re.Match[str]) -> str:
    o.count(1)
    return f"meet(t, SYNC, {o.read(0, 'u32')}, {o.line});"


@form(r"shfl\.sync\.(up|down|bfly|idx)\.b32")
def _shuffle(o: Operands, m: re.Match[str]) -> str:
    o.count(5)
    value, b, c, mask = (o.read(place, "u32") for place in range(1, 5))
    return f"meet(t, SHFL_{m[1].upper()}, {mask}, {o.line}, {value}, {b}, {c}); " + o.pair(
        "t.met", "u32", "t.found"
    )


@form(r"vote\.sync\.(all|any|uni)\.pred|vote\.sync\.(ballot)\.b32")
def _vote(o: Operands, m: re.Match[str]) -> str:
    o.count(3)
    negated = o.names[1].startswith("!")
    value = o.value(o.names[1].lstrip("! "), "pred")
    how = (m[1] or m[2]).upper()
    out = f"meet(t, VOTE_{how}, {o.read(2, 'u32')}, {o.line}, {'!' if negated else ''}{value}); "
    return out + (o.write("t.met", "u32") if m[2] else o.write("t.found", "pred"))


@form(r"redux\.sync\.(?:(add|min|max)\.([us])32|(and|or|xor)\.b32)")
def _reduced(o: Operands, m: re.Match[str]) -> str:
    o.count(3)
    how = (m[1] or m[3]).upper() + (f"_{m[2].upper()}" if m[1] in ("min", "max") else "")
    out = f"meet(t, REDUX_{how}, {o.read(2, 'u32')}, {o.line}, {o.read(1, 'u32')}); "
    return out + o.write("t.met", "u32")


@form(r"elect\.sync")
def _elected(o: Operands, m: re.Match[str]) -> str:
    o.count(2)
    return f"meet(t, ELECT, {o.read(1, 'u32')}, {o.line}); " + o.pair("t.met", "u32", "t.found")
