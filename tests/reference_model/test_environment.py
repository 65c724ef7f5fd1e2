"""The traps of this stack, each met with one sentence."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys

import pytest
import torch

from benchmark.errors import EnvironmentProblem
from reference_model import environment


@pytest.mark.parametrize("version", ["4.57.6", "5.0.0", "5.2.1", "6.0.0"])
def test_transformers_without_a_usable_sam2_is_refused(version):
    with pytest.raises(EnvironmentProblem, match=rf"transformers >= 5.3, < 6; found {version}"):
        environment.check_transformers_version(version)


@pytest.mark.parametrize("version", ["5.3.0", "5.23.0", "5.24.0.dev0", "5.3rc1"])
def test_transformers_that_works_passes(version):
    environment.check_transformers_version(version)


def test_a_torchvision_that_does_not_import_is_named(monkeypatch):
    def broken(name):
        raise RuntimeError("operator torchvision::nms does not exist\nmore")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(EnvironmentProblem, match=r"does not match torch.*nms does not exist\..*uninstall"):
        environment.check_torchvision()


def test_a_missing_package_is_named(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "safetensors" else real(name)
    )
    with pytest.raises(EnvironmentProblem, match="needs safetensors"):
        environment.require_packages()


def test_this_environment_is_fine():
    environment.require_packages()


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert environment.torch_device("auto") == torch.device("cpu")
    assert environment.torch_device("cpu") == torch.device("cpu")
    with pytest.raises(EnvironmentProblem, match="CUDA device is not here"):
        environment.torch_device("cuda")
    with pytest.raises(EnvironmentProblem, match="no such device"):
        environment.torch_device("gpu")


@pytest.mark.parametrize(
    "command", ["train", "validate", "predict", "convert", "ablate", "analyze_attention"]
)
def test_help_needs_no_torch(command: str) -> None:
    """A command explains itself at once, also where torch is missing."""
    program = (
        f"import sys; sys.modules['torch'] = None; sys.argv = ['{command}', '--help']; "
        f"import runpy; runpy.run_module('reference_model.{command}', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"reference_model.{command}" in done.stdout
