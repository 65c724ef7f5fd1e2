"""A published repository, run untouched in its own Python: what must be there, and how it is started."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.adapter import Adapter, load_adapter, our_adapters_folder
from benchmark.errors import AdapterError, ProblemCollector

GIB = 1 << 30
WEIGHT_FILES = (".bin", ".safetensors", ".pt", ".pth")


@dataclass(frozen=True, slots=True)
class Original:
    """A repository on this machine.

    Attributes:
        name: of the adapter.
        checkout: the repository's folder.
        python: the interpreter of its environment.
        files: what must be there, with the command or sentence that brings it.
        job: module of `adapters.parts` that turns a job into its commands, run in our own Python.
        flags: what that module is told.
    """

    name: str
    checkout: Path
    python: str
    files: Mapping[str, str]
    job: str
    flags: tuple[str, ...]


def start(original: Original, device: str, seed: int, limits: Mapping[str, object]) -> Adapter:
    """The program behind `--adapter external`, which keeps time, stderr and the rules for masks.

    Raises:
        AdapterError: naming everything that is not there; or when there is no GPU to run it on.
    """
    problems = ProblemCollector()
    if shutil.which(original.python) is None:
        problems.add(
            "the interpreter does not exist",
            where=f"--option python={original.python}",
            fix="make the environment that its README describes, or name its Python",
        )
    for name, fix in original.files.items():
        if not Path(name).exists():
            problems.add("a file is missing", where=name, fix=fix)
    if device == "cpu":
        problems.add("the repository's code runs on a GPU alone", where="--device cpu", fix="--device cuda")
    problems.raise_if_any(AdapterError, f"{original.name} cannot run")
    words = [sys.executable, "-m", original.job, *original.flags, "{job}"]
    options = {"command": shlex.join(words), "folder": our_adapters_folder().parent, "roles": "actor"}
    given = {key: str(value) for key, value in {**options, **limits}.items() if value is not None}
    external = load_adapter("external", given)
    external.load(device, seed)
    return external


def commit_of(checkout: Path) -> str | None:
    """The commit that a git checkout is at; `None` where that cannot be told."""
    git = checkout / ".git"
    try:
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head or None
        name = head.removeprefix("ref: ")
        if (git / name).is_file():
            return (git / name).read_text(encoding="utf-8").strip()
        lines = (git / "packed-refs").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.split()[0] for line in lines if line.endswith(f" {name}")), None)


def weights_gib(*places: Path) -> float | None:
    """Size of the weights in files and folders, the least GPU memory they take; `None` without any."""
    found = [path for place in places for path in ([place] if place.is_file() else place.glob("*"))]
    total = sum(path.stat().st_size for path in found if path.suffix in WEIGHT_FILES)
    return total / GIB if total else None
