"""Prove that a wheel holds every file of the packages that works at run time.

Usage: python .ci/prove_wheel.py EMPTY_FOLDER

Manuals, pictures for manuals and entries of boards stay out: they belong to a checkout.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

PACKAGES = ("benchmark", "adapters", "reference_model", "submissions", "leaderboards")
CHECKOUT_ONLY = ("leaderboards/entries/",)


def main(folder: Path) -> None:
    """Build, compare, and stop with the names of files that are missing."""
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), "."]
    subprocess.run(words, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    tracked = subprocess.run(["git", "ls-files", *PACKAGES], stdout=subprocess.PIPE, text=True, check=True)
    wanted = {
        name
        for name in tracked.stdout.splitlines()
        if PurePosixPath(name).name != "README.md"
        and PurePosixPath(name).parent.name != "pictures"
        and not name.startswith(CHECKOUT_ONLY)
    }
    if missing := sorted(wanted - packed):
        sys.exit(f"{wheel.name} lacks {', '.join(missing)}: name them in [tool.setuptools.package-data]")
    print(f"{wheel.name}: all {len(wanted)} files are there")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
