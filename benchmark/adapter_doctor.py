"""Whether an adapter can run on this machine, told check by check, with the commands that mend it.

Nothing is loaded and nothing is downloaded: installed versions are read, weights are looked for on disk.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from benchmark.adapter import Adapter, Requirements, describe_exception

GIB = 1 << 30
ANSWER_SECONDS = 60
_VERSIONS_SCRIPT = """
import json, sys
from importlib import metadata
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        found[name] = None
print(json.dumps(found))
"""  # runs in Python 3.8, too
_RULE = re.compile(r"(>=|<=|==|!=|<|>)\s*([0-9][0-9a-zA-Z.+]*)")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        subject: what.
        passed: whether it will do.
        found: what is there.
        fix: a command or a sentence that mends it; "" where nothing needs mending.
    """

    subject: str
    passed: bool
    found: str
    fix: str = ""


def examine(adapter: Adapter) -> list[Check]:
    """Every check of an adapter with the options it was made with."""
    needs = adapter.requirements()
    checks = [
        *_packages(needs),
        *_torchvision(needs),
        *(_program(name) for name in needs.programs),
        *(_file(name, fix) for name, fix in needs.files.items()),
        *(_variable(name) for name in needs.variables),
        *(_weights(name) for name in needs.weights),
    ]
    if needs.gpu_memory_gib is not None:
        checks.append(_gpu(needs.gpu_memory_gib))
    return checks


def satisfies(version: str, rule: str) -> bool:
    """Whether a version keeps a rule like ">=4.57,<5"; only numbers count, so 2.6.0+cu126 is 2.6.0."""
    found = _numbers(version)
    for operator, wanted_text in _RULE.findall(rule):
        wanted = _numbers(wanted_text)
        length = max(len(found), len(wanted))
        left = found + (0,) * (length - len(found))
        right = wanted + (0,) * (length - len(wanted))
        kept = {
            ">=": left >= right,
            "<=": left <= right,
            "==": left == right,
            "!=": left != right,
            "<": left < right,
            ">": left > right,
        }[operator]
        if not kept:
            return False
    return True


def hub_cache() -> Path:
    """Where the Hub's client keeps downloaded models; its own environment variables decide."""
    if os.environ.get("HF_HUB_CACHE"):
        return Path(os.environ["HF_HUB_CACHE"])
    home = os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface"
    return Path(home) / "hub"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0]))


def _packages(needs: Requirements) -> Iterator[Check]:
    if needs.interpreter is None:
        versions = {name: _version(name) for name in needs.packages}
        pip = "pip"
    else:
        asked = _versions_elsewhere(needs.interpreter, tuple(needs.packages))
        if isinstance(asked, str):
            fix = f"mend the environment of {needs.interpreter}"
            yield Check(f"packages of {needs.interpreter}", False, asked, fix)
            return
        versions, pip = asked, f"{needs.interpreter} -m pip"
    for name, rule in needs.packages.items():
        version = versions.get(name)
        passed = version is not None and satisfies(version, rule)
        fix = "" if passed else f"{pip} install '{name}{rule}'"
        yield Check(f"package {name}{' ' + rule if rule else ''}", passed, version or "not installed", fix)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _versions_elsewhere(interpreter: str, names: Sequence[str]) -> dict[str, str | None] | str:
    """What another Python has installed, or why it cannot be asked."""
    try:
        done = subprocess.run(
            [interpreter, "-c", _VERSIONS_SCRIPT, *names],
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
            check=True,
        )
        told: dict[str, str | None] = json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["it gives no reason"])[-1]
        return f"ended with exit code {error.returncode}: {last}"
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        return f"does not answer: {describe_exception(error)}"
    return told


def _file(name: str, fix: str) -> Check:
    there = Path(name).exists()
    return Check(f"file {name}", there, "there" if there else "not there", "" if there else fix)


def _torchvision(needs: Requirements) -> Iterator[Check]:
    """A torchvision that does not match torch breaks every class of transformers."""
    if needs.interpreter is not None or "transformers" not in needs.packages:
        return
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision")
    except Exception as error:  # a mismatched build raises RuntimeError, OSError or ImportError
        fix = "pip uninstall torchvision, or install the build for your torch"
        yield Check("torchvision matches torch", False, describe_exception(error), fix)
    else:
        yield Check("torchvision matches torch", True, metadata.version("torchvision"))


def _program(name: str) -> Check:
    found = shutil.which(name)
    fix = "" if found else f"install it, or give the full path of {name}"
    return Check(f"program {name}", found is not None, found or "not on the PATH", fix)


def _variable(name: str) -> Check:
    there = bool(os.environ.get(name))
    return Check(
        f"variable {name}", there, "set" if there else "not set", "" if there else f"export {name}=..."
    )


def _weights(name: str) -> Check:
    path = Path(name)
    if path.is_absolute() or name.startswith((".", "~")) or path.exists():
        there = path.expanduser().exists()
        fix = "" if there else f"put them at {name}"
        return Check(f"weights {name}", there, "there" if there else "no such folder", fix)
    model, _, revision = name.partition("@")
    snapshots = hub_cache() / f"models--{model.replace('/', '--')}" / "snapshots"
    found = sorted(one.name for one in snapshots.iterdir()) if snapshots.is_dir() else []
    if revision in found or (found and not revision):
        return Check(f"weights {name}", True, str(snapshots / (revision or found[-1])))
    flag = f" --revision {revision}" if revision else ""
    state = f"other revisions: {', '.join(found)}" if found else f"not in {hub_cache()}"
    return Check(f"weights {name}", False, state, f"hf download {model}{flag}")


def _gpu(needed_gib: float) -> Check:
    subject = f"GPU with {needed_gib:g} GiB"
    fix = "run on a machine with such a GPU, or choose a smaller model"
    if importlib.util.find_spec("torch") is None:
        return Check(subject, False, "torch is not installed, so no GPU is seen", fix)
    torch = importlib.import_module("torch")
    if not torch.cuda.is_available():
        return Check(subject, False, f"torch {torch.__version__} sees no CUDA device", fix)
    free, total = torch.cuda.mem_get_info()
    passed = free >= needed_gib * GIB
    found = f"{torch.cuda.get_device_name()}, {free / GIB:.0f} of {total / GIB:.0f} GiB free"
    return Check(subject, passed, found, "" if passed else fix)
