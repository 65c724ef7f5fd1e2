"""Instructions on integers, bits and predicates, against their definition in Python's integers."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.benchmark.ptx.snippets import Case, apply, needs_compiler
from tests.benchmark.ptx.syntax import WIDTHS

pytestmark = needs_compiler

EDGES = [0, 1, 2, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 255, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000]
EDGES += [0xFFFFFFFF, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 0x8000_8000_8000_8000]
Row = tuple[int, int, int]


def rows() -> list[Row]:
    random.seed(1)
    made = [(random.choice(EDGES), random.choice(EDGES), random.choice(EDGES)) for _ in range(200)]
    made += [(random.getrandbits(64), random.getrandbits(64), random.getrandbits(6)) for _ in range(56)]
    return made


def signed(value: int, bits: int) -> int:
    value %= 1 << bits
    return value - (1 << bits) if value >> (bits - 1) else value


def as_kind(value: int, kind: str) -> int:
    if kind == "pred":
        return value & 1
    bits = WIDTHS[kind]
    return signed(value, bits) if kind[0] == "s" else value % (1 << bits)


def check(wanted: dict[Case, Callable[[int, int, int], int]]) -> None:
    given = rows()
    found = apply(list(wanted), given)
    for (case, definition), results in zip(wanted.items(), found, strict=True):
        kinds = [*(kind if kind in WIDTHS else "u64" for kind in case.operands), *("u64",) * 3]
        for row, result in zip(given, results, strict=True):
            values = [as_kind(value, kind) for value, kind in zip(row, kinds, strict=False)]
            bits = WIDTHS[case.result]
            assert result == definition(*values) % (1 << bits), (case.text, [hex(value) for value in row])


def test_arithmetic() -> None:
    wanted: dict[Case, Callable[[int, int, int], int]] = {}
    for kind in ("s16", "u16", "s32", "u32", "s64", "u64"):
        bits, two, three = WIDTHS[kind], (kind, kind), (kind, kind, kind)
        wanted[Case(f"add.{kind}", kind, two)] = lambda a, b, c: a + b
        wanted[Case(f"sub.{kind}", kind, two)] = lambda a, b, c: a - b
        wanted[Case(f"mul.lo.{kind}", kind, two)] = lambda a, b, c: a * b
        wanted[Case(f"mul.hi.{kind}", kind, two)] = lambda a, b, c, bits=bits: a * b >> bits  # type: ignore[misc]
        wanted[Case(f"mad.lo.{kind}", kind, three)] = lambda a, b, c: a * b + c
        wanted[Case(f"mad.hi.{kind}", kind, three)] = lambda a, b, c, bits=bits: (a * b >> bits) + c  # type: ignore[misc]
        wanted[Case(f"min.{kind}", kind, two)] = lambda a, b, c: min(a, b)
        wanted[Case(f"max.{kind}", kind, two)] = lambda a, b, c: max(a, b)
        if bits < 64:
            wide = f"{kind[0]}{2 * bits}"
            wanted[Case(f"mul.wide.{kind}", wide, two)] = lambda a, b, c: a * b
            wanted[Case(f"mad.wide.{kind}", wide, (kind, kind, wide))] = lambda a, b, c: a * b + c
        if kind[0] == "s":
            wanted[Case(f"neg.{kind}", kind, (kind,))] = lambda a, b, c: -a
            wanted[Case(f"abs.{kind}", kind, (kind,))] = lambda a, b, c: abs(a)
        # C's division: towards zero. The divisor is a constant, which no row makes 0.
        wanted[Case(f"div.{kind}", kind, (kind, "7"))] = lambda a, b, c: abs(a) // 7 * (1 if a >= 0 else -1)
        wanted[Case(f"rem.{kind}", kind, (kind, "7"))] = lambda a, b, c: abs(a) % 7 * (1 if a >= 0 else -1)
        if kind[0] == "s":
            wanted[Case(f"div.{kind}", kind, (kind, "-1"))] = lambda a, b, c: -a
            wanted[Case(f"rem.{kind}", kind, (kind, "-1"))] = lambda a, b, c: 0
    check(wanted)


def test_bits() -> None:
    wanted: dict[Case, Callable[[int, int, int], int]] = {}
    for bits in (16, 32, 64):
        kind, three = f"b{bits}", (f"b{bits}", f"b{bits}")
        wanted[Case(f"and.{kind}", kind, three)] = lambda a, b, c: a & b
        wanted[Case(f"or.{kind}", kind, three)] = lambda a, b, c: a | b
        wanted[Case(f"xor.{kind}", kind, three)] = lambda a, b, c: a ^ b
        wanted[Case(f"not.{kind}", kind, (kind,))] = lambda a, b, c: ~a
        wanted[Case(f"selp.{kind}", kind, (kind, kind, "pred"))] = lambda a, b, c: a if c else b
        # Shifts by the width or more leave nothing, or the sign.
        wanted[Case(f"shl.b{bits}", kind, (kind, "b32"))] = lambda a, b, c: a << min(b, 64)
        for sort in "bus":
            typed = f"{sort}{bits}"
            wanted[Case(f"shr.{typed}", kind, (typed, "b32"))] = lambda a, b, c: a >> min(b, 64)
    for bits in (32, 64):
        kind = f"b{bits}"
        wanted[Case(f"popc.{kind}", "b32", (kind,))] = lambda a, b, c: a.bit_count()
        wanted[Case(f"clz.{kind}", "b32", (kind,))] = lambda a, b, c, bits=bits: bits - a.bit_length()  # type: ignore[misc]
        wanted[Case(f"brev.{kind}", kind, (kind,))] = lambda a, b, c, bits=bits: int(f"{a:0{bits}b}"[::-1], 2)  # type: ignore[misc]
        for sort in "us":
            typed = f"{sort}{bits}"
            wanted[Case(f"bfind.{typed}", "b32", (typed,))] = lambda a, b, c: (
                (a if a >= 0 else ~a).bit_length() - 1
            )
    for combine, function in {"and": int.__and__, "or": int.__or__, "xor": int.__xor__}.items():
        wanted[Case(f"{combine}.pred", "pred", ("pred", "pred"))] = lambda a, b, c, f=function: f(a, b)  # type: ignore[misc]
    wanted[Case("not.pred", "pred", ("pred",))] = lambda a, b, c: 1 - a
    check(wanted)


def extracted(value: int, first: int, count: int, bits: int, is_signed: bool) -> int:
    """Bits from `first` on; if signed, those past the field or the value are the field's top bit."""
    first, count, pattern = first & 255, count & 255, value % (1 << bits)
    sign = pattern >> min(first + count - 1, bits - 1) & 1 if is_signed and count else 0
    return sum(
        (pattern >> (first + bit) & 1 if bit < count and first + bit < bits else sign) << bit
        for bit in range(bits)
    )


def inserted(source: int, into: int, first: int, count: int, bits: int) -> int:
    first, count = first & 255, count & 255
    mask = ((1 << count) - 1) << first & ((1 << bits) - 1)
    return (into & ~mask) | (source << first & mask)


def permuted(a: int, b: int, how: int) -> int:
    every = (b << 32 | a).to_bytes(8, "little")
    out = 0
    for place in range(4):
        choice = how >> (4 * place) & 15
        byte = every[choice & 7]
        out |= ((255 if byte & 128 else 0) if choice & 8 else byte) << (8 * place)
    return out


def test_fields() -> None:
    wanted: dict[Case, Callable[[int, int, int], int]] = {}
    for bits in (32, 64):
        kind = f"b{bits}"
        for sort in "us":
            wanted[Case(f"bfe.{sort}{bits}", kind, (f"{sort}{bits}", "b32", "b32"))] = (
                lambda a, b, c, bits=bits, sort=sort: extracted(a, b, c, bits, sort == "s")  # type: ignore[misc]
            )
        for first, count in ((0, 8), (5, 20), (30, 40), (31, 1), (63, 3), (4, 0), (255, 255)):
            wanted[Case(f"bfi.{kind}", kind, (kind, kind, str(first), str(count)))] = (
                lambda a, b, c, f=first, n=count, bits=bits: inserted(a, b, f, n, bits)  # type: ignore[misc]
            )
    for table in (0x00, 0x96, 0xE8, 0xCA, 0x2A, 0xFF):
        wanted[Case("lop3.b32", "b32", ("b32", "b32", "b32", hex(table)))] = lambda a, b, c, table=table: sum(  # type: ignore[misc]
            (table >> ((a >> bit & 1) * 4 + (b >> bit & 1) * 2 + (c >> bit & 1)) & 1) << bit
            for bit in range(32)
        )
    wanted[Case("prmt.b32", "b32", ("b32", "b32", "b32"))] = permuted
    for how in ("0x3120", "0x7654", "0xfedc", "0x0880"):
        wanted[Case("prmt.b32", "b32", ("b32", "b32", how))] = lambda a, b, c, how=how: permuted(
            a, b, int(how, 0)
        )  # type: ignore[misc]
    both = ("b32", "b32", "b32")
    wanted[Case("shf.l.wrap.b32", "b32", both)] = lambda a, b, c: (b << 32 | a) << (c & 31) >> 32
    wanted[Case("shf.r.wrap.b32", "b32", both)] = lambda a, b, c: (b << 32 | a) >> (c & 31)
    wanted[Case("shf.l.clamp.b32", "b32", both)] = lambda a, b, c: (b << 32 | a) << min(c, 32) >> 32
    wanted[Case("shf.r.clamp.b32", "b32", both)] = lambda a, b, c: (b << 32 | a) >> min(c, 32)
    check(wanted)


COMPARED: dict[str, Callable[[int, int], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}


def test_comparisons() -> None:
    wanted: dict[Case, Callable[[int, int, int], int]] = {}
    for kind in ("s16", "u16", "b16", "s32", "u32", "b32", "s64", "u64", "b64"):
        for name, holds in COMPARED.items():
            if kind[0] == "b" and name not in ("eq", "ne"):
                continue
            wanted[Case(f"setp.{name}.{kind}", "pred", (kind, kind))] = lambda a, b, c, f=holds: f(a, b)  # type: ignore[misc]
            wanted[Case(f"setp.{name}.and.{kind}", "pred", (kind, kind, "pred"))] = (
                lambda a, b, c, f=holds: f(a, b) and c  # type: ignore[misc]
            )
            wanted[Case(f"setp.{name}.xor.{kind}", "pred", (kind, kind, "pred"))] = (
                lambda a, b, c, f=holds: f(a, b) ^ c  # type: ignore[misc]
            )
    for name, same in {"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}.items():
        wanted[Case(f"setp.{name}.u32", "pred", ("u32", "u32"))] = lambda a, b, c, f=COMPARED[same]: f(a, b)  # type: ignore[misc]
    check(wanted)


def test_conversions() -> None:
    wanted: dict[Case, Callable[[int, int, int], int]] = {}
    for source in ("s16", "u16", "s32", "u32", "s64", "u64"):
        for target in ("s16", "u16", "s32", "u32", "s64", "u64"):
            wanted[Case(f"cvt.{target}.{source}", target, (source,))] = lambda a, b, c: a
    # A source of 8 bits is the low part of its register; so is a target, extended as its sign says.
    wanted[Case("cvt.u32.u8", "u32", ("b16",))] = lambda a, b, c: a & 255
    wanted[Case("cvt.s32.s8", "u32", ("b32",))] = lambda a, b, c: signed(a, 8)
    wanted[Case("cvt.u8.u32", "u16", ("b32",))] = lambda a, b, c: a & 255
    wanted[Case("cvt.s8.s32", "s32", ("b32",))] = lambda a, b, c: signed(a, 8)
    check(wanted)
