"""The decoder process: takes its orders on stdin, locks itself in, decodes, answers on stdout.

Started by `submissions.sandbox` with an open zip and nothing else: no environment, an empty working
folder. Before the first byte of the zip is read it gives up, for good, the right to open any file or
socket (no further file handles), to write files, to start processes, and to use more memory and processor
time than its dataset needs. So it can neither see the truth nor leave anything behind.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

from submissions.answers import pack_answer
from submissions.decoder import Share, decode, findings_to_wire
from submissions.expected import Expected
from submissions.limits import Limits
from submissions.wire import Record, write_record
from submissions.zip_directory import FileBytes


def lock_in(limits: Limits) -> None:
    """Give up everything that decoding does not need."""
    bounds = {
        resource.RLIMIT_AS: limits.memory_bytes,
        resource.RLIMIT_CPU: limits.cpu_seconds,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 0,  # what is open stays open; nothing can be opened any more
    }
    for what, most in bounds.items():
        resource.setrlimit(what, (most, most))


def main() -> None:
    """Read the order, lock in, decode."""
    order: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    expected = Expected.from_bytes(sys.stdin.buffer.readline())
    file = FileBytes(int(order["zip"]))
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=1 << 20)
    # While files can still be opened: what PNG trees need.
    import PIL.Image
    import PIL.ImageFile  # noqa: F401

    from benchmark.png_masks import inflater

    inflater()
    limits = Limits(**order["limits"])
    lock_in(limits)
    try:
        known = decode(
            file,
            expected,
            limits,
            order["words"],
            lambda answer: write_record(output, Record.ANSWER, pack_answer(answer)),
            Share(*order["share"]),
        )
    except Exception as error:  # whatever it is, the parent turns it into a finding
        write_record(output, Record.STOPPED, f"{type(error).__name__}: {error}".encode()[:200])
        output.flush()
        return
    write_record(output, Record.FINDINGS, findings_to_wire(known.findings))
    if known.layout is not None:
        layout = [known.layout.form.value, known.layout.root]
        write_record(output, Record.LAYOUT, json.dumps(layout).encode())
    if known.model is not None:
        write_record(output, Record.MODEL, known.model)
    write_record(output, Record.DONE, b"")
    output.flush()


if __name__ == "__main__":
    main()
