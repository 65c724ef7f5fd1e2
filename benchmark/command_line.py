"""What all commands share: exit codes, one-sentence errors, interruption.

Exit codes: 0 done, 1 the input is wrong, 2 usage, 3 our own fault, 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import NoReturn

from benchmark.errors import OutputError, RefereeError, UsageError
from benchmark.interruption import EXIT_CODE as INTERRUPTED_CODE
from benchmark.interruption import INTERRUPTED

DEBUG_VARIABLE = "REFEREE_DEBUG"


def run_command(main: Callable[[Sequence[str]], int | None]) -> NoReturn:
    """Run `main(arguments)` and end the process with the right exit code and one clear sentence.

    With REFEREE_DEBUG=1 in the environment the traceback of a named error is shown too.
    """
    make_streams_usable()
    try:
        code = main(sys.argv[1:]) or 0
        sys.stdout.flush()
    except RefereeError as error:
        if os.environ.get(DEBUG_VARIABLE):
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt as error:
        print(error.args[0] if error.args else INTERRUPTED, file=sys.stderr)
        code = INTERRUPTED_CODE
    except BrokenPipeError:
        # The reader of our output went away (`| head`): not an error, and nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        sentence = output_error(error, str(error.filename or "")) if is_output_failure(error) else None
        if sentence is None:
            raise_internal()
            code = 3
        else:
            print(f"error: {sentence}", file=sys.stderr)
            code = 1
    except SystemExit:
        raise
    except BaseException:
        raise_internal()
        code = 3
    sys.exit(code)


def make_streams_usable() -> None:
    """Let every text be printed: a terminal without its letters gets escapes, a closed stream nothing."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # Python's word for a stream that was closed before it started (`>&-`)
            setattr(sys, name, open(os.devnull, "w", errors="backslashreplace"))  # noqa: SIM115 - open to the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def raise_internal() -> None:
    """Print the traceback of an error that nobody foresaw, with a request to report it."""
    traceback.print_exc()
    print("internal error: this is a fault of the program; please report the lines above", file=sys.stderr)


def is_output_failure(error: OSError) -> bool:
    """Whether an `OSError` says that a place cannot be written to."""
    return error.errno in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT, errno.EFBIG)


def output_error(error: OSError, where: str) -> OutputError:
    """The sentence for a failed write."""
    fixes = {
        errno.ENOSPC: "free some space, then run the same command again: finished work is kept",
        errno.EDQUOT: "free some quota, then run the same command again: finished work is kept",
    }
    return OutputError(
        "cannot write",
        where=where,
        found=os.strerror(error.errno or 0),
        fix=fixes.get(error.errno or 0, "choose a writable place with --output"),
    )


def unknown_name(kind: str, name: str, known: Sequence[str], flag: str) -> UsageError:
    """A usage error for a name that is not in a table, with the nearest ones suggested."""
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    names = ", ".join(sorted(known))
    if not near:
        return UsageError(f"unknown {kind} {name!r}", where=flag, fix=f"choose one of {names}")
    hint = f"did you mean {' or '.join(near)}?"
    return UsageError(f"unknown {kind} {name!r}", where=flag, expected=names, fix=hint)


def parser(module: str, manual: str | None) -> argparse.ArgumentParser:
    """An argument parser whose help is the module's docstring."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=manual,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
