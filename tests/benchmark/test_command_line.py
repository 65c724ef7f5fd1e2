"""What all commands share: streams that cannot take what is printed, and the exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
from benchmark.command_line import run_command
from benchmark.errors import InputError, UsageError
import sys

def main(arguments):
    print("höhe \\N{CAT FACE} \\ud800")
    if arguments[0] == "input":
        raise InputError("wrong \\N{CAT FACE}")
    if arguments[0] == "usage":
        raise UsageError("wrong")
    if arguments[0] == "fault":
        raise KeyError("fault")
    if arguments[0] == "interrupt":
        raise KeyboardInterrupt

run_command(main)
"""


def command(word: str, redirection: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    line = f'exec "$0" -c "$1" "$2" {redirection}'
    return subprocess.run(
        ["sh", "-c", line, sys.executable, SCRIPT, word],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("word", "code"), [("fine", 0), ("input", 1), ("usage", 2), ("fault", 3), ("interrupt", 130)]
)
@pytest.mark.parametrize("redirection", ["", ">&-", "2>&-", ">&- 2>&-"])
def test_exit_codes_survive_closed_streams(word: str, code: int, redirection: str) -> None:
    assert command(word, redirection).returncode == code


def test_a_terminal_without_the_letters_gets_escapes() -> None:
    found = command("input", PYTHONIOENCODING="ascii")
    assert (found.returncode, found.stdout) == (1, rb"h\xf6he \U0001f431 \ud800" + b"\n")
    assert found.stderr == rb"error: wrong \U0001f431." + b"\n"
