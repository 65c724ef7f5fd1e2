"""Prove in an environment with the core alone that the referee works without torch.

Usage: python .ci/prove_core.py EMPTY_FOLDER

Makes predictions with a sanity row, scores them again from disk, compares the two results, and checks
the dataset, all through the commands that a person would type.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path


def run(*words: str) -> str:
    """Run `python -m ...`, show what it prints, and stop if it fails."""
    print("$ python -m", *words, flush=True)
    done = subprocess.run([sys.executable, "-m", *words], stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout, flush=True)
    return done.stdout


def main(folder: Path) -> None:
    """Run the proof; any failure ends the process with a non-zero code."""
    for package in ("torch", "transformers", "scipy", "cv2"):
        if importlib.util.find_spec(package):
            sys.exit(f"{package} is installed: this is not the core alone")
    settings = {}
    for adapter in ("oracle", "centre_box"):
        run("benchmark.evaluate", "--adapter", adapter, "--limit", "40", "--output", str(folder / adapter))
        run(
            "benchmark.score",
            *("--predictions", str(folder / adapter / "predictions")),
            *("--dataset", "interrvos-synthetic", "--output", str(folder / f"{adapter}-again")),
        )
        first = json.loads((folder / adapter / "result.json").read_text())
        again = json.loads((folder / f"{adapter}-again" / "result.json").read_text())
        if first["settings"] != again["settings"]:
            sys.exit(f"{adapter}: scoring stored predictions gave other numbers")
        settings[adapter] = first["settings"]
    if any(block["J&F"] != 100.0 for block in settings["oracle"].values()):
        sys.exit("the oracle does not score 100")
    run("benchmark.compare", *(str(folder / name / "result.json") for name in ("oracle", "centre_box")))
    run("benchmark.datasets", "check")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
