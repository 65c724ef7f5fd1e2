"""Every command: it explains itself, the README lists it, and its flags are a promise.

A new or renamed flag must be entered here on purpose: other people's scripts depend on these names.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("benchmark", "adapters", "reference_model", "submissions", "leaderboards")


def commands() -> list[str]:
    """Modules that end in `run_command(...)` under the main guard."""
    found = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "__main__" not in path.read_text(encoding="utf-8"):
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            guarded = any(
                isinstance(node, ast.If)
                and "__main__" in ast.dump(node.test)
                and "run_command" in ast.dump(node)
                for node in tree.body
            )
            parts = path.relative_to(ROOT).with_suffix("").parts
            if guarded:
                found.append(".".join(parts[:-1] if parts[-1] == "__main__" else parts))
    return found


def help_of(module: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *words, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", commands())
def test_help_explains_the_command_with_examples(module: str) -> None:
    text = help_of(module)
    assert f"python -m {module}" in text
    assert len(text.splitlines()) > 8, "the docstring is the manual: it needs examples"


@pytest.mark.parametrize("module", commands())
def test_readme_lists_the_command(module: str) -> None:
    readmes = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"python -m {module}" in readmes


@pytest.mark.parametrize("module", commands())
def test_unknown_flags_are_usage_errors(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--no-such-flag"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2, (done.returncode, done.stderr)


def test_flags_of_the_main_command_are_frozen() -> None:
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", help_of("benchmark.evaluate").split("options:")[1]))
    promised = {
        *("--help", "--adapter", "--dataset", "--data-root", "--split", "--settings", "--output", "--device"),
        *("--seed", "--limit", "--shard", "--resume", "--restart", "--metric-engine"),
        *("--option", "--strict", "--save-overlays", "--query-timeout", "--retry-failed", "--breakdown"),
        "--trust-remote-code",  # consent has a name of its own, which scripts can be searched for
        "--probe",  # the language panel is part of a run: same model, videos, folder, shards
    }
    assert promised <= flags, promised - flags
