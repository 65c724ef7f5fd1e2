"""Ctrl-C while a command is still importing: one sentence and exit code 130, as later in its life.

`run_command` catches an interruption once it runs; the imports before it take a second or two, and Python
would answer an interruption there with a traceback. Only a program that was started as one of our commands
is changed.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Sequence
from types import TracebackType

FOLDERS = ("benchmark", "adapters", "reference_model", "submissions", "leaderboards")
INTERRUPTED = "interrupted: what was finished is kept; run the same command again to go on"
EXIT_CODE = 130


def catch_early_interruption() -> None:
    """Answer an interruption that nobody catches with one sentence."""
    if not is_command(sys.orig_argv):
        return
    before = sys.excepthook

    def answer(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            before(kind, error, trace)
            return
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        if sys.stderr is not None:
            print(INTERRUPTED, file=sys.stderr, flush=True)
        os._exit(EXIT_CODE)

    sys.excepthook = answer


def is_command(arguments: Sequence[str]) -> bool:
    """Whether an interpreter was started with these arguments to run one of our commands (`-m folder.verb`).

    The first `-m` is the interpreter's own: its other options come before it, a program's after it.
    """
    module = next((after for word, after in itertools.pairwise(arguments) if word == "-m"), "")
    return module.split(".")[0] in FOLDERS
