"""Checks of an adapter's surroundings: versions, programs, weights, GPU."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import benchmark.adapter_doctor as module
from benchmark.adapter import Requirements
from benchmark.adapter_doctor import Check, examine, satisfies
from tests.benchmark.scripted_adapter import Scripted


@pytest.mark.parametrize(
    ("version", "rule", "kept"),
    [
        ("5.23.0", ">=5.3,<6", True),
        ("4.57.6", ">=5.3,<6", False),
        ("6.0", ">=5.3,<6", False),
        ("2.13.0+cpu", "==2.13", True),
        ("2.13.1", "==2.13.0", False),
        ("1.0", ">1.0", False),
        ("1.0.1", ">1.0", True),
        ("4.49.0", "<=4.49", True),
        ("4.50", "!=4.50.0", False),
        ("7", "", True),
    ],
)
def test_version_rules(version: str, rule: str, kept: bool) -> None:
    assert satisfies(version, rule) is kept


def checks(needs: Requirements) -> list[Check]:
    class Needing(Scripted):
        def requirements(self) -> Requirements:
            return needs

    return examine(Needing())


def test_packages_programs_and_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "x")
    monkeypatch.delenv("OTHER_KEY", raising=False)
    found = checks(
        Requirements(
            packages={"numpy": ">=2", "pytest": "<1", "no-such-package-7": ">=2"},
            programs=("sh", "no-such-program-7"),
            variables=("SOME_KEY", "OTHER_KEY"),
        )
    )
    assert [one.passed for one in found] == [True, False, False, True, False, True, False]
    assert [one.fix for one in found if not one.passed] == [
        "pip install 'pytest<1'",
        "pip install 'no-such-package-7>=2'",
        "install it, or give the full path of no-such-program-7",
        "export OTHER_KEY=...",
    ]
    assert "x" not in " ".join(one.found for one in found if one.subject == "variable SOME_KEY")


def test_weights_in_a_folder_and_in_the_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "models--me--small" / "snapshots" / "abc").mkdir(parents=True)
    names = (str(tmp_path), str(tmp_path / "none"), "me/small", "me/small@abc", "me/small@def", "me/big@abc")
    found = checks(Requirements(weights=names))
    assert [one.passed for one in found] == [True, False, True, True, False, False]
    assert found[1].fix == f"put them at {tmp_path / 'none'}"
    assert found[4].fix == "hf download me/small --revision def" and "other revisions: abc" in found[4].found
    assert found[5].fix == "hf download me/big --revision abc" and "not in" in found[5].found


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert module.hub_cache() == tmp_path / "hub"
    monkeypatch.delenv("HF_HOME")
    assert module.hub_cache().parts[-3:] == (".cache", "huggingface", "hub")


def fake_torch(available: bool, free: float = 0.0) -> SimpleNamespace:
    cuda = SimpleNamespace(
        is_available=lambda: available,
        mem_get_info=lambda: (int(free * module.GIB), 80 * module.GIB),
        get_device_name=lambda: "Card",
    )
    return SimpleNamespace(__version__="2.13.0", cuda=cuda, __spec__=None)


@pytest.mark.parametrize(
    ("torch", "passed", "words"),
    [
        (fake_torch(False), False, "torch 2.13.0 sees no CUDA device"),
        (fake_torch(True, 10), False, "Card, 10 of 80 GiB free"),
        (fake_torch(True, 30), True, "Card, 30 of 80 GiB free"),
        (None, False, "torch is not installed"),
    ],
)
def test_gpu_memory(
    monkeypatch: pytest.MonkeyPatch, torch: SimpleNamespace | None, passed: bool, words: str
) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: torch)
    monkeypatch.setitem(sys.modules, "torch", torch)
    (found,) = checks(Requirements(gpu_memory_gib=24))
    assert found.passed is passed and words in found.found and bool(found.fix) is not passed


def test_a_torchvision_that_does_not_match(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = checks(Requirements(packages={"transformers": ">=1"}))
    assert [one.passed for one in found] == [True, False]
    assert "RuntimeError: operator torchvision::nms" in found[1].found
    assert found[1].fix.startswith("pip uninstall torchvision")


def test_packages_of_another_interpreter(tmp_path: Path) -> None:
    needs = {"numpy": ">=2", "pytest": "<1", "no-such-package-7": ""}
    found = checks(Requirements(packages=needs, interpreter=sys.executable))
    assert [one.passed for one in found] == [True, False, False]
    assert found[1].fix == f"{sys.executable} -m pip install 'pytest<1'"
    silent = tmp_path / "python"
    for text, reason in (
        ("#!/bin/sh\necho broken >&2\nexit 3\n", "ended with exit code 3: broken"),
        ("#!/bin/sh\nexit 4\n", "ended with exit code 4: it gives no reason"),
        ("#!/bin/sh\necho hello\n", "does not answer: JSONDecodeError: Expecting value"),
    ):
        silent.write_text(text)
        silent.chmod(0o755)
        (one,) = checks(Requirements(packages=needs, interpreter=str(silent)))
        assert not one.passed and one.found.startswith(reason) and str(silent) in one.subject
    (one,) = checks(Requirements(packages=needs, interpreter=str(tmp_path / "nothing")))
    assert "does not answer: FileNotFoundError" in one.found and one.fix.startswith("mend the environment")


def test_files_beside_the_weights(tmp_path: Path) -> None:
    there, gone = str(tmp_path), str(tmp_path / "gone")
    found = checks(Requirements(files={there: "x", gone: "git clone it"}))
    assert [(one.subject, one.passed, one.fix) for one in found] == [
        (f"file {there}", True, ""),
        (f"file {gone}", False, "git clone it"),
    ]
