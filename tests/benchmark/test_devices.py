"""Resolving --device with and without torch, with and without GPUs."""

from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace

import pytest

from benchmark.devices import check_device_name, resolve_device
from benchmark.errors import EnvironmentProblem, UsageError


def fake_torch(gpus: int) -> SimpleNamespace:
    cuda = SimpleNamespace(
        is_available=lambda: gpus > 0,
        device_count=lambda: gpus,
    )
    return SimpleNamespace(cuda=cuda, __version__="9.9", __spec__=SimpleNamespace())


def with_torch(monkeypatch: pytest.MonkeyPatch, gpus: int) -> None:
    monkeypatch.setitem(sys.modules, "torch", fake_torch(gpus))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())


@pytest.mark.parametrize(
    ("device", "gpus", "rank", "resolved"),
    [
        ("cpu", 2, None, "cpu"),
        ("auto", 0, None, "cpu"),
        ("auto", 0, 1, "cpu"),
        ("auto", 2, None, "cuda"),
        ("auto", 2, 1, "cuda:1"),
        ("cuda", 2, 0, "cuda:0"),
        ("cuda:1", 2, 0, "cuda:1"),
    ],
)
def test_devices(
    monkeypatch: pytest.MonkeyPatch, device: str, gpus: int, rank: int | None, resolved: str
) -> None:
    with_torch(monkeypatch, gpus)
    assert resolve_device(device, rank) == resolved


@pytest.mark.parametrize(
    ("device", "gpus", "rank", "sentence"),
    [
        ("cuda", 0, None, "no GPU is available; found torch 9.9 sees no CUDA device. Fix: use --device cpu"),
        (
            "cuda:3",
            2,
            None,
            "--device cuda:3: there are fewer GPUs than asked for; expected at least 4; found 2",
        ),
        ("auto", 2, 2, "local rank 2: there are fewer GPUs"),
    ],
)
def test_gpus_that_are_not_there(
    monkeypatch: pytest.MonkeyPatch, device: str, gpus: int, rank: int | None, sentence: str
) -> None:
    with_torch(monkeypatch, gpus)
    with pytest.raises(EnvironmentProblem, match=sentence):
        resolve_device(device, rank)


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(EnvironmentProblem, match=r"needs torch.*pip install"):
        resolve_device("cuda")


def test_a_torch_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # makes the import fail
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(EnvironmentProblem, match="torch cannot be imported"):
        resolve_device("auto")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CPU", "mps"])
def test_unknown_devices(device: str) -> None:
    with pytest.raises(UsageError, match="unknown device"):
        check_device_name(device)
