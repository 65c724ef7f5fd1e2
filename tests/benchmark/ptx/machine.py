"""Runs PTX on the processor, exactly and with checks: `load(text)`, then `kernel.launch(...)`.

Needs g++. A kernel's threads run one at a time, in the order of their numbers or, with a seed, in a random
order that changes at every place where threads wait for each other; blocks run one after another. Every
access to memory is checked; the first fault ends the launch with a `PtxError` that names the kernel, the line
of PTX and the source line it was compiled from, the thread and the address.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmark.ptx.syntax import KernelText, Parameter, PtxError, parse
from tests.benchmark.ptx.translator import translate

COMPILER = "g++"
OPTIONS = ("-std=c++17", "-O1", "-w", "-fPIC", "-shared", "-ffp-contract=off", "-fno-strict-aliasing")
POISON = 0xDEADA5A5
"""The 32-bit word that memory never written is filled with, where its reading shall be found."""


class Buffer(NamedTuple):
    """Memory that kernels may touch. `fresh`: words of it that still hold `POISON` must not be read."""

    address: int
    size: int
    fresh: bool = False


@dataclass(frozen=True)
class Checks:
    """What is looked for besides addresses and alignment, which always are.

    `fresh`: see `Buffer`. `unwritten_shared`: shared bytes that are read before they are written.
    `shared_races`: shared bytes that two threads touch, one of them writing, with no barrier in between.
    `global_races`: the same for global bytes, and for two blocks of a launch; atomics excepted.
    """

    fresh: bool = True
    unwritten_shared: bool = True
    shared_races: bool = True
    global_races: bool = True


FAULTS = (
    "",
    "touches global memory outside every buffer",
    "touches global memory at an address that its width does not divide",
    "touches shared memory past its end",
    "touches shared memory at an address that its width does not divide",
    "reads shared memory that nothing wrote",
    "touches shared memory in a race with thread {other}: no barrier lies between",
    "reads global memory that nothing wrote",
    "touches global memory in a race with block {other}: blocks run in any order",
    "touches global memory in a race with thread {other}: no barrier lies between",
    "waits at a barrier that others, which have ended, will never reach",
    "meets other threads that are elsewhere (thread {other})",
    "waits for lanes that never come",
    "traps",
    "divides by zero",
    "has no memory to run in",
)

GLOBAL_FAULTS = (1, 2, 7, 8, 9)

_MORE = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint64)


class _Region(ctypes.Structure):
    _fields_ = (
        ("begin", ctypes.c_uint64),
        ("end", ctypes.c_uint64),
        ("fresh", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    )


class _Job(ctypes.Structure):
    """`struct Job` of machine.hpp."""

    _fields_ = (
        ("grid", ctypes.c_uint32 * 3),
        ("threads", ctypes.c_uint32 * 3),
        ("shared_bytes", ctypes.c_uint32),
        ("buffers", ctypes.c_uint32),
        ("buffer", ctypes.POINTER(_Region)),
        ("parameters", ctypes.c_char_p),
        ("seed", ctypes.c_uint64),
        ("check_shared_unwritten", ctypes.c_uint32),
        ("check_shared_races", ctypes.c_uint32),
        ("check_fresh", ctypes.c_uint32),
        ("check_global_races", ctypes.c_uint32),
        ("poison", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
        ("more_buffers", _MORE),
        ("fault", ctypes.c_uint32),
        ("line", ctypes.c_uint32),
        ("thread", ctypes.c_uint32),
        ("other", ctypes.c_uint32),
        ("block", ctypes.c_uint32 * 3),
        ("bytes", ctypes.c_uint32),
        ("address", ctypes.c_uint64),
        ("instructions", ctypes.c_uint64),
    )


def compiler() -> str | None:
    """Path of the C++ compiler, if there is one."""
    return shutil.which(COMPILER)


@dataclass(frozen=True)
class Kernel:
    """One kernel that can be launched."""

    text: KernelText
    lines: list[str] = field(repr=False)
    run: Callable[[Any], None] = field(repr=False)

    def launch(
        self,
        grid: Sequence[int],
        arguments: Sequence[int | float],
        *,
        threads: int | Sequence[int],
        shared_bytes: int = 0,
        buffers: Sequence[Buffer] = (),
        more_buffers: Callable[[], Sequence[Buffer]] | None = None,
        seed: int = 0,
        checks: Checks | None = None,
    ) -> int:
        """Run all blocks; returns the number of instructions that their threads executed, all together.

        Args:
            grid: one to three numbers of blocks.
            arguments: one for each parameter: an integer (an address, for pointers), or a float.
            threads: of a block, in one to three dimensions.
            shared_bytes: dynamic shared memory, besides arrays of known size.
            buffers: all global memory the kernel may touch.
            more_buffers: asked once for the whole list again, when an address lies in none of them.
            seed: 0 for the order of numbers; else blocks and threads run in a random order.

        Raises:
            PtxError: at the first fault, or when arguments do not fit the parameters.
        """
        checks = checks or Checks()
        sizes = (threads,) if isinstance(threads, int) else tuple(threads)
        job = _Job()
        job.grid[:] = [*grid, 1, 1, 1][:3]
        job.threads[:] = [*sizes, 1, 1, 1][:3]
        total = job.threads[0] * job.threads[1] * job.threads[2]
        if not 0 < total <= 1024 or self.text.threads not in (None, total):
            wanted = self.text.threads or "1 to 1024"
            raise PtxError(f"{self.text.name}: {total} threads in a block, expected {wanted}")
        job.shared_bytes = self.text.static_bytes + shared_bytes
        packed = self._packed(arguments)
        job.parameters = packed
        job.seed = seed
        job.check_shared_unwritten = checks.unwritten_shared
        job.check_shared_races = checks.shared_races
        job.check_fresh = checks.fresh
        job.check_global_races = checks.global_races
        job.poison = POISON
        known = list(buffers)
        kept: list[Any] = []

        def renew(found: Sequence[Buffer]) -> None:
            ordered = sorted({one for one in found if one.size})
            regions = (_Region * len(ordered))(
                *(_Region(a, a + size, fresh, 0) for a, size, fresh in ordered)
            )
            kept.append(regions)
            known[:] = ordered
            job.buffer = ctypes.cast(regions, ctypes.POINTER(_Region))
            job.buffers = len(ordered)

        def more(address: int) -> int:
            if more_buffers is None:
                return 0
            renew(more_buffers())
            return 1

        renew(buffers)
        callback = _MORE(more)
        job.more_buffers = callback
        self.run(ctypes.byref(job))
        if job.fault:
            raise PtxError(self._fault(job, known))
        return int(job.instructions)

    def _packed(self, arguments: Sequence[int | float]) -> bytes:
        parameters = self.text.parameters
        if len(arguments) != len(parameters):
            raise PtxError(f"{self.text.name}: {len(arguments)} arguments, expected {len(parameters)}")
        packed = bytearray(8 * len(parameters) + 8)
        for parameter, argument in zip(parameters, arguments, strict=True):
            size = parameter.bits // 8
            packed[parameter.offset : parameter.offset + size] = _bytes(parameter, argument)
        return bytes(packed)

    def _fault(self, job: Any, buffers: Sequence[Buffer]) -> str:
        what = FAULTS[job.fault].format(other=job.other)
        if 1 <= job.fault <= 9:
            what += (
                f"; {job.bytes} bytes at {hex(job.address) if job.fault in GLOBAL_FAULTS else job.address}"
            )
        if job.fault in GLOBAL_FAULTS:
            what += f" ({_nearest(job.address, buffers)})"
        line = self.lines[job.line - 1].strip() if job.line else ""
        source = self.text.sources.get(job.line, "")
        where = f"{self.text.name}, line {job.line}" + (f" (from {source})" if source else "")
        block = ", ".join(str(index) for index in job.block)
        return f"{where}, block ({block}), thread {job.thread} {what}: {line}"


def _bytes(parameter: Parameter, argument: int | float) -> bytes:
    if isinstance(argument, float):
        if parameter.bits not in (32, 64):
            raise PtxError(f"{parameter.name}: a float for a parameter of {parameter.bits} bits")
        return struct.pack("<f" if parameter.bits == 32 else "<d", argument)
    return (argument % (1 << parameter.bits)).to_bytes(parameter.bits // 8, "little")


def _nearest(address: int, buffers: Sequence[Buffer]) -> str:
    def distance(buffer: Buffer) -> int:
        return max(buffer.address - address, address - (buffer.address + buffer.size - 1), 0)

    if not buffers:
        return "there are no buffers"
    near = min(buffers, key=distance)
    place = address - near.address
    return f"byte {place} of the nearest buffer, {hex(near.address)} with {near.size} bytes"


@functools.lru_cache(maxsize=256)
def load_all(text: str) -> dict[str, Kernel]:
    """The kernels of a module by name.

    Raises:
        PtxError: when something in it is not understood (with its line), or there is no C++ compiler.
    """
    kernels = parse(text)
    source = translate(kernels)
    found = compiler()
    if found is None:
        raise PtxError(f"PTX is run by way of C++, and there is no {COMPILER}")
    with tempfile.TemporaryDirectory(prefix="ptx-") as folder:
        path = Path(folder)
        (path / "kernels.cpp").write_text(source, encoding="utf-8")
        command = [found, *OPTIONS, "kernels.cpp", "-o", "kernels.so"]
        done = subprocess.run(command, cwd=path, capture_output=True, text=True)
        if done.returncode:
            raise PtxError(f"the C++ of a kernel does not compile: {done.stderr[:2000]}")
        library = ctypes.CDLL(str(path / "kernels.so"))
    lines = text.splitlines()
    loaded = {}
    for kernel in kernels:
        run = library[f"run_{kernel.name}"]
        run.restype, run.argtypes = None, (ctypes.c_void_p,)
        loaded[kernel.name] = Kernel(kernel, lines, run)
    return loaded


def load(text: str) -> Kernel:
    """The only kernel of a module; Raises as `load_all`."""
    kernels = load_all(text)
    if len(kernels) != 1:
        raise PtxError(f"{len(kernels)} kernels, expected 1: {', '.join(kernels)}")
    return next(iter(kernels.values()))
