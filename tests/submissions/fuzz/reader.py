"""Fuzz the reader of submissions with atheris, from the repository root:

  pip install atheris
  python -m tests.submissions.fuzz.reader CORPUS -max_total_time=600 -max_len=20000

Every input is a zip; beside random bytes a mutator keeps the archive sound and changes what lies inside,
so that the layers behind the archive (JSON lines, run-length text, PNG chunks) are reached too. Any
exception but the ones the decoder names is a fault. The seeds are the examples that pass and fail.
"""

from __future__ import annotations

import io
import os
import random
import sys
import zipfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["submissions", "benchmark"]):
    from submissions import examples
    from submissions.decoder import Share, decode
    from submissions.zip_directory import FileBytes

SMALL = 200_000
MOST = 20_000
LIMITS = examples.EXPECTED.limits()


def judge(data: bytes) -> None:
    """Decode one input; what may come out is findings, answers, nothing else."""
    handle = os.memfd_create("zip")
    try:
        os.write(handle, data)
        decode(FileBytes(handle), examples.EXPECTED, LIMITS, "fuzz.zip", lambda answer: None, Share())
    finally:
        os.close(handle)


def mutate(data: bytes, most: int, seed: int) -> bytes:
    """Change one member of a sound zip, or the bytes of the zip itself."""
    chance = random.Random(seed)
    if chance.random() < 0.3:
        return atheris.Mutate(data, most)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {one.filename: archive.read(one) for one in archive.infolist() if one.file_size < SMALL}
        name = chance.choice(sorted(members))
        members[name] = atheris.Mutate(members[name], len(members[name]) + 64)
        changed = examples.zipped(members)
    except Exception:  # not a zip that Python can read: change its bytes
        return atheris.Mutate(data, most)
    return changed if len(changed) <= most else atheris.Mutate(data, most)


def main() -> None:
    """Write the seeds, then fuzz."""
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    builders = {**{name: lambda content=content: content for name, content in examples.passing().items()}}
    for code, build in {**builders, **examples.FAILING}.items():
        if code not in ("zip-too-large", "json-too-large", "ratio-too-high", "total-too-large"):
            content = build()
            if len(content) <= MOST:
                (corpus / f"seed-{code}").write_bytes(content)
    atheris.Setup(sys.argv, judge, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
