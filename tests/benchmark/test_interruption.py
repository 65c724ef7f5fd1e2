"""Ctrl-C before a command has begun to run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.interruption import INTERRUPTED, is_command

ROOT = Path(__file__).resolve().parents[2]
INTERRUPTS = """
import sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "benchmark.errors":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupts())
"""


@pytest.mark.parametrize(
    "module", ["benchmark.evaluate", "reference_model.predict", "submissions.check", "leaderboards.build"]
)
def test_an_interruption_during_imports_is_one_sentence(tmp_path: Path, module: str) -> None:
    """A hook that Python runs before anything else plays Ctrl-C in the middle of the imports."""
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTS)
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", f"{INTERRUPTED}\n")


def test_other_programs_keep_their_tracebacks(tmp_path: Path) -> None:
    script = "import benchmark; raise KeyboardInterrupt"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "Traceback" in done.stderr and INTERRUPTED not in done.stderr
    assert is_command(["python", "-X", "dev", "-m", "benchmark.score", "-m", "x"])
    assert not is_command(["python", "-m", "pytest"]) and not is_command(["python"])
