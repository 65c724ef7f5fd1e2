"""Provenance: true where it can be known, absent where not, and never a reason to load something heavy."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import types
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from benchmark import provenance


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_facts_are_json_and_name_the_run() -> None:
    facts = provenance.collect("benchmark.score", ["--output", "my folder"], {"bootstrap": 3})
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["command"] == "python -m benchmark.score --output 'my folder'"
    assert facts["seeds"] == {"bootstrap": 3}
    assert facts["python"] == platform.python_version()
    assert facts["packages"]["numpy"] == np.__version__
    assert datetime.fromisoformat(facts["started"]).utcoffset() is not None
    assert facts["machine"]["cores"] >= 1
    assert platform.node() not in json.dumps(facts["machine"]) or not platform.node()


def test_a_checkout_has_a_commit_and_knows_whether_it_was_changed(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "one")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert provenance.source(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "file").write_text("two")
    assert provenance.source(tmp_path) == {"commit": commit, "dirty": True}


def test_without_a_checkout_the_commit_is_unknown(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    inside = tmp_path / "site-packages"
    inside.mkdir()
    unknown = {"commit": None, "dirty": None}
    assert provenance.source(inside) == unknown  # the repository around it is not ours
    assert provenance.source(tmp_path) == unknown  # no commit yet


def test_without_git_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.source(tmp_path) == {"commit": None, "dirty": None}


def test_packages_that_are_not_installed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PACKAGES", ("numpy", "no-such-package-here"))
    assert provenance.packages() == {"numpy": np.__version__}


def test_gpus_are_asked_only_of_a_torch_that_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert provenance.machine()["gpus"] is None
    card = types.SimpleNamespace(name="A Card", total_memory=7)
    cuda = types.SimpleNamespace(
        is_available=lambda: True, device_count=lambda: 1, get_device_properties=lambda index: card
    )
    torch = types.SimpleNamespace(cuda=cuda, version=types.SimpleNamespace(cuda="13.0"))
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert provenance.machine()["gpus"] == [{"name": "A Card", "memory_bytes": 7, "cuda": "13.0"}]
    cuda.is_available = lambda: False
    assert provenance.machine()["gpus"] == []
