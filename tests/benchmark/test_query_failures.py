"""What counts as which failure, and the time limit."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.query_failures import (
    NOT_RECORDED,
    QueryTimeout,
    check_time_limit,
    classify,
    is_out_of_memory,
    time_limit,
)
from benchmark.types import Status


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


class AcceleratorOutOfMemoryErrorOfSomebody(OutOfMemoryError):
    pass


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError(), Status.OUT_OF_MEMORY),
        (OutOfMemoryError("tried to allocate 2 GiB"), Status.OUT_OF_MEMORY),
        (AcceleratorOutOfMemoryErrorOfSomebody(), Status.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: out of memory"), Status.OUT_OF_MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), Status.OUT_OF_MEMORY),
        (ValueError("out of memory"), Status.ERROR),
        (QueryTimeout("no answer"), Status.TIMEOUT),
        (SystemExit(3), Status.ERROR),
        (KeyError("x"), Status.ERROR),
    ],
)
def test_kinds_of_failure(error: BaseException, status: Status) -> None:
    failure = classify(error)
    assert failure.status is status
    assert failure.message
    assert not isinstance(error, NOT_RECORDED)
    assert is_out_of_memory(error) == (status is Status.OUT_OF_MEMORY)


def test_interruption_is_never_recorded() -> None:
    assert isinstance(KeyboardInterrupt(), NOT_RECORDED)


def test_time_limit_interrupts_even_a_model_that_catches_everything() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(QueryTimeout, match=r"no answer within 0\.05 seconds"), time_limit(0.05):
        while True:
            try:
                time.sleep(5)
            except Exception:
                continue
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_no_limit_and_a_kept_limit_leave_nothing_behind() -> None:
    with time_limit(None):
        pass
    with time_limit(60):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_limits_that_cannot_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    check_time_limit(None)
    check_time_limit(1.0)
    for seconds in (0.0, -1.0, float("nan")):
        with pytest.raises(UsageError, match="--query-timeout"):
            check_time_limit(seconds)
    caught: list[BaseException] = []

    def elsewhere() -> None:
        try:
            check_time_limit(1.0)
        except EnvironmentProblem as error:
            caught.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "in the main thread" in str(caught[0])
    monkeypatch.delattr(signal, "setitimer")
    with pytest.raises(EnvironmentProblem, match="POSIX"):
        check_time_limit(1.0)
