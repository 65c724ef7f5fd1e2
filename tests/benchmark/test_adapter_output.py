"""Stdout holds results alone, whatever a model prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.adapter_output import stdout_to_stderr
from benchmark.evaluate import main

ROOT = Path(__file__).resolve().parents[2]


PROGRAM = """
import os, subprocess, sys
from benchmark.adapter_output import stdout_to_stderr
before = sys.stdout
print("a result")
with stdout_to_stderr():
    print("from Python")
    print("from Python, to the old stream", file=before)
    os.write(1, b"from compiled code\\n")
    subprocess.run(["echo", "from a program"], check=True)
print("another result")
"""


def test_python_and_what_lies_below_it_print_to_stderr() -> None:
    told = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True)
    assert told.stdout == "a result\nanother result\n"
    assert set(told.stderr.splitlines()) == {
        *("from Python", "from Python, to the old stream", "from compiled code", "from a program"),
    }


def test_an_error_gives_stdout_back(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError), stdout_to_stderr():
        raise ValueError
    print("a result")
    assert capfd.readouterr().out == "a result\n"


def test_streams_that_are_no_files(capsys: pytest.CaptureFixture[str]) -> None:
    with stdout_to_stderr():
        print("from Python")
    assert capsys.readouterr().err == "from Python\n"


def test_a_model_that_prints_leaves_the_table_clean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], unsynced: None
) -> None:
    main(["--adapter", "tests.benchmark.scripted_adapter:Talking", "--limit", "2", "--output", str(tmp_path)])
    told = capsys.readouterr()
    assert "I talk" not in told.out and "result: " in told.out
    assert [f"I talk in {step}" in told.err for step in ("__init__", "load", "predict")] == [True] * 3
