"""How one query can fail without ending the run: out of memory, out of time, any other exception."""

from __future__ import annotations

import gc
import platform
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from benchmark.adapter import describe_exception
from benchmark.errors import EnvironmentProblem, RefereeError, UsageError
from benchmark.types import Status


class QueryTimeout(BaseException):
    """A query ran longer than allowed.

    Not an `Exception`, so that a model's own `except Exception` cannot swallow it.
    """


NOT_RECORDED = (RefereeError, KeyboardInterrupt)
"""What ends a run; all else is recorded as a failed query.

That includes exceptions outside `Exception`: `exit()` in a model's code, and the panics of libraries
written in Rust, such as tokenizers.
"""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a query has no answer."""

    status: Status
    message: str


def classify(error: BaseException) -> Failure:
    """The status and the reason of a failed query."""
    if isinstance(error, QueryTimeout):
        return Failure(Status.TIMEOUT, str(error))
    if is_out_of_memory(error):
        return Failure(Status.OUT_OF_MEMORY, describe_exception(error))
    return Failure(Status.ERROR, describe_exception(error))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the host or on a device; torch need not be imported to tell."""
    if isinstance(error, MemoryError) or any(
        "OutOfMemoryError" in kind.__name__ for kind in type(error).__mro__
    ):
        return True
    # cuBLAS, cuDNN and older drivers say it in a plain RuntimeError; so does torch of the machine's memory.
    said = describe_exception(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in said or "can't allocate memory" in said)


def release_memory(error: BaseException) -> None:
    """Let go of what a failed query still holds, so that the next one starts with free memory."""
    error.__traceback__ = None  # its frames keep the tensors of the failed call alive
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def check_time_limit(seconds: float | None) -> None:
    """Refuse a time limit that makes no sense or cannot be kept here.

    Raises:
        UsageError: when it is not positive.
        EnvironmentProblem: on systems without interval timers (Windows), and outside the main thread.
    """
    if seconds is None:
        return
    if not seconds > 0:
        raise UsageError("not a time limit", where=f"--query-timeout {seconds}", expected="seconds above 0")
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        raise EnvironmentProblem(
            "a time limit needs the interval timer of POSIX systems, in the main thread",
            where=f"--query-timeout {seconds}",
            found=platform.system(),
            fix="leave --query-timeout out",
        )


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise `QueryTimeout` in the block once it has run for `seconds`.

    A call into compiled code that does not come back to Python (one very long kernel) is interrupted
    when it does.

    Raises:
        QueryTimeout: when the time is over.
    """
    if seconds is None:
        yield
        return

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise QueryTimeout(f"no answer within {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
