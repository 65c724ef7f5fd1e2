"""PTX text as kernels: parameters, shared memory, registers, and instructions with their lines.

Only what a compiler for one kernel writes: `.entry` functions of one module, with scopes in braces (inline
assembly declares registers in them). What has no meaning here (`.func`, module variables, local memory) is
refused. Source: NVIDIA, Parallel Thread Execution ISA, version 8.7, "Syntax" (comments, identifiers,
constants), "State Spaces, Types, and Variables", "Directives".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

WIDTHS = {"pred": 1} | {f"{kind}{bits}": bits for kind in "busf" for bits in (8, 16, 32, 64)}


class PtxError(Exception):
    """PTX that is not understood, or that did something it must not."""


@dataclass(frozen=True)
class Instruction:
    """One instruction; registers carry names that are unique in the kernel, without `%`."""

    line: int
    text: str
    guard: str
    negated: bool
    opcode: str
    operands: tuple[str, ...]

    def refuse(self, why: str) -> PtxError:
        return PtxError(f"line {self.line}: {why}: {self.text}")


@dataclass(frozen=True)
class Label:
    name: str


@dataclass(frozen=True)
class Parameter:
    name: str
    bits: int
    offset: int


@dataclass
class KernelText:
    """A kernel as parsed. `shared` maps names of shared arrays to offsets; `threads` is `.reqntid`."""

    name: str
    parameters: list[Parameter] = field(default_factory=list)
    threads: int | None = None
    registers: dict[str, str] = field(default_factory=dict)
    body: list[Instruction | Label] = field(default_factory=list)
    shared: dict[str, int] = field(default_factory=dict)
    static_bytes: int = 0
    sources: dict[int, str] = field(default_factory=dict)
    """Line of the PTX -> file and line it was compiled from, where `.loc` says so."""


def without_comments(text: str) -> str:
    """The same lines, with blanks for comments."""

    def blank(found: re.Match[str]) -> str:
        piece = found.group()
        return piece if piece.startswith('"') else re.sub(r"[^\n]", " ", piece)

    return re.sub(r'"[^"\n]*"|//[^\n]*|/\*.*?\*/', blank, text, flags=re.DOTALL)


def parse(text: str) -> list[KernelText]:
    """The kernels of a module.

    Raises:
        PtxError: names the line of what is not understood.
    """
    text = without_comments(text)
    files = dict(re.findall(r'^\s*\.file\s+(\d+)\s+"([^"]*)"', text, re.MULTILINE))
    kernels = []
    shared: dict[str, int] = {}
    static = 0
    for line, head, body_line, body in _top_level(text):
        if declared := re.fullmatch(
            r"(?:\.extern |\.visible |\.weak )?\.shared (?:\.align \d+ )?\.b8 ([\w$]+)\[(\d*)\]", head
        ):
            shared[declared[1]] = static
            static += -(-int(declared[2] or 0) // 16) * 16
        elif entry := re.fullmatch(r"(?:\.visible |\.weak )?\.entry ([\w$]+) ?\((.*?)\) ?(.*)", head):
            kernel = KernelText(entry[1], _parameters(entry[2], line), shared=shared)
            if sizes := re.search(r"\.reqntid (\d+)(?: ?, ?(\d+))?(?: ?, ?(\d+))?", entry[3]):
                kernel.threads = int(sizes[1]) * int(sizes[2] or 1) * int(sizes[3] or 1)
            _Body(kernel, files).read(body_line, body)
            kernels.append(kernel)
        elif not re.match(r"\.(version|target|address_size|file|section)\b", head):
            raise PtxError(f"line {line}: not understood: {head[:100]}")
    # Dynamic shared memory begins behind all arrays of known size.
    for kernel in kernels:
        kernel.static_bytes = static
    for name, start in shared.items():
        if re.search(rf"\.extern\s+\.shared[^;]*\b{re.escape(name)}\[\]", text):
            shared[name] = static
        else:
            shared[name] = start
    return kernels


def _top_level(text: str) -> Iterator[tuple[int, str, int, str]]:
    """(line, statement with single blanks, line of its body, body in braces) of a module."""
    place, line = 0, 1
    pattern = re.compile(r"\s*(\.version|\.target|\.address_size|\.file|\.loc)[^\n]*\n|[^;{}]*[;{]")
    while place < len(text):
        if not text[place:].strip():
            return
        found = pattern.match(text, place)
        if not found:
            raise PtxError(f"line {line}: not understood: {text[place : place + 100].strip()}")
        piece = found.group()
        start = line + piece[: len(piece) - len(piece.lstrip())].count("\n")
        line += piece.count("\n")
        place = found.end()
        head = " ".join(piece.rstrip("{;").split())
        body, body_line = "", line
        if piece.endswith("{"):
            depth, first = 1, place
            while depth:
                if place == len(text):
                    raise PtxError(f"line {body_line}: no brace closes this one")
                depth += {"{": 1, "}": -1}.get(text[place], 0)
                place += 1
            body = text[first : place - 1]
            line += body.count("\n")
        if head:
            yield start, head, body_line, body


def _parameters(text: str, line: int) -> list[Parameter]:
    parameters: list[Parameter] = []
    offset = 0
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = re.fullmatch(r"\.param \.(\w+)(?: \.ptr(?: \.\w+)?(?: \.align \d+)?)? ([\w$]+)", part)
        if not found or found[1] not in WIDTHS or found[1] == "pred":
            raise PtxError(f"line {line}: parameter not understood: {part}")
        size = WIDTHS[found[1]] // 8
        offset = -(-offset // size) * size
        parameters.append(Parameter(found[2], 8 * size, offset))
        offset += size
    return parameters


class _Body:
    """Reads a kernel's body; `scopes` maps names of registers to unique ones, innermost last."""

    def __init__(self, kernel: KernelText, files: dict[str, str]) -> None:
        self.kernel, self.files = kernel, files
        self.scopes: list[dict[str, str]] = [{}]
        self.ranges: dict[str, str] = {}
        self.opened = 0
        self.source = ""

    def read(self, line: int, body: str) -> None:
        place = 0
        while place < len(body):
            blank = re.compile(r"\s*").match(body, place)
            assert blank
            line += blank.group().count("\n")
            place = blank.end()
            if place == len(body):
                break
            if body[place] == "{":
                self.scopes.append({})
                self.opened += 1
                place += 1
            elif body[place] == "}":
                self.scopes.pop()
                place += 1
            elif label := re.compile(r"([\w$]+)\s*:(?!:)").match(body, place):
                self.kernel.body.append(Label(label[1]))
                place = label.end()
            elif note := re.compile(r"\.loc\s+(\d+)\s+(\d+)[^\n]*").match(body, place):
                name = self.files.get(note[1], "?").rsplit("/", 1)[-1]
                self.source = f"{name}:{note[2]}"
                place = note.end()
            else:
                end = body.find(";", place)
                if end < 0:
                    raise PtxError(f"line {line}: no semicolon ends this: {body[place:].strip()[:80]}")
                piece = body[place:end]
                self.statement(line, " ".join(piece.split()))
                line += piece.count("\n")
                place = end + 1

    def statement(self, line: int, text: str) -> None:
        if declared := re.fullmatch(r"\.reg \.(\w+) (.*)", text):
            self.declare(line, declared[1], declared[2])
        elif text.startswith(".pragma"):
            return
        else:
            found = re.fullmatch(r"(?:@(!?)([%\w$]+) )?([a-z][\w.:]*)(?: (.*))?", text)
            if not found:
                raise PtxError(f"line {line}: not understood: {text}")
            names = re.sub(r"(?<![\w.])%?[A-Za-z_$][\w$]*(?:\.[xyzw])?", self.unique, found[4] or "")
            guard = self.unique_name(found[2]) if found[2] else ""
            if guard and self.kernel.registers.get(guard) != "pred":
                raise PtxError(f"line {line}: the guard is no predicate: {text}")
            self.kernel.sources[line] = self.source
            self.kernel.body.append(
                Instruction(line, text, guard, bool(found[1]), found[3], tuple(_split(names)))
            )

    def declare(self, line: int, kind: str, names: str) -> None:
        if kind not in WIDTHS:
            raise PtxError(f"line {line}: registers of type .{kind} are not understood")
        for name in (name.strip() for name in names.split(",")):
            many = re.fullmatch(r"(%?[\w$]+)<(\d+)>", name)
            every = [f"{many[1]}{index}" for index in range(int(many[2]))] if many else [name]
            for one in every:
                own = "r_" + one.lstrip("%").replace("$", "_d_")
                if len(self.scopes) > 1:
                    own += f"_in_{self.opened}"
                self.scopes[-1][one] = own
                self.kernel.registers[own] = kind

    def unique(self, found: re.Match[str]) -> str:
        return self.unique_name(found.group())

    def unique_name(self, name: str) -> str:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        return name


def _split(operands: str) -> Iterator[str]:
    """Operands at the commas that lie outside all brackets."""
    depth, first = 0, 0
    for place, character in enumerate(operands):
        depth += (character in "[{(") - (character in "]})")
        if character == "," and not depth:
            yield operands[first:place].strip()
            first = place + 1
    if operands[first:].strip():
        yield operands[first:].strip()
