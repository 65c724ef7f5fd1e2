"""Ranks that agree through files: barriers, stale files, failures, silence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark import ranks as module
from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.ranks import SILENCE_SECONDS, Ranks, World, start_of_ranks, world_from_environment
from benchmark.selection import Shard


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.02)


def together(
    output: Path, *works: Callable[[Ranks], None], silence: float = 20.0
) -> list[BaseException | None]:
    """Run each work as a rank of its own, on a thread; returns how each ended."""
    ends: list[BaseException | None] = [None] * len(works)

    def live(rank: int, work: Callable[[Ranks], None]) -> None:
        try:
            with Ranks(World(rank, len(works), rank), output, 20.0) as ranks:
                work(ranks)
        except BaseException as error:
            ends[rank] = error

    threads = [threading.Thread(target=live, args=pair) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


class Log:
    """What happened, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def leader(self, ranks: Ranks) -> None:
        time.sleep(0.1)
        self.lines.append("prepared")
        ranks.open_for_others()
        ranks.wait_for_others()
        self.lines.append("scored")
        ranks.finished()

    def follower(self, ranks: Ranks) -> None:
        ranks.wait_for_start()
        self.lines.append("worked")
        ranks.wait_for_end()
        self.lines.append("ended")


def test_work_lies_between_preparation_and_scoring(tmp_path: Path) -> None:
    # Twice in one place: the second run must not be taken in by the files of the first.
    for _ in range(2):
        log = Log()
        assert together(tmp_path, log.leader, log.follower, log.follower) == [None, None, None]
        assert log.lines == ["prepared", "worked", "worked", "scored", "ended", "ended"]


def test_a_rank_that_fails_is_named_with_its_reason(tmp_path: Path) -> None:
    def failing(ranks: Ranks) -> None:
        ranks.wait_for_start()
        raise ValueError("no weights")

    log = Log()
    ends = together(tmp_path, log.leader, failing, log.follower)
    assert isinstance(ends[0], EnvironmentProblem)
    assert "rank 1 of 3 is lost; found it failed: ValueError: no weights" in str(ends[0])
    assert isinstance(ends[1], ValueError)
    assert "rank 0 of 3 is lost; found it failed: EnvironmentProblem" in str(ends[2])
    assert "scored" not in log.lines


def test_a_leader_that_fails_before_it_is_ready(tmp_path: Path) -> None:
    def failing(ranks: Ranks) -> None:
        time.sleep(0.5)
        raise KeyboardInterrupt

    ends = together(tmp_path, failing, Log().follower)
    assert isinstance(ends[0], KeyboardInterrupt)
    assert isinstance(ends[1], EnvironmentProblem)


def test_silence_is_death(tmp_path: Path) -> None:
    """A rank that never started, and one whose file lies there from an earlier run, say nothing."""
    folder = tmp_path / "ranks"
    folder.mkdir()
    stale = {"nonce": "old", "beat": 9, "state": "done", "message": ""}
    (folder / "rank-1.json").write_text(json.dumps(stale))
    (folder / "rank-2.json").write_text("{half")

    def leader(ranks: Ranks) -> None:
        ranks.open_for_others()
        ranks.wait_for_others()

    with (
        pytest.raises(EnvironmentProblem, match=r"rank 1 of 3 is lost.*no sign of life for 0\.3 seconds"),
        Ranks(World(0, 3, 0), tmp_path, 0.3) as ranks,
    ):
        leader(ranks)


def test_a_stale_leader_is_not_believed(tmp_path: Path) -> None:
    folder = tmp_path / "ranks"
    folder.mkdir()
    stale = {"nonce": "old", "beat": 9, "state": "failed", "message": "long ago", "ready": ["x"]}
    (folder / "rank-0.json").write_text(json.dumps(stale))
    with (
        pytest.raises(EnvironmentProblem, match="rank 0 of 2 is lost; found no sign of life"),
        Ranks(World(1, 2, 1), tmp_path, 0.3) as ranks,
    ):
        ranks.wait_for_start()


@pytest.fixture
def by_torchrun(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    start = start_of_ranks(os.environ)
    assert start is not None
    return start


def test_a_rank_that_failed_before_another_began_is_known_at_once(tmp_path: Path, by_torchrun: str) -> None:
    def failing(ranks: Ranks) -> None:
        raise ValueError("no weights")

    with pytest.raises(ValueError, match="no weights"), Ranks(World(0, 2, 0), tmp_path) as first:
        failing(first)
    began = time.monotonic()
    with (
        pytest.raises(
            EnvironmentProblem, match="rank 0 of 2 is lost; found it failed: ValueError: no weights"
        ),
        Ranks(World(1, 2, 1), tmp_path) as second,
    ):
        second.wait_for_start()
    assert time.monotonic() - began < SILENCE_SECONDS / 2


def test_a_failure_of_another_start_is_not_believed(
    tmp_path: Path, by_torchrun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError), Ranks(World(0, 2, 0), tmp_path):
        raise ValueError("no weights")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    with (
        pytest.raises(EnvironmentProblem, match="rank 0 of 2 is lost; found no sign of life"),
        Ranks(World(1, 2, 1), tmp_path, 0.3) as ranks,
    ):
        ranks.wait_for_start()


def test_a_process_of_this_machine_that_is_gone_is_missed_at_once(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with (
        pytest.raises(EnvironmentProblem, match="rank 1 of 2 is lost; found its process has ended"),
        Ranks(World(0, 2, 0), tmp_path) as ranks,
    ):
        own = json.loads((tmp_path / "ranks" / "rank-0.json").read_text())
        other = {**own, "nonce": "other", "process": ended.pid}
        (tmp_path / "ranks" / "rank-1.json").write_text(json.dumps(other))
        ranks.open_for_others()
        ranks.wait_for_others()


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, False),
        ({"RANK": "1", "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_PROCID": "1"}, True),
        # A shell in a step, from which ranks were started by hand: one of many starts.
        ({"RANK": "1", "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_PROCID": "0"}, False),
        ({"TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": "0"}, True),
    ],
)
def test_where_one_start_can_be_told_from_another(environment: dict[str, str], told: bool) -> None:
    assert (start_of_ranks(environment) is not None) is told
    assert start_of_ranks(environment) == start_of_ranks(environment)


def test_a_missed_beat_is_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, tries = module.os.replace, Counter[object]()

    def now_and_then(source: object, target: object) -> None:
        # Counted for each rank: in step with the other, one rank would miss every beat.
        tries[target] += 1
        if tries[target] % 2:
            raise OSError(28, "No space left on device")
        replace(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(module.os, "replace", now_and_then)
    log = Log()
    assert together(tmp_path, log.leader, log.follower) == [None, None]


def test_what_torchrun_says() -> None:
    assert world_from_environment({}) is None
    assert world_from_environment({"RANK": "0", "WORLD_SIZE": "1"}) is None
    world = world_from_environment({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"})
    assert world == World(3, 4, 1)
    assert world.shard == Shard(4, 4)
    for wrong in ({"RANK": "4"}, {"RANK": "-1"}, {"RANK": "x"}, {}):
        with pytest.raises(UsageError, match="does not name a rank"):
            world_from_environment({"WORLD_SIZE": "4", **wrong})
