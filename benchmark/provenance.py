"""When, where and how something was computed: commit, packages, hardware, seeds, command line, times.

Nothing here imports a heavy package: versions come from package metadata, and GPU facts only from a
torch that the caller has loaded already. What cannot be found out is `None`, never a guess.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    *("interrvos-referee", "numpy", "pillow", "tqdm", "av"),
    *("torch", "transformers", "tokenizers", "safetensors", "accelerate", "peft"),
)
GIT_SECONDS = 10  # a git that hangs (a dead network mount) must not hang us


def collect(module: str, arguments: Sequence[str], seeds: Mapping[str, int | None]) -> dict[str, Any]:
    """The facts of one process, as JSON; call it when the work begins.

    Args:
        module: what was run with `python -m`.
        arguments: the command line after it.
        seeds: every seed that is used, by what it seeds.
    """
    return {
        "command": shlex.join(["python", "-m", module, *arguments]),
        "started": timestamp(),
        "seeds": dict(seeds),
        "source": source(ROOT),
        "python": platform.python_version(),
        "packages": packages(),
        "machine": machine(),
    }


def timestamp() -> str:
    """The current time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def source(root: Path) -> dict[str, Any]:
    """Commit of the checkout at `root` and whether its files differ from it.

    Both are `None` where the code is installed without a checkout, or git is not there.
    """
    unknown = {"commit": None, "dirty": None}
    if not (root / ".git").exists():  # installed elsewhere: a commit found further up is not ours
        return unknown
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain")
    if commit is None or changes is None:
        return unknown
    return {"commit": commit, "dirty": bool(changes)}


def packages() -> dict[str, str]:
    """Installed versions of the packages that can move a number; absent ones are left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """The hardware, without a host name."""
    return {
        "system": platform.platform(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "gpus": _gpus(),
    }


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None  # no git, a foreign owner, a broken checkout: the fact is unknown, and said to be
    return done.stdout.strip()


def _cpu_model() -> str | None:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        return platform.processor() or None
    return platform.processor() or None


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _gpus() -> list[dict[str, Any]] | None:
    """Name and memory of each CUDA device, with the CUDA version; `None` when torch is not loaded."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    if not torch.cuda.is_available():
        return []
    devices = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [
        {"name": one.name, "memory_bytes": one.total_memory, "cuda": torch.version.cuda} for one in devices
    ]
