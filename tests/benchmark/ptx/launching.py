"""Lets Triton's own JIT launch kernels on the PTX machine, with tensors of the CPU.

    with on_the_machine() as machine:
        kernel[grid](tensor, 3, BLOCK=128)

Triton asks its active driver for the target and for a launcher. The driver here says that the target is a
CUDA device of compute capability 9.0, so that `JITFunction.run` specialises arguments, compiles, caches and
launches as it would on that device; only the launcher is another one: it runs the PTX. Nothing here knows
any kernel. Source: triton/runtime/jit.py and triton/backends/nvidia/driver.py of Triton 3.6.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from unittest import mock

import torch

from tests.benchmark.ptx.machine import POISON, Buffer, Checks, load_all
from tests.benchmark.ptx.syntax import PtxError

CAPABILITY, WARP = 90, 32
SHARED_LIMIT = 227 * 1024  # bytes of a block on compute capability 9.0
VECTOR = 16


class Launched(NamedTuple):
    """One launch, as it was specialised."""

    name: str
    grid: tuple[int, int, int]
    warps: int
    shared: int
    ptx: str
    instructions: int
    """Executed by all threads together."""


@dataclass
class Machine:
    """How launches run, and what was launched.

    `slack`: buffers are taken as if they began and ended at multiples of it, as allocators of CUDA devices
    round them (a vector may then reach past the end of a tensor, but not into another allocation).
    """

    checks: Checks
    seed: int
    slack: int
    launches: list[Launched] = field(default_factory=list)
    fresh: dict[int, int] = field(default_factory=dict)

    def buffers(self) -> list[Buffer]:
        """The memory of all tensors that are alive."""
        found: dict[int, int] = {}
        for thing in gc.get_objects():
            if issubclass(type(thing), torch.Tensor) and thing.device.type == "cpu":
                add_storage(found, thing)
        return self.rounded(found)

    def rounded(self, found: dict[int, int]) -> list[Buffer]:
        out = []
        for address, size in found.items():
            begin = address // self.slack * self.slack
            end = -(-(address + size) // self.slack) * self.slack
            out.append(Buffer(begin, end - begin, self.fresh.get(address) == size))
        return out


def add_storage(found: dict[int, int], tensor: torch.Tensor) -> None:
    storage = tensor.untyped_storage()
    if storage.nbytes():
        found[storage.data_ptr()] = storage.nbytes()


class _Launcher:
    """What a compiled kernel is run by; made by Triton, called as its own launcher for CUDA is."""

    def __init__(self, driver: _Driver, source: Any, metadata: Any) -> None:
        self.driver, self.metadata = driver, metadata
        constants = {path for path in source.constants if len(path) == 1}
        self.kinds = [
            None if (index,) in constants or kind == "constexpr" else kind
            for index, kind in enumerate(source.signature.values())
        ]
        if metadata.global_scratch_size or metadata.profile_scratch_size or metadata.num_ctas != 1:
            raise PtxError(f"{metadata.name}: kernels with scratch memory or clusters are not run here")

    def __call__(
        self, x: int, y: int, z: int, stream: int, function: str, packed: Any, about: Any,
        enter: Any, leave: Any, *arguments: Any,
    ) -> None:  # fmt: skip
        machine = self.driver.machine
        found: dict[int, int] = {}
        values: list[int | float] = []
        for kind, argument in zip(self.kinds, arguments, strict=True):
            if kind is None:
                continue
            if isinstance(argument, torch.Tensor):
                add_storage(found, argument)
                values.append(argument.data_ptr())
            else:
                values.append(float(argument) if kind.startswith("fp") else int(argument))
        kernel = load_all(function)[self.metadata.name]
        # Two more pointers, to scratch memory that is not used, end every kernel's parameters.
        values += [0] * (len(kernel.text.parameters) - len(values))
        warps, shared = self.metadata.num_warps, self.metadata.shared
        executed = kernel.launch(
            (x, y, z),
            values,
            threads=warps * WARP,
            shared_bytes=shared,
            buffers=machine.rounded(found),
            more_buffers=machine.buffers,
            seed=machine.seed,
            checks=machine.checks,
        )
        machine.launches.append(Launched(self.metadata.name, (x, y, z), warps, shared, function, executed))


class _Tools:
    """What Triton asks a device for before it loads a kernel."""

    def get_device_properties(self, device: int) -> dict[str, int]:
        return {"max_shared_mem": SHARED_LIMIT, "multiprocessor_count": 132, "warpSize": WARP}


class _Driver:
    """Stands where Triton's driver of CUDA does."""

    machine: Machine  # of the launches to come

    def __init__(self) -> None:
        self.utils = _Tools()

    def launcher_cls(self, source: Any, metadata: Any) -> _Launcher:
        return _Launcher(self, source, metadata)

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", CAPABILITY, WARP)

    def get_current_device(self) -> str:
        # Triton keeps its compiled kernels by device: these are never those of a true one.
        return "ptx machine"

    def get_current_stream(self, device: str) -> int:
        return 0

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cpu")


_DRIVER = _Driver()


def _poisoned(machine: Machine, make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """`torch.empty` and its kin with memory that was never written marked as such."""

    def made(*arguments: Any, **options: Any) -> torch.Tensor:
        tensor = make(*arguments, **options)
        if tensor.device.type == "cpu" and tensor.untyped_storage().nbytes():
            storage = tensor.untyped_storage()
            whole = storage.nbytes() // 4
            if whole:
                words = torch.tensor([], dtype=torch.int32, device="cpu").set_(storage, 0, (whole,))
                words.fill_(POISON - (1 << 32))
                machine.fresh[storage.data_ptr()] = storage.nbytes()
        return tensor

    return made


@contextmanager
def on_the_machine(
    *, checks: Checks | None = None, seed: int = 0, slack: int = 1, as_cuda: bool = True
) -> Iterator[Machine]:
    """While it lasts, Triton launches kernels on the PTX machine.

    Memory of `torch.empty`, `torch.empty_like` and `Tensor.new_empty` is filled with `POISON`, so that what a
    device would have left there is not zero by luck.

    Args:
        checks, seed: see `machine.Kernel.launch`.
        slack: see `Machine`.
        as_cuda: tensors say that they are on a CUDA device (`is_cuda`), so that a launcher that asks takes
            its settings for one. Their `device` still is the CPU.

    Raises:
        PtxError: from a launch, see `machine.Kernel.launch`.
    """
    from triton.compiler.compiler import CompiledKernel
    from triton.runtime.driver import driver

    machine = Machine(checks or Checks(), seed, slack)
    _DRIVER.machine = machine

    def init_handles(kernel: Any) -> None:
        if kernel.module is None:
            kernel._run = _DRIVER.launcher_cls(kernel.src, kernel.metadata)
            kernel.module, kernel.function = kernel.name, kernel.asm["ptx"]

    with ExitStack() as replaced:
        replaced.enter_context(mock.patch.object(CompiledKernel, "_init_handles", init_handles))
        replaced.enter_context(mock.patch.object(driver, "_active", _DRIVER))
        for place, name in ((torch, "empty"), (torch, "empty_like"), (torch.Tensor, "new_empty")):
            made = _poisoned(machine, getattr(place, name))
            replaced.enter_context(mock.patch.object(place, name, made))
        if as_cuda:
            replaced.enter_context(mock.patch.object(torch.Tensor, "is_cuda", True))
        yield machine
