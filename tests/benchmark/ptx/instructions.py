"""Each instruction of PTX as a statement of C++.

A form is a regular expression of the whole opcode; what no form matches is refused, so that nothing is ever
guessed. Registers are unsigned integers of their width; forms read them as what the opcode says. Source:
NVIDIA, Parallel Thread Execution ISA 8.7, "Instructions": one section for each family below.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from tests.benchmark.ptx.syntax import WIDTHS, Instruction, KernelText

SPECIAL = {
    f"%{name}.{axis}": f"{place}[{index}]"
    for name, place in {
        "tid": "t.tid",
        "ntid": "block.job->threads",
        "ctaid": "block.ctaid",
        "nctaid": "block.job->grid",
    }.items()
    for index, axis in enumerate("xyz")
} | {"%laneid": "t.lane", "%warpid": "(t.index / 32)", "%nwarpid": "((block.threads + 31) / 32)"}


class Operands:
    """Reads and writes the operands of one instruction."""

    def __init__(self, kernel: KernelText, instruction: Instruction) -> None:
        self.kernel, self.of = kernel, instruction
        self.names = instruction.operands
        self.line = instruction.line

    def count(self, *allowed: int) -> None:
        if len(self.names) not in allowed:
            raise self.of.refuse(f"{len(self.names)} operands are not understood")

    def register(self, name: str) -> str:
        """Type of a register: b32 and so on."""
        if name not in self.kernel.registers:
            raise self.of.refuse(f"{name} is no register")
        return self.kernel.registers[name]

    def value(self, name: str, kind: str) -> str:
        """An operand as a C++ expression of type `kind` (s32, u64, f32, pred; b32 is u32)."""
        bits = WIDTHS[kind]
        unsigned = f"u{bits}"
        if name in self.kernel.registers:
            raw = name
            if kind == "pred" or self.kernel.registers[name] == "pred":
                if kind != self.kernel.registers[name]:
                    raise self.of.refuse("predicates and numbers do not mix")
                return raw
            if WIDTHS[self.kernel.registers[name]] < bits:
                raise self.of.refuse(f"{name} is narrower than {kind}")
        elif name in SPECIAL:
            raw = SPECIAL[name]
        elif name in self.kernel.shared:
            raw = f"{self.kernel.shared[name]}u"
        elif number := re.fullmatch(r"(-?)(0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)U?", name):
            digits = number[2]
            if re.fullmatch(r"0\d+", digits):
                digits = "0o" + digits[1:]
            size = int(digits, 0)
            if kind == "pred":
                return "true" if size else "false"
            if kind[0] == "f":
                raise self.of.refuse("an integer where a float is wanted")
            raw = f"{(-size if number[1] else size) % (1 << 64)}ull"
        elif real := re.fullmatch(r"0([fFdD])([0-9a-fA-F]+)", name):
            width = 32 if real[1] in "fF" else 64
            if width != bits:
                raise self.of.refuse(f"a constant of {width} bits where {kind} is wanted")
            raw = f"0x{real[2]}ull"
        else:
            raise self.of.refuse(f"operand not understood: {name}")
        if kind[0] == "f":
            if bits not in (32, 64):
                raise self.of.refuse(f"{kind} is not understood")
            return f"real({unsigned}({raw}))"
        return f"{kind if kind[0] == 's' else unsigned}({raw})"

    def read(self, index: int, kind: str) -> str:
        return self.value(self.names[index], kind)

    def store(self, name: str, expression: str, kind: str) -> str:
        """A statement that sets a register to an expression of type `kind`, extended as `kind` says."""
        if name == "_":
            return f"(void)({expression});"
        target = self.register(name)
        if (kind == "pred") != (target == "pred"):
            raise self.of.refuse("predicates and numbers do not mix")
        if kind == "pred":
            return f"{name} = {expression};"
        if WIDTHS[target] < WIDTHS[kind]:
            raise self.of.refuse(f"{name} is narrower than {kind}")
        if kind[0] == "f":
            return f"{name} = pattern(f{WIDTHS[kind]}({expression}));"
        cast = kind if kind[0] == "s" else f"u{WIDTHS[kind]}"
        return f"{name} = {cast}({expression});"

    def write(self, expression: str, kind: str, index: int = 0) -> str:
        return self.store(self.names[index], expression, kind)

    def pair(self, first: str, first_kind: str, second: str) -> str:
        """Writes `d|p`: d of a kind, and the predicate p, if it is there."""
        names = [name.strip() for name in self.names[0].split("|")]
        out = self.store(names[0], first, first_kind)
        return out + (" " + self.store(names[1], second, "pred") if len(names) > 1 else "")

    def vector(self, index: int) -> list[str]:
        """Names in braces, or the single one."""
        return [name.strip() for name in self.names[index].strip("{} ").split(",")]

    def address(self, index: int) -> str:
        found = re.fullmatch(r"\[ ?(.+?) ?(?:\+ ?(-?(?:0x)?[0-9a-fA-F]+) ?)?\]", self.names[index])
        if not found:
            raise self.of.refuse(f"address not understood: {self.names[index]}")
        base, plus = found[1], int(found[2] or "0", 0) % (1 << 64)
        wide = WIDTHS[self.kernel.registers[base]] if base in self.kernel.registers else 64
        if wide == 32:  # a shared address
            return f"u64(u32({self.value(base, 'u32')} + u32({plus}ull)))"
        return f"({self.value(base, 'u64')} + {plus}ull)"


Form = Callable[[Operands, re.Match[str]], str]


class _Entry(NamedTuple):
    opcode: re.Pattern[str]
    form: Form


_FORMS: list[_Entry] = []


def form(opcode: str) -> Callable[[Form], Form]:
    """Registers the form of all opcodes that match."""

    def keep(function: Form) -> Form:
        _FORMS.append(_Entry(re.compile(opcode), function))
        return function

    return keep


def statement(kernel: KernelText, instruction: Instruction) -> str:
    """The C++ of one instruction, with its guard.

    Raises:
        PtxError: when it is not understood.
    """
    from tests.benchmark.ptx import arithmetic, meetings, memory, reals  # noqa: F401  (they register forms)

    for entry in _FORMS:
        if found := entry.opcode.fullmatch(instruction.opcode):
            done = entry.form(Operands(kernel, instruction), found)
            if instruction.guard:
                condition = f"!{instruction.guard}" if instruction.negated else instruction.guard
                return f"if ({condition}) {{ {done} }}"
            return f"{{ {done} }}"
    raise instruction.refuse("unknown instruction")
