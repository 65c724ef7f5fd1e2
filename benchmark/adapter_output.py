"""Stdout is for results: what a model prints while it works goes to stderr."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send to stderr what is printed meanwhile, also past Python: by compiled code, by programs started."""
    stream = sys.stdout
    stream.flush()
    with contextlib.redirect_stdout(sys.stderr), contextlib.ExitStack() as restored:
        try:
            own, other = stream.fileno(), sys.stderr.fileno()
        except io.UnsupportedOperation:  # streams that are no files, as in a notebook
            pass
        else:
            kept = os.dup(own)
            restored.callback(os.close, kept)
            restored.callback(os.dup2, kept, own)
            # Whoever has kept the old `sys.stdout` may have left something in its buffer.
            restored.callback(stream.flush)
            os.dup2(other, own)
        yield
