"""`python -m adapters`: what it prints about every adapter, and how the doctor ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import adapters.__main__ as command
from adapters.__main__ import main, mending
from benchmark.adapter import Adapter, Requirements, adapter_names, load_adapter
from benchmark.errors import AdapterError, UsageError
from benchmark.types import AdapterInfo, Prediction, Query


class Needy(Adapter):
    """Needs what nobody has."""

    summary = "needs what nobody has"

    def requirements(self) -> Requirements:
        return Requirements(
            packages={"numpy": ">=1", "no-such-package-7": "==3"},
            environment="a pinned one",
            setup=("python3.11 -m venv /envs/needy",),
        )

    def info(self) -> AdapterInfo:
        return AdapterInfo(name="needy", version="1")

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        return [Prediction() for _ in queries]


@pytest.mark.parametrize("arguments", [["list"], []], ids=["list", "no words"])
def test_every_adapter_is_listed_with_its_facts(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    said = capsys.readouterr().out
    for name in adapter_names():
        assert f"\n{name} " in f"\n{said}", name
    assert "needs --option path=VALUE" in said
    assert "actor+target; usable here" in said


def test_one_broken_adapter_does_not_hide_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(name: str) -> type[Adapter]:
        raise AdapterError(f"module {name} cannot be imported")

    monkeypatch.setattr(command, "find_adapter_class", broken)
    assert main(["list"]) == 0
    assert capsys.readouterr().out.count("cannot be used: module") == len(adapter_names())


def test_the_doctor_finds_nothing_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "empty"]) == 0
    assert "empty can run here: it needs nothing beside the referee" in capsys.readouterr().out


def test_the_doctor_prints_what_mends_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", f"{__name__}:Needy"]) == 1
    said = capsys.readouterr().out
    assert "ok       package numpy >=1" in said
    assert "MISSING  package no-such-package-7 ==3: not installed" in said
    assert "It runs in a pinned one. To mend it:\n  python3.11 -m venv /envs/needy\n" in said
    assert said.endswith("  pip install 'no-such-package-7==3'\n")


def test_what_an_environment_of_its_own_gets_is_not_installed_here_too() -> None:
    setup = ("python3.11 -m venv /envs/old", "/envs/old/bin/pip install numpy 'old-package<2'")
    fixes = ["pip install 'old-package<2'", "hf download a/b", "hf download a/b", "pip install 'other'"]
    assert mending(setup, fixes) == [*setup, "hf download a/b", "pip install 'other'"]


def test_wrappers_need_what_they_wrap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = str(tmp_path / "nothing")
    for wrapper in ("swapped_roles", "wrong-expression"):
        assert main(["doctor", wrapper, "--option", f"of.checkpoint={missing}"]) == 1
        assert f"MISSING  weights {missing}: no such folder" in capsys.readouterr().out
    assert load_adapter("zero-shot-target", {"of": "full-frame"}).requirements() == Requirements()


def test_the_program_of_an_external_adapter(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "external", "--option", "command=no-such-program-7 x"]) == 1
    assert "MISSING  program no-such-program-7: not on the PATH" in capsys.readouterr().out


def test_unknown_names() -> None:
    with pytest.raises(UsageError, match=r"unknown adapter 'emty'.* did you mean empty"):
        main(["doctor", "emty"])
