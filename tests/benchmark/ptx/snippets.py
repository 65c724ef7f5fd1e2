"""Kernels for the tests of the PTX machine: instructions applied to rows of numbers, and bodies by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.benchmark.ptx.machine import Buffer, compiler, load
from tests.benchmark.ptx.syntax import WIDTHS

HEAD = ".version 8.7\n.target sm_90a\n.address_size 64\n"
needs_compiler = pytest.mark.skipif(compiler() is None, reason="the PTX machine needs g++, which is not here")


class Case(NamedTuple):
    """`opcode result, operands`: the operands are a, b, c of the kinds given, or are written out."""

    opcode: str
    result: str
    operands: tuple[str, ...]

    @property
    def text(self) -> str:
        return f"{self.opcode} -> {self.result}: {', '.join(self.operands)}"


def kernel(body: str, name: str = "snippet", shared: int = 0, threads: int = 32) -> str:
    """A kernel of two pointers, %in and %out, with the registers that bodies use."""
    array = f".shared .align 16 .b8 {name}_array[{shared}];\n" if shared else ""
    return (
        f"{array}.visible .entry {name}(\n.param .u64 {name}_0,\n.param .u64 {name}_1\n)\n"
        f".reqntid {threads}\n"
        "{\n.reg .pred %p<10>;\n.reg .b16 %h<10>;\n.reg .b32 %r<20>;\n.reg .b64 %d<20>;\n"
        ".reg .b64 %in, %out;\n"
        f"ld.param.b64 %in, [{name}_0];\nld.param.b64 %out, [{name}_1];\nmov.u32 %r0, %tid.x;\n"
        f"{body}\nret;\n}}\n"
    )


def buffer(array: NDArray[np.generic], fresh: bool = False) -> Buffer:
    return Buffer(array.ctypes.data, array.nbytes, fresh)


def run(
    body: str,
    given: NDArray[np.generic],
    taken: NDArray[np.generic],
    *,
    threads: int = 32,
    blocks: int = 1,
    shared: int = 0,
    seed: int = 0,
) -> int:
    """Runs a body on two arrays; returns the number of instructions executed."""
    loaded = load(HEAD + kernel(body, shared=shared, threads=threads))
    return loaded.launch(
        (blocks,),
        (given.ctypes.data, taken.ctypes.data),
        threads=threads,
        buffers=(buffer(given), buffer(taken)),
        seed=seed,
    )


def apply(cases: Sequence[Case], rows: Sequence[tuple[int, int, int]]) -> list[list[int]]:
    """For each case, its result for each row (a, b, c), as the unsigned integer in its register.

    Each operand is the low part of its number, as wide as its kind; a predicate is its lowest bit.
    """
    lines = ["mad.wide.u32 %d1, %r0, 24, %in;"]
    for name, offset in zip("abc", (0, 8, 16), strict=True):
        lines += [
            f".reg .b16 %{name}16; .reg .b32 %{name}32; .reg .b64 %{name}64; .reg .pred %{name}1;",
            f"ld.global.b64 %{name}64, [%d1+{offset}]; cvt.u16.u64 %{name}16, %{name}64;",
            f"cvt.u32.u64 %{name}32, %{name}64; and.b32 %r1, %{name}32, 1; setp.ne.b32 %{name}1, %r1, 0;",
        ]
    lines += [".reg .b16 %o16; .reg .b32 %o32; .reg .b64 %o64; .reg .pred %o1;"]
    count = len(rows)
    for index, case in enumerate(cases):
        bits = WIDTHS[case.result]
        names = (
            f"%{place}{WIDTHS[kind]}" if kind in WIDTHS else kind
            for place, kind in zip("abc" + "-" * len(case.operands), case.operands, strict=False)
        )
        lines.append(f"{case.opcode} %o{bits}, {', '.join(names)};")
        if bits == 1:
            lines.append("selp.b64 %o64, 1, 0, %o1;")
        elif bits < 64:
            lines.append(f"cvt.u64.u{bits} %o64, %o{bits};")
        lines.append(f"mad.wide.u32 %d2, %r0, 8, %out; st.global.b64 [%d2+{8 * count * index}], %o64;")
    given = np.array(rows, np.uint64)
    taken = np.zeros((len(cases), count), np.uint64)
    run("\n".join(lines), given, taken, threads=count)
    return [[int(value) for value in row] for row in taken]
