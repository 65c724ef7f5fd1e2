"""The decoder process: what it may not do, what it may not use, and what of it is not believed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.errors import InputError
from benchmark.types import MaskTrack
from submissions import examples, sandbox
from submissions.answers import pack_answer
from submissions.checking import check_submission
from submissions.problems import CATALOGUE, Severity
from submissions.sandbox import decode_safely
from submissions.wire import FRAME, Record
from tests.submissions.conftest import put

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20


def test_every_attack_gets_its_code_in_bounded_memory_and_time(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.submissions.attack_measures", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(run.stdout)
    for code, outcome in told["outcomes"].items():
        assert code in outcome["found"]
        assert outcome["passed"] == (CATALOGUE[code].severity is Severity.WARNING)
        assert outcome["seconds"] < 10, code
    assert told["peaks"]["decoders"] < 512 * MIB
    assert told["peaks"]["parent"] < 512 * MIB
    # Nothing was extracted, nothing is left: the empty folder of the script itself.
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert len(list(tmp_path.iterdir())) == 1


def in_child(tmp_path: Path, code: str) -> str:
    """What a line of Python says inside a locked-in process."""
    start = (
        "import sys; sys.path.insert(0, sys.argv[1]); from submissions.child import lock_in; "
        "from submissions import examples; import socket, subprocess, os; "
        "lock_in(examples.EXPECTED.limits())\n"
        f"try:\n    {code}\n    print('done')\n"
        "except BaseException as error:\n    print(type(error).__name__)"
    )
    run = subprocess.run(
        [sys.executable, "-I", "-c", start, str(ROOT)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "open('/etc/hostname')",
        "open('written', 'w')",
        "socket.socket()",
        "subprocess.run(['true'])",
        "os.memfd_create('x')",
        "bytes(600 << 20)",
    ],
)
def test_decoder_can_neither_open_nor_write_nor_grow(tmp_path: Path, code: str) -> None:
    assert in_child(tmp_path, code) in ("OSError", "MemoryError")
    assert list(tmp_path.iterdir()) == []


def test_decoder_gets_no_environment(passing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("PYTHONINSPECT", "1")
    assert check_submission(passing, examples.EXPECTED).passed


def stopped(path: Path, **changes: int) -> str:
    limits = replace(examples.EXPECTED.limits(), **changes)
    found = check_submission(path, examples.EXPECTED, limits=limits).findings
    assert "decoder-stopped" in found.codes
    return found.places["decoder-stopped"][0].found


def test_too_little_memory_is_a_finding(tmp_path: Path) -> None:
    """A line of 32 MiB does not fit into what the interpreter has left over."""
    long = put(tmp_path / "long.zip", examples.FAILING["json-too-large"]())
    assert "MemoryError" in stopped(long, memory_bytes=1)


def test_too_little_time_is_a_finding(passing: Path) -> None:
    assert stopped(passing, wall_seconds=0) == "more than 0 seconds"


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot open the submission"):
        check_submission(tmp_path / "none.zip", examples.EXPECTED)
    with pytest.raises(InputError, match="is a zip file"):
        check_submission(tmp_path, examples.EXPECTED)


def record(kind: bytes, payload: bytes) -> bytes:
    return FRAME.pack(kind, len(payload)) + payload


GOOD = examples.answers()[0]
SHORT = replace(GOOD, actor=MaskTrack(examples.HEIGHT, examples.WIDTH, (None,)))
SLOPPY = replace(GOOD, actor=MaskTrack(examples.HEIGHT, examples.WIDTH, (b"P6", None, None)))
NONSENSE = {
    "a record of kind": record(b"?", b""),
    "a record of 4294967295 bytes": FRAME.pack(b"A", 0xFFFFFFFF),
    "an end inside a record": record(b"A", b"12345")[:-2],
    "an answer that cannot be read": record(b"A", b"12345"),
    "an answer nobody asked for": record(b"A", pack_answer(replace(GOOD, video_id="video_z"))),
    "a track of another size": record(b"A", pack_answer(SHORT)),
    "run-length text that is not canonical": record(b"A", pack_answer(SLOPPY)),
    "an answer given twice": record(b"A", pack_answer(GOOD)) * 2,
    "a layout that cannot be": record(b"L", b'["tar", ""]'),
    "findings that cannot be": record(b"F", b"[]"),
    "a count that cannot be": record(b"F", b'{"counts": {"overlap": -1}, "places": []}'),
    "a model.json of impossible length": record(b"M", bytes(11)),
}


@pytest.mark.parametrize("words", NONSENSE)
def test_nonsense_from_the_decoder_is_a_finding(
    words: str, passing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "MODEL_BYTES", 10)
    told = NONSENSE[words].hex()
    start = f"import sys; sys.stdin.read(); sys.stdout.buffer.write(bytes.fromhex('{told}'))"
    monkeypatch.setattr(sandbox, "START", start)
    found = decode_safely(passing, examples.EXPECTED, lambda answer, data: None).findings
    assert found.codes == ("decoder-stopped",)
    assert words in found.places["decoder-stopped"][0].found


def test_decoder_that_says_nothing_is_a_finding(passing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "START", "import sys; sys.exit('no way')")
    assert "no way" in stopped(passing)
    monkeypatch.setattr(sandbox, "START", f"print({record(Record.DONE.value, b'')!r}.decode(), end='')")
    assert "answers are missing" in stopped(passing)


def test_two_processes_give_what_one_gives(passing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = check_submission(passing, examples.EXPECTED)
    monkeypatch.setattr(sandbox, "MASKS_PER_PROCESS", 1)
    monkeypatch.setattr(sandbox, "usable_cores", lambda: 2)
    shared = check_submission(passing, examples.EXPECTED)
    assert (shared.digest, shared.tally, shared.findings) == (alone.digest, alone.tally, alone.findings)
