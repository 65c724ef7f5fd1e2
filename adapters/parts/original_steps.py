"""Running the programs of a published repository for one job, and handing over the masks they write.

Meant for a process of its own that `--adapter external` starts (see the protocol there): whatever a step
prints goes to stderr, and a step that fails gives up the job with a sentence about it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LAST_LINES = 40
OUT_OF_MEMORY = ("out of memory", "OutOfMemoryError", "CUBLAS_STATUS_ALLOC_FAILED")


class StepFailure(Exception):
    """A step that did not do its work; `status` is one of `benchmark.types.Status`."""

    def __init__(self, message: str, status: str = "error") -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Job:
    """What `--adapter external` asks for.

    Attributes:
        number: of the job.
        frames: folder of 00000.jpg, 00001.jpg, ...
        names: of the frames, without endings, in order.
        sentences: expression by index of its query.
        masks: folder to write INDEX/actor/00000.png, ... into.
        device: "cpu", "cuda", "cuda:1".
        seed: for what is drawn.
    """

    number: int
    frames: Path
    names: tuple[str, ...]
    sentences: Mapping[int, str]
    masks: Path
    device: str
    seed: int

    @property
    def work(self) -> Path:
        """A folder for whatever else is written; it goes when the masks have been read."""
        return self.masks / "work"


def read_job(path: Path) -> Job:
    """The job in a file that `--adapter external` wrote."""
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    job = Job(
        number=told["job"],
        frames=Path(told["frames"]),
        names=tuple(f"{index:05d}" for index in range(told["frame_count"])),
        sentences={one["index"]: one["expression"] for one in told["queries"]},
        masks=Path(told["masks"]),
        device=told["device"],
        seed=told["seed"],
    )
    job.work.mkdir()
    return job


def run_step(name: str, words: Sequence[str], folder: Path, variables: Mapping[str, str]) -> None:
    """Run one program to its end.

    Raises:
        StepFailure: when it cannot be started or ends with an error.
    """
    last: deque[str] = deque(maxlen=LAST_LINES)
    try:
        process = subprocess.Popen(
            words,
            cwd=folder,
            # No compiled modules: what is run stays as it was found.
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise StepFailure(f"{name} cannot be started: {error}") from error
    assert process.stdout is not None
    for line in process.stdout:
        sys.stderr.write(line)
        last.append(line.strip())
    code = process.wait()
    if code:
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        said = next((line for line in reversed(last) if line), "it says nothing")
        full = any(mark in line for line in last for mark in OUT_OF_MEMORY)
        raise StepFailure(f"{name} {how}: {said}", "out_of_memory" if full else "error")


def give_up(job: Job, failure: StepFailure) -> None:
    """Answer a job by saying why there is none."""
    answer = {"type": "failed", "job": job.number, "status": failure.status, "message": str(failure)}
    (job.masks / "answers.json").write_text(json.dumps(answer), encoding="utf-8")


def hand_over(job: Job, index: int, written: Path) -> None:
    """Move the masks of one sentence to where they are looked for. Missing ones stay missing.

    A folder that was never written counts as one without masks, so that it is told what is missing.
    """
    folder = job.masks / str(index) / "actor"
    folder.mkdir(parents=True)
    for path in sorted(written.glob("*.png")) if written.is_dir() else ():
        shutil.move(path, folder / path.name)


def one_gpu(device: str) -> dict[str, str]:
    """Variables under which a program that says `.cuda()` uses the wanted GPU and sees no other."""
    number = int(device.partition(":")[2] or 0)
    visible = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one]
    return {"CUDA_VISIBLE_DEVICES": visible[number] if number < len(visible) else str(number)}
