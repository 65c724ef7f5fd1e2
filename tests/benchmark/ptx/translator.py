"""PTX as one C++ source: a function for each kernel, a statement for each instruction, which also counts it.

Registers are local variables, labels are labels; `machine.hpp` and `numbers.hpp` hold what the
statements call. The source exports `run_<kernel>(Job*)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.benchmark.ptx.instructions import statement
from tests.benchmark.ptx.meetings import label
from tests.benchmark.ptx.syntax import WIDTHS, KernelText, Label

SUPPORT = tuple(
    Path(__file__).with_name(name) for name in ("machine.hpp", "memory.hpp", "numbers.hpp", "grid.hpp")
)


def translate(kernels: Sequence[KernelText]) -> str:
    """The C++ source of the kernels of a module.

    Raises:
        PtxError: names the line of an instruction that is not understood.
    """
    support = (file.read_text(encoding="utf-8") for file in SUPPORT)
    return "".join((*support, "\nstatic u64 executed;\n", *map(_function, kernels)))


def _function(kernel: KernelText) -> str:
    labels = {part.name for part in kernel.body if isinstance(part, Label)}
    lines = []
    for part in kernel.body:
        if isinstance(part, Label):
            lines.append(f"{label(part.name)}: __attribute__((unused));")
            continue
        if part.opcode.startswith("bra") and part.operands[0] not in labels:
            raise part.refuse("no such label")
        lines.append(f"    ++executed; {statement(kernel, part)}")
    declared = "".join(
        f"    {'bool' if kind == 'pred' else f'u{WIDTHS[kind]}'} {name} = 0;\n"
        for name, kind in kernel.registers.items()
    )
    body = "\n".join(lines)
    return (
        f"\nstatic void body_{kernel.name}(Thread& t) {{\n    (void)t;\n{declared}{body}\n}}\n"
        f'extern "C" void run_{kernel.name}(Job* job) {{\n'
        f"    executed = 0; run_grid(job, body_{kernel.name}); job->instructions = executed;\n}}\n"
    )
