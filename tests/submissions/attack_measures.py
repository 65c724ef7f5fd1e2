"""Check every failing example in the locked-in process, and say what that took.

Run as a process of its own, so that the peak memory of children is that of decoders alone. Prints JSON:
per code the codes found and the seconds; the peak of all decoders and of this process, in bytes.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from submissions import examples
from submissions.checking import check_submission


def main() -> None:
    """Check all examples below a folder that nothing else uses."""
    place = Path(tempfile.mkdtemp(dir=sys.argv[1]))
    outcomes = {}
    for code, build in examples.FAILING.items():
        path = place / "my.zip"
        path.write_bytes(build())
        began = time.process_time() + children_seconds()
        checked = check_submission(path, examples.EXPECTED)
        seconds = time.process_time() + children_seconds() - began
        outcomes[code] = {"found": checked.findings.codes, "seconds": seconds, "passed": checked.passed}
        path.unlink()
    peaks = {
        "decoders": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
        "parent": own_peak_bytes(),
    }
    print(json.dumps({"outcomes": outcomes, "peaks": peaks}))


def own_peak_bytes() -> int:
    """Resident memory of this program at its highest.

    Not `ru_maxrss` of the process: Linux carries that over from whoever started it, so under a large test
    process it would tell that one's size.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024


def children_seconds() -> float:
    """Processor time of all decoders so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
