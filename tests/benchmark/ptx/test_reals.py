"""Instructions on floating point, against NumPy and torch."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import numpy as np
import pytest
import torch

from tests.benchmark.ptx.machine import load
from tests.benchmark.ptx.snippets import HEAD, Case, apply, kernel, needs_compiler
from tests.benchmark.ptx.syntax import PtxError

pytestmark = needs_compiler

SPECIALS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.5,
    3.5,
    -2.5,
    1e-40,
    -1e-45,
    65504.0,
    65520.0,
    1e38,
    -3e38,
    2147483648.0,
]
SPECIALS += [-2147483904.0, 1e19, math.inf, -math.inf, math.nan, 6e-8, 5.9e-5, 1 + 2**-8, 1 + 3 * 2**-8]
NAN = 0x7FFFFFFF


def bits(value: float) -> int:
    return int(np.float32(value).view(np.uint32))


def rows() -> list[tuple[int, int, int]]:
    random.seed(2)
    with np.errstate(over="ignore"):
        known = [bits(value) for value in SPECIALS]
    made = [(random.choice(known), random.choice(known), random.choice(known)) for _ in range(150)]
    made += [tuple(random.getrandbits(32) for _ in range(3)) for _ in range(100)]  # type: ignore[misc]
    return made


def columns() -> list[np.ndarray[tuple[int], np.dtype[np.float32]]]:
    return list(np.array(rows(), np.uint32).view(np.float32).T)


def canonical(value: object) -> list[int]:
    """Patterns of an array of float32, with one NaN for all."""
    array = np.asarray(value, np.float32)
    return [NAN if math.isnan(one) else bits(one) for one in array]


def fused(a: float, b: float, c: float) -> float:
    """a b + c, rounded once to float32."""
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return a * b + c  # infinite or NaN, in any precision
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if not exact:
        return a * b + c if a * b == 0 else 0.0  # the sign of zero
    if abs(exact) >= Fraction(2) ** 128 - Fraction(2) ** 103:
        return math.copysign(math.inf, exact)
    near = np.float32(float(exact))
    around = [near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))]
    finite = [one for one in around if np.isfinite(one)]
    return float(min(finite, key=lambda one: (abs(Fraction(float(one)) - exact), bits(float(one)) & 1)))


def test_arithmetic_rounds_to_nearest() -> None:
    a, b, c = columns()
    zeros = (a == 0) & (b == 0)
    with np.errstate(all="ignore"):
        wanted = {
            Case("add.f32", "b32", ("b32", "b32")): a + b,
            Case("sub.rn.f32", "b32", ("b32", "b32")): a - b,
            Case("mul.f32", "b32", ("b32", "b32")): a * b,
            Case("div.rn.f32", "b32", ("b32", "b32")): a / b,
            Case("sqrt.rn.f32", "b32", ("b32",)): np.sqrt(a),
            Case("neg.f32", "b32", ("b32",)): -a,
            Case("abs.f32", "b32", ("b32",)): np.abs(a),
            # -0 is smaller than +0, which NumPy leaves open.
            Case("min.f32", "b32", ("b32", "b32")): np.where(
                zeros, np.where(np.signbit(a), a, b), np.fmin(a, b)
            ),
            Case("max.NaN.f32", "b32", ("b32", "b32")): np.where(
                zeros, np.where(np.signbit(a), b, a), np.maximum(a, b)
            ),
            Case("fma.rn.f32", "b32", ("b32", "b32", "b32")): [
                fused(*(float(one) for one in row)) for row in zip(a, b, c, strict=True)
            ],
        }
    found = apply(list(wanted), rows())
    for (case, values), results in zip(wanted.items(), found, strict=True):
        plain = [NAN if result & NAN > 0x7F800000 else result for result in results]
        assert plain == canonical(values), case.text


def test_small_numbers_are_flushed_where_the_opcode_says_so() -> None:
    tiny, one = bits(1e-40), bits(1.0)
    cases = [Case(f"add{flush}.f32", "b32", ("b32", "b32")) for flush in ("", ".ftz")]
    assert apply(cases, [(tiny, 0, 0), (tiny | 1 << 31, 1 << 31, 0), (tiny, one, 0)]) == [
        [tiny, tiny | 1 << 31, one],
        [0, 1 << 31, one],
    ]


def test_comparisons_with_nan() -> None:
    a, b, _ = columns()
    unordered = np.isnan(a) | np.isnan(b)
    wanted = {
        "eq": a == b, "ne": (a != b) & ~unordered, "lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b,
        "equ": (a == b) | unordered, "neu": (a != b), "ltu": (a < b) | unordered, "leu": (a <= b) | unordered,
        "gtu": (a > b) | unordered, "geu": (a >= b) | unordered, "num": ~unordered, "nan": unordered,
    }  # fmt: skip
    found = apply([Case(f"setp.{name}.f32", "pred", ("b32", "b32")) for name in wanted], rows())
    for (name, values), results in zip(wanted.items(), found, strict=True):
        assert results == [int(value) for value in values], name


@pytest.mark.parametrize(("name", "dtype"), [("f16", torch.float16), ("bf16", torch.bfloat16)])
def test_half_precision(name: str, dtype: torch.dtype) -> None:
    given = rows()
    values = torch.from_numpy(np.array([row[0] for row in given], np.uint32).view(np.float32))
    halves = values.to(dtype)
    patterns = [int(one) & 0xFFFF for one in halves.view(torch.int16)]
    narrow, wide, pair = apply(
        [
            Case(f"cvt.rn.{name}.f32", "b16", ("b32",)),
            Case(f"cvt.f32.{name}", "b32", ("b16",)),
            Case(f"cvt.rn.{name}x2.f32", "b32", ("b32", "b32")),
        ],
        [(bits_, 0, 0) for bits_ in (row[0] for row in given)],
    )
    assert [
        0x7FFF if torch.isnan(one) else pattern for one, pattern in zip(halves, patterns, strict=True)
    ] == narrow
    assert [one << 16 for one in narrow] == pair  # the first operand is the upper half
    every = torch.from_numpy(np.array([row[0] & 0xFFFF for row in given], np.uint16).view(np.int16)).view(
        dtype
    )
    assert canonical(every.float().numpy()) == wide


def test_conversions_to_integers_round_and_saturate() -> None:
    a, _, _ = columns()
    rounding = {"rzi": np.trunc, "rni": np.rint, "rmi": np.floor, "rpi": np.ceil}
    limits = {
        "s32": (-(1 << 31), (1 << 31) - 1),
        "u32": (0, (1 << 32) - 1),
        "s64": (-(1 << 63), (1 << 63) - 1),
    }
    cases = [Case(f"cvt.{how}.{kind}.f32", kind, ("b32",)) for how in rounding for kind in limits]
    for case, results in zip(cases, apply(cases, rows()), strict=True):
        least, most = limits[case.result]
        function = rounding[case.opcode.split(".")[1]]
        width = int(case.result[1:])
        for value, result in zip(a, results, strict=True):
            if math.isnan(value):
                wanted = 0
            elif math.isinf(value):
                wanted = most if value > 0 else least
            else:
                wanted = min(max(int(function(value)), least), most)
            assert result == wanted % (1 << width), (case.text, value)


def test_integers_to_floats() -> None:
    given = [
        (value, 0, 0)
        for value in (0, 1, (1 << 24) + 1, (1 << 31) + 129, (1 << 63) + (1 << 39), (1 << 64) - 1)
    ]
    unsigned, signed = apply(
        [Case("cvt.rn.f32.u64", "b32", ("b64",)), Case("cvt.rn.f32.s32", "b32", ("b32",))], given
    )
    assert unsigned == [bits(float(np.float32(np.uint64(row[0])))) for row in given]
    assert signed == [bits(float(np.array(row[0] % (1 << 32), np.uint32).view(np.int32))) for row in given]


def test_approximations_are_refused() -> None:
    for opcode in ("ex2.approx.f32 %r1, %r2", "div.full.f32 %r1, %r2, %r3", "rcp.approx.ftz.f32 %r1, %r2"):
        with pytest.raises(PtxError, match=r"line \d+: unknown instruction: " + opcode[:3]):
            load(HEAD + kernel(opcode + ";"))
