"""Several processes of one run, as `torchrun` starts them, agreeing through files alone.

Every rank keeps a small file `ranks/rank-K.json` that changes several times a minute as long as it is
alive, with a number drawn at its start (its nonce). Rank 0 lists in its own file the nonces that it has
seen; a rank begins to work once its nonce is listed, so it cannot mistake files of an earlier run for
this one. At the end each rank reports `done` and waits until rank 0, which merges and scores, is done
too. A rank that failed says so; one of this machine whose process is gone, or whose file stops changing, is
dead.

A file that lay there when a rank began may be of an earlier run, and counts once it changes. Where the ranks
can tell their own start from others (torchrun, srun), it counts at once if it is of this start: a rank that
ended before another began is known of.

No torch is needed: `torchrun` tells rank and world size in the environment.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.selection import Shard
from benchmark.stored_files import make_folder

BEAT_SECONDS = 0.5
SILENCE_SECONDS = 120.0
LAST_WORDS = 5
FOLDER = "ranks"


@dataclass(frozen=True, slots=True)
class World:
    """Which of how many processes this is; `local` counts on this machine."""

    rank: int
    size: int
    local: int

    @property
    def shard(self) -> Shard:
        """This process's part of the work."""
        return Shard(self.rank + 1, self.size)


def world_from_environment(environment: Mapping[str, str]) -> World | None:
    """What `torchrun` says about this process; `None` when it was started alone.

    Raises:
        UsageError: when the variables contradict each other.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    given = {name: environment[name] for name in names if name in environment}
    if "WORLD_SIZE" not in given or given["WORLD_SIZE"] == "1":
        return None
    try:
        world = World(int(given["RANK"]), int(given["WORLD_SIZE"]), int(given.get("LOCAL_RANK", "0")))
    except (KeyError, ValueError):
        world = World(-1, 0, 0)
    if not 0 <= world.rank < world.size:
        raise UsageError(
            "the environment does not name a rank",
            where=", ".join(names),
            expected="0 <= RANK < WORLD_SIZE, as torchrun sets them",
            found=", ".join(f"{name}={value}" for name, value in given.items()),
            fix="start with torchrun, or unset WORLD_SIZE",
        )
    return world


def start_of_ranks(environment: Mapping[str, str]) -> str | None:
    """A text that the ranks of one start share and those of no other have; `None` where nothing tells it.

    torchrun starts all ranks of a machine from one process and counts its restarts. A step of SLURM is one
    start, unless a shell runs in it; then the ranks have another parent and no rank of their own.
    """
    restarts = environment.get("TORCHELASTIC_RESTART_COUNT")
    if "TORCHELASTIC_RUN_ID" in environment and restarts is not None:
        parent = os.getppid()
        return f"torchrun {_machine()} {parent} {_started(parent)} {restarts}"
    step = [environment.get(name) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")]
    if None not in step[:2] and environment.get("SLURM_PROCID") == environment.get("RANK"):
        return f"slurm {step}"
    return None


def _machine() -> str:
    """This machine and, in containers, their own numbering of processes."""
    space = ""
    with suppress(OSError):  # systems without /proc number all processes in one way
        space = os.readlink("/proc/self/ns/pid")
    return f"{socket.gethostname()} {space}"


def _started(process: int) -> str:
    """When a process was started, as its system counts; empty where that cannot be told."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    return ""


class Ranks:
    """This process among the ranks of a run. Use as a context: leaving it reports how it went."""

    def __init__(self, world: World, output: Path, silence_seconds: float = SILENCE_SECONDS) -> None:
        self.world = world
        self._folder = output / FOLDER
        self._silence = silence_seconds
        self._nonce = secrets.token_hex(16)
        self._start, self._machine = start_of_ranks(os.environ), _machine()
        self._state = "starting"
        self._message = ""
        self._beats = 0
        others = range(1, world.size) if world.rank == 0 else (0,)
        now = time.monotonic()
        self._heard = {other: _Heard(None, self._read(other), now) for other in others}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._beat_until_stopped, daemon=True)

    def __enter__(self) -> Ranks:
        make_folder(self._folder)
        self._beat()
        self._thread.start()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is not None:
            self._report("failed", f"{type(error).__name__}: {error}")
        self._stop.set()
        self._thread.join()
        # The others wait for these last words, so a disk that hiccups gets more than one chance.
        for _ in range(LAST_WORDS):
            if self._beat():
                return
            time.sleep(BEAT_SECONDS)

    def wait_for_start(self) -> None:
        """For ranks above 0: return once rank 0 has prepared the output and has seen this rank.

        Raises:
            EnvironmentProblem: when rank 0 failed or shows no sign of life.
        """
        self._wait([0], lambda first: self._nonce in first.get("ready", ()))

    def open_for_others(self) -> None:
        """For rank 0: the output is prepared; others may begin."""
        self._report("working")

    def wait_for_others(self) -> None:
        """For rank 0: return once every other rank has reported that its part is stored.

        Raises:
            EnvironmentProblem: when one failed or shows no sign of life.
        """
        self._wait(range(1, self.world.size), lambda other: other["state"] == "done")

    def wait_for_end(self) -> None:
        """For ranks above 0: report that the part is stored, and return once rank 0 has scored.

        Raises:
            EnvironmentProblem: when rank 0 failed or shows no sign of life.
        """
        self._report("done")
        self._wait([0], lambda first: first["state"] == "done" and self._nonce in first.get("ready", ()))

    def finished(self) -> None:
        """For rank 0: everything is scored; the others may end."""
        self._report("done")

    def _report(self, state: str, message: str = "") -> None:
        with self._lock:
            self._state, self._message = state, message
        self._beat()

    def _wait(self, others: Iterable[int], is_there: Callable[[Mapping[str, Any]], bool]) -> None:
        waiting = set(others)
        while waiting:
            for other in sorted(waiting):
                with self._lock:
                    gone = self._is_gone(self._heard[other].content)
                    if gone:
                        self._listen()  # its last words came before its end
                    heard = self._heard[other]
                if heard.content is not None and heard.content["state"] == "failed":
                    raise self._lost(other, f"it failed: {heard.content['message']}")
                if heard.content is not None and is_there(heard.content):
                    waiting.discard(other)
                elif gone:
                    raise self._lost(other, "its process has ended")
                elif time.monotonic() - heard.moment > self._silence:
                    raise self._lost(other, f"no sign of life for {self._silence:g} seconds")
            time.sleep(BEAT_SECONDS / 2)

    def _is_gone(self, content: Mapping[str, Any] | None) -> bool:
        """Whether the process of a rank of this machine has ended."""
        process = (content or {}).get("process")
        if content is None or content.get("machine") != self._machine:
            return False
        if not isinstance(process, int) or process < 1:
            return False
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False  # it is there, and another user's
        return False

    def _lost(self, other: int, found: str) -> EnvironmentProblem:
        return EnvironmentProblem(
            f"rank {other} of {self.world.size} is lost",
            where=str(self._folder),
            found=found,
            fix="see its output, then run the same command again: finished work is kept",
        )

    def _beat_until_stopped(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            self._beat()

    def _beat(self) -> bool:
        """Renew this rank's file; returns whether that could be done."""
        with self._lock:
            self._listen()
            self._beats += 1
            content: dict[str, Any] = {
                "nonce": self._nonce,
                "beat": self._beats,
                "state": self._state,
                "message": self._message,
                "start": self._start,
                "machine": self._machine,
                "process": os.getpid(),
            }
            if self.world.rank == 0 and self._state in ("working", "done"):
                content["ready"] = [one.content["nonce"] for one in self._heard.values() if one.content]
            # Renamed, so that nobody reads half a file; not synced, since it says nothing after a crash.
            temporary = self._path(self.world.rank).with_suffix(f".{self._nonce}")
            try:
                temporary.write_text(json.dumps(content), encoding="utf-8")
                os.replace(temporary, self._path(self.world.rank))
            except OSError:
                return False  # a missed beat; on a broken disk the predictions themselves raise the error
            return True

    def _listen(self) -> None:
        """Look at the files of the others; what lay there when we began counts once it changes.

        What is known to be of this start counts at once.
        """
        for other, heard in self._heard.items():
            found = self._read(other)
            ours = found is not None and self._start is not None and found.get("start") == self._start
            if found is not None and (ours or found != heard.before) and found != heard.content:
                self._heard[other] = _Heard(found, heard.before, time.monotonic())

    def _read(self, other: int) -> Mapping[str, Any] | None:
        try:
            content = json.loads(self._path(other).read_bytes())
        except (OSError, ValueError):
            return None  # not there yet, or a network disk between two versions: silence is judged by time
        return content if isinstance(content, dict) and "nonce" in content else None

    def _path(self, rank: int) -> Path:
        return self._folder / f"rank-{rank}.json"


@dataclass(frozen=True, slots=True)
class _Heard:
    """What was last heard of a rank in this run, what lay in its file before, and when it last changed."""

    content: Mapping[str, Any] | None
    before: Mapping[str, Any] | None
    moment: float
