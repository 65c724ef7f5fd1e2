"""Each check of the PTX machine finds what it is for, and says where."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from tests.benchmark.ptx.machine import POISON, Checks, Kernel, load, load_all
from tests.benchmark.ptx.snippets import HEAD, buffer, kernel, needs_compiler
from tests.benchmark.ptx.syntax import PtxError

pytestmark = needs_compiler

SHARED = "mad.lo.u32 %r1, %r0, 4, {name}_array;"
BODIES = {
    "fine": "ld.global.b32 %r1, [%in]; st.global.b32 [%out], %r1;",
    "behind": "ld.global.b32 %r1, [%in+128];",
    "before": "st.global.b32 [%out+-4], %r0;",
    "across": "ld.global.v4.b32 {%r1, %r2, %r3, %r4}, [%in+112]; ld.global.v2.b32 {%r1, %r2}, [%in+124];",
    "vector": "ld.global.v4.b32 {%r1, %r2, %r3, %r4}, [%in+8];",
    "odd": "ld.global.b16 %h1, [%in+1];",
    "masked": "setp.gt.u32 %p1, %r0, 99; @%p1 ld.global.b32 %r1, [%in+4096];",
    "shared_end": "st.shared.b32 [{name}_array+128], %r0;",
    "shared_odd": "st.shared.v2.b32 [{name}_array+4], {%r0, %r0};",
    "unwritten": SHARED + "ld.shared.b32 %r2, [%r1];",
    "race": SHARED + "st.shared.b32 [%r1], %r0; ld.shared.b32 %r2, [{name}_array];",
    "overwritten": "st.shared.b32 [{name}_array], %r0;",
    "equal": "st.shared.b32 [{name}_array], 5;",
    "warp_sync": SHARED + "st.shared.b32 [%r1], %r0; bar.warp.sync -1; ld.shared.b32 %r2, [{name}_array];",
    "ended": "setp.eq.u32 %p1, %r0, 3; @%p1 ret; bar.sync 0;",
    "diverged": "setp.eq.u32 %p1, %r0, 3; @%p1 bar.sync 0;\n@!%p1 bar.sync 0;",
    "not_all": "setp.eq.u32 %p1, %r0, 3; @!%p1 shfl.sync.bfly.b32 %r1, %r0, 1, 31, -1; bar.sync 0;",
    "foreign_mask": "shfl.sync.bfly.b32 %r1, %r0, 1, 31, 1;",
    "stuck": "setp.lt.u32 %p1, %r0, 9; @%p1 bar.warp.sync -1;\n@!%p1 bar.warp.sync -1;",
    "blocks_write": "mov.u32 %r1, %ctaid.x; st.global.b32 [%out], %r1;",
    "block_reads_back": (
        "mov.u32 %r1, %ctaid.x; setp.eq.u32 %p1, %r1, 0; @%p1 st.global.b32 [%out], 7;"
        "@!%p1 ld.global.b32 %r1, [%out];"
    ),
    "block_overwrites": (
        "mov.u32 %r1, %ctaid.x; setp.eq.u32 %p1, %r1, 1; @%p1 st.global.b32 [%out], 7;"
        "@!%p1 ld.global.b32 %r1, [%out];"
    ),
    "plain_read": "atom.global.add.u32 %r1, [%out], 1; bar.sync 0; ld.global.b32 %r2, [%out];",
    "ordered_read": "atom.global.add.u32 %r1, [%out], 1; ld.relaxed.gpu.global.b32 %r2, [%out];",
    "blocks_agree": "st.global.b32 [%out], 7;",
    "thread_reads_back": (
        "setp.eq.u32 %p1, %r0, 0; @%p1 st.global.b32 [%out], 7; @!%p1 ld.global.b32 %r1, [%out];"
    ),
    "thread_overwrites": (
        "setp.eq.u32 %p1, %r0, 9; @%p1 st.global.b32 [%out], 7; @!%p1 ld.global.b32 %r1, [%out];"
    ),
    "thread_changes": "st.global.b32 [%out], %r0;",
    "with_barrier": (
        "setp.eq.u32 %p1, %r0, 9; @%p1 st.global.b32 [%out], 7; bar.sync 0; ld.global.b32 %r1, [%out];"
    ),
    "trap": "trap;",
    "zero": "div.u32 %r1, %r0, 0;",
}


@cache
def kernels() -> dict[str, Kernel]:
    """All bodies in one module, which is compiled once."""
    texts = (
        kernel(body.replace("{name}", name), name, shared=128).replace("snippet", name)
        for name, body in BODIES.items()
    )
    return load_all(HEAD + "".join(texts))


def launch(name: str, *, fresh: bool = False, blocks: int = 1, checks: Checks | None = None) -> None:
    given, taken = np.full(32, POISON, np.uint32), np.zeros(32, np.uint32)
    loaded = kernels()[name]
    loaded.launch(
        (blocks,),
        (given.ctypes.data, taken.ctypes.data),
        threads=32,
        buffers=(buffer(given, fresh), buffer(taken)),
        checks=checks,
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("behind", r"outside every buffer; 4 bytes at 0x\w+ \(byte 128 of the nearest buffer"),
        ("before", r"outside every buffer; 4 bytes at 0x\w+ \(byte -4 of the nearest buffer"),
        ("across", r"that its width does not divide; 8 bytes"),
        (
            "vector",
            r"global memory at an address that its width does not divide; 16 bytes at 0x\w+ .*byte 8 of",
        ),
        ("odd", r"global memory at an address that its width does not divide; 2 bytes"),
        ("shared_odd", r"shared memory at an address that its width does not divide; 8 bytes"),
        ("unwritten", r"thread 0 reads shared memory that nothing wrote"),
        ("race", r"race with thread \d+: no barrier"),
        ("overwritten", r"thread 1 touches shared memory in a race with thread 0"),
        ("ended", r"waits at a barrier that others, which have ended"),
        ("diverged", r"meets other threads that are elsewhere"),
        ("not_all", r"meets other threads that are elsewhere \(thread 3\)"),
        ("foreign_mask", r"thread 0 meets other threads that are elsewhere \(thread 1\)"),
        ("stuck", r"waits for lanes that never come"),
        ("trap", r"block \(0, 0, 0\), thread 0 traps: trap"),
        ("zero", r"divides by zero: div.u32 %r1, %r0, 0"),
    ],
)
def test_faults_are_found(name: str, message: str) -> None:
    with pytest.raises(PtxError, match=f"{name}, line .*{message}"):
        launch(name)


@pytest.mark.parametrize("name", ["fine", "masked", "equal", "warp_sync"])
def test_what_is_allowed(name: str) -> None:
    launch(name)


def test_the_end_of_shared_memory() -> None:
    # Arrays of a module lie side by side: the last one ends where shared memory does.
    last = load(HEAD + kernel("st.shared.b32 [snippet_array+128], %r0;", shared=128))
    with pytest.raises(PtxError, match="shared memory past its end; 4 bytes at 128"):
        last.launch((1,), (0, 0), threads=32)


def test_memory_that_nothing_wrote() -> None:
    launch("fine")
    with pytest.raises(PtxError, match="reads global memory that nothing wrote; 4 bytes at 0x"):
        launch("fine", fresh=True)
    launch("fine", fresh=True, checks=Checks(fresh=False))


@pytest.mark.parametrize(
    ("name", "races"),
    [
        ("blocks_write", True),
        ("block_reads_back", True),
        ("block_overwrites", True),
        ("plain_read", True),
        ("blocks_agree", False),
        ("ordered_read", False),
        ("fine", False),
    ],
)
def test_races_of_blocks(name: str, races: bool) -> None:
    if not races:
        launch(name, blocks=2)
        return
    with pytest.raises(
        PtxError, match=r"block \([01], 0, 0\), thread \d+ touches global .* race with block [01]"
    ):
        launch(name, blocks=2)
    launch(name, blocks=2, checks=Checks(global_races=False))


@pytest.mark.parametrize("name", ["thread_reads_back", "thread_overwrites", "thread_changes"])
def test_races_of_threads_in_global_memory(name: str) -> None:
    with pytest.raises(PtxError, match=r"global memory in a race with thread \d+: no barrier"):
        launch(name)
    launch(name, checks=Checks(global_races=False))
    launch("with_barrier")


def test_checks_that_are_switched_off() -> None:
    off = Checks(unwritten_shared=False, shared_races=False)
    for name in ("unwritten", "race", "overwritten"):
        launch(name, checks=off)


def test_more_buffers_are_asked_for_once() -> None:
    given, taken = np.zeros(64, np.uint32), np.zeros(32, np.uint32)
    asked = []

    def more() -> list[object]:
        asked.append(1)
        return [buffer(given), buffer(taken)]

    kernels()["behind"].launch(
        (2,),
        (given.ctypes.data, taken.ctypes.data),
        threads=32,
        buffers=[buffer(taken)],
        more_buffers=more,  # type: ignore[arg-type]
    )
    assert asked == [1]


def test_what_does_not_fit() -> None:
    one = kernels()["fine"]
    with pytest.raises(PtxError, match="1 arguments, expected 2"):
        one.launch((1,), (0,), threads=32)
    with pytest.raises(PtxError, match="64 threads in a block, expected 32"):
        one.launch((1,), (0, 0), threads=64)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("frobnicate.b32 %r1, %r2;", "unknown instruction: frobnicate"),
        ("add.sat.s32 %r1, %r2, %r3;", "unknown instruction: add.sat.s32"),
        ("add.u32 %r1, %r2, %r99;", "operand not understood: %r99"),
        ("add.u64 %d1, %d2, %r3;", "r_r3 is narrower than u64"),
        ("mov.u32 %r1, %clock;", "operand not understood: %clock"),
        ("bra nowhere;", "no such label"),
        ("bar.sync 1, 64;", "only the barrier 0 of all threads"),
        ("ld.param.b64 %d1, [other];", "no such parameter"),
        (".local .b8 spilled[16];", r"not understood: .local"),
        ("mov.u32 %r1, 5", "not understood|no semicolon"),
    ],
)
def test_what_is_not_understood_is_refused(body: str, message: str) -> None:
    with pytest.raises(PtxError, match=f"line \\d+: .*({message})"):
        load(HEAD + kernel(body))
