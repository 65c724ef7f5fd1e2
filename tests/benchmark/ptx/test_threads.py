"""What threads do together: vectors, shared memory, barriers, shuffles, votes, atomics, control flow."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmark.ptx.machine import load_all
from tests.benchmark.ptx.snippets import HEAD, buffer, needs_compiler, run

pytestmark = needs_compiler

PLACE = "mad.wide.u32 %d1, %r0, 4, %in; mad.wide.u32 %d2, %r0, 4, %out;\n"


def words(count: int = 32) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return np.random.default_rng(0).integers(0, 1 << 32, count, np.uint32)


@pytest.mark.parametrize("how", ["up", "down", "bfly", "idx"])
def test_shuffles(how: str) -> None:
    given, taken = words(), np.zeros((2, 3, 32), np.uint32)
    # c: a clamp, and from bit 8 on a mask of segments
    segments = ("0", "7168", "3840") if how == "up" else ("31", "7175", "3855")
    body = [PLACE, "ld.global.b32 %r1, [%d1];"]
    for index, c in enumerate(segments):
        body.append(f"shfl.sync.{how}.b32 %r2|%p1, %r1, 3, {c}, -1; selp.b32 %r3, 1, 0, %p1;")
        body.append(f"st.global.b32 [%d2+{128 * index}], %r2; st.global.b32 [%d2+{384 + 128 * index}], %r3;")
    run("\n".join(body), given, taken)
    for index, clamp in enumerate(map(int, segments)):
        mask = clamp >> 8 & 31
        for lane in range(32):
            first, limit = lane & mask, (lane & mask) | (clamp & 31 & ~mask)
            source = {"up": lane - 3, "down": lane + 3, "bfly": lane ^ 3, "idx": first | (3 & ~mask)}[how]
            inside = source >= limit if how == "up" else source <= limit
            assert taken[0, index, lane] == given[source if inside else lane], (clamp, lane)
            assert taken[1, index, lane] == inside


def test_reductions_votes_and_elections() -> None:
    given, taken = words(), np.zeros((9, 32), np.uint32)
    given[::3] = 0
    reductions = {
        "add.s32": int(given.sum(dtype=np.uint32)),
        "min.s32": int(given.view(np.int32).min()) % (1 << 32),
        "max.u32": int(given.max()),
        "and.b32": int(np.bitwise_and.reduce(given)),
        "or.b32": int(np.bitwise_or.reduce(given)),
    }
    body = [PLACE, "ld.global.b32 %r1, [%d1]; setp.ne.b32 %p1, %r1, 0;"]
    for index, name in enumerate(reductions):
        body.append(f"redux.sync.{name} %r2, %r1, -1; st.global.b32 [%d2+{128 * index}], %r2;")
    body.append("vote.sync.ballot.b32 %r2, %p1, -1; st.global.b32 [%d2+640], %r2;")
    body.append("vote.sync.any.pred %p2, %p1, -1; selp.b32 %r2, 1, 0, %p2; st.global.b32 [%d2+768], %r2;")
    body.append("vote.sync.all.pred %p2, !%p1, -1; selp.b32 %r2, 1, 0, %p2; st.global.b32 [%d2+896], %r2;")
    body.append("elect.sync %r2|%p2, -1; selp.b32 %r2, 7, 0, %p2; st.global.b32 [%d2+1024], %r2;")
    run("\n".join(body), given, taken)
    ballot = sum(1 << lane for lane in range(32) if given[lane])
    wanted = [*reductions.values(), ballot, 1, 0]
    assert taken[:8].tolist() == [[value] * 32 for value in wanted]
    assert taken[8].tolist() == [7] + [0] * 31


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_barriers_order_shared_memory(seed: int) -> None:
    """Every thread writes a place and reads another warp's, for two rounds."""
    given, taken = words(128), np.zeros(128, np.uint32)
    body = PLACE + (
        "ld.global.b32 %r1, [%d1]; mov.u32 %r2, snippet_array; mad.lo.u32 %r3, %r0, 4, %r2;"
        "xor.b32 %r4, %r0, 64; mad.lo.u32 %r4, %r4, 4, %r2;"
        "st.shared.b32 [%r3], %r1; bar.sync 0; ld.shared.b32 %r5, [%r4]; bar.sync 0;"
        "add.u32 %r5, %r5, 1; st.shared.b32 [%r3], %r5; bar.sync 0; ld.shared.b32 %r5, [%r4];"
        "st.global.b32 [%d2], %r5;"
    )
    run(body, given, taken, threads=128, shared=512, seed=seed)
    assert np.array_equal(taken, given + np.uint32(1))


def test_vectors_and_packs() -> None:
    given, taken = words(128), np.zeros(128, np.uint32)
    body = (
        "mad.wide.u32 %d1, %r0, 16, %in; mad.wide.u32 %d2, %r0, 16, %out;"
        "ld.global.nc.L1::evict_last.v4.b32 {%r1, %r2, %r3, %r4}, [%d1];"
        "mov.b64 %d3, {%r1, %r2}; mov.b64 {%r5, %r6}, %d3; mov.b32 {%h1, %h2}, %r3; mov.b32 %r7, {%h2, %h1};"
        "{ .reg .b32 t; mov.b64 {_, t}, %d3; mov.u32 %r8, t; }\n"
        "st.global.v4.b32 [%d2], {%r8, %r5, %r7, %r4};"
    )
    run(body, given, taken)
    rows = given.reshape(32, 4)
    swapped = rows[:, 2] << np.uint32(16) | rows[:, 2] >> np.uint32(16)
    wanted = np.stack((rows[:, 1], rows[:, 0], swapped, rows[:, 3]), axis=1)
    assert np.array_equal(taken.reshape(32, 4), wanted)


def test_narrow_loads_are_extended() -> None:
    given, taken = np.array([0x80, 0xFF7F], np.uint32), np.zeros(4, np.uint32)
    body = (
        "ld.global.s8 %r1, [%in]; ld.global.u8 %r2, [%in]; ld.global.s16 %r3, [%in+4];"
        "ld.global.b8 %h1, [%in+5];"
        "cvt.u32.u16 %r4, %h1; setp.eq.u32 %p1, %r0, 0; @%p1 st.global.v4.b32 [%out], {%r1, %r2, %r3, %r4};"
    )
    run(body, given, taken)
    assert taken.tolist() == [0xFFFFFF80, 0x80, 0xFFFFFF7F, 0xFF]


def test_atomics_of_all_blocks() -> None:
    given, taken = np.array([7], np.uint64), np.array([0, 5, 0, 0, 40, 0, 9, 0, 0, 0], np.uint32)
    body = (
        "mov.u32 %r1, %ctaid.x; mad.lo.u32 %r2, %r1, 32, %r0;"  # 0 .. 127
        "atom.global.gpu.acq_rel.add.u32 %r3, [%out], %r2;"
        "atom.global.relaxed.gpu.min.s32 %r3, [%out+4], -3; red.global.max.u32 [%out+8], %r2;"
        "red.global.or.b32 [%out+12], %r2; atom.global.and.b32 %r3, [%out+16], 8;"
        "atom.global.exch.b32 %r3, [%out+20], 77; atom.global.cas.b32 %r3, [%out+24], 9, %r2;"
        "cvt.u64.u32 %d1, %r2; atom.global.add.u64 %d2, [%out+32], 4294967296;"
    )
    run(body, given, taken, blocks=4, seed=3)
    assert taken[:6].tolist() == [127 * 64, (1 << 32) - 3, 127, 127, 8, 77]
    assert taken[6] < 128  # of the first thread to come; the others found another value than 9
    assert taken[8:].tolist() == [0, 128]


def test_loops_and_guards() -> None:
    """Steps of the 3n + 1 problem: each thread goes round its own number of times."""
    given, taken = np.arange(1, 33, dtype=np.uint32), np.zeros(32, np.uint32)
    body = PLACE + (
        "ld.global.b32 %r1, [%d1]; mov.b32 %r2, 0;\n"
        "$L_again: setp.eq.u32 %p1, %r1, 1; @%p1 bra $L_done; and.b32 %r3, %r1, 1; setp.eq.u32 %p2, %r3, 0;"
        "@%p2 shr.u32 %r1, %r1, 1; @!%p2 mad.lo.u32 %r1, %r1, 3, 1; add.u32 %r2, %r2, 1; bra.uni $L_again;\n"
        "$L_done: st.global.b32 [%d2], %r2;"
    )
    executed = run(body, given, taken)

    def steps(number: int) -> int:
        return 0 if number == 1 else 1 + steps(number // 2 if number % 2 == 0 else 3 * number + 1)

    assert taken.tolist() == [steps(int(number)) for number in given]
    straight = 3 + 2 + 2 + 2 + 2  # before, the place, the start, the last round, the end with its return
    assert executed == 32 * straight + 8 * int(taken.sum())


def test_parameters_of_several_kinds() -> None:
    text = HEAD + (
        ".visible .entry mixed(\n.param .u64 .ptr .global .align 1 a,\n.param .u32 b,\n.param .f32 c,\n"
        ".param .u16 d\n)\n{\n"
        ".reg .b64 %d<3>; .reg .b32 %r<5>; .reg .b16 %h<2>;\n"
        "ld.param.b64 %d1, [a]; ld.param.b32 %r1, [b]; ld.param.b32 %r2, [c]; ld.param.b16 %h1, [d];\n"
        "cvta.to.global.u64 %d1, %d1; cvt.u32.u16 %r3, %h1; mov.u32 %r4, %nctaid.y;\n"
        "st.global.v4.b32 [%d1], {%r1, %r2, %r3, %r4};\nret;\n}\n"
    )
    taken = np.zeros(4, np.uint32)
    load_all(text)["mixed"].launch(
        (1, 5), (taken.ctypes.data, -2, 1.5, 65537), threads=1, buffers=[buffer(taken)]
    )
    assert taken.tolist() == [(1 << 32) - 2, 0x3FC00000, 1, 5]
