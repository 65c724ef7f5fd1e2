"""Running the decoder in processes of its own, and believing nothing that they say unchecked."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import IO

from benchmark.errors import EnvironmentProblem, PredictionError
from benchmark.mask_batches import canonical_texts
from submissions.answers import Answer, unpack_answer
from submissions.decoder import Decoded, Share
from submissions.expected import Expected
from submissions.layouts import Form, Layout
from submissions.limits import MODEL_BYTES, Limits
from submissions.problems import CATALOGUE, Findings, finding
from submissions.wire import Record, WireError, read_records

ROOT = Path(__file__).resolve().parent.parent
START = "import sys; sys.path.insert(0, sys.argv[1]); from submissions.child import main; main()"
MASKS_PER_PROCESS = 20_000  # starting another process costs more than it saves below this

AnswerTaker = Callable[[Answer, bytes], None]
"""Takes a verified answer and the bytes it came as; called by one thread at a time."""


def decode_safely(
    path: Path,
    expected: Expected,
    take: AnswerTaker,
    limits: Limits | None = None,
    words: str | None = None,
) -> Decoded:
    """Decode a submission in locked-in processes; verified answers go to `take` in any order.

    A process that crashes, breaks its limits or answers nonsense becomes a finding.

    Args:
        words: the zip and the flags of its dataset as a command names them; by default its name alone.

    Raises:
        PredictionError: when the file cannot be opened.
        EnvironmentProblem: when this system has no resource limits.
    """
    if sys.platform == "win32":
        raise EnvironmentProblem(
            "submissions are decoded under limits that this system lacks",
            where=sys.platform,
            fix="use Linux, macOS or the Windows Subsystem for Linux",
        )
    limits = limits or expected.limits()
    count = max(1, min(usable_cores(), expected.masks // MASKS_PER_PROCESS))
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise PredictionError(
            "cannot open the submission",
            where=str(path),
            found=str(error.strerror or error),
            fix="give the path of a zip made by python -m submissions.pack",
        ) from error
    border = _Border(expected, take)
    try:
        if not os.path.isfile(path):
            raise PredictionError("a submission is a zip file", where=str(path), found="a folder or device")
        with ThreadPoolExecutor(count, thread_name_prefix="decode") as pool:
            shares = [Share(index, count) for index in range(count)]
            named = words or shlex.quote(path.name)
            parts = list(pool.map(lambda share: _run(handle, named, limits, border, share), shares))
    finally:
        os.close(handle)
    whole = parts[0]
    for part in parts[1:]:
        whole.findings.merge(part.findings)
    return whole


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Border:
    """Checks every answer against what is expected before anybody else sees it."""

    def __init__(self, expected: Expected, take: AnswerTaker) -> None:
        self.expected = expected
        self.take = take
        self.lock = threading.Lock()
        self.seen: set[tuple[str, str]] = set()

    def accept(self, data: bytes) -> None:
        """Take one answer.

        Raises:
            WireError: when it is not one that this dataset asked for, or its masks are not canonical.
        """
        try:
            answer = unpack_answer(data)
        except (ValueError, TypeError) as error:
            raise WireError(f"an answer that cannot be read: {error}") from error
        video = self.expected.by_id.get(answer.video_id)
        if video is None or answer.expression_id not in video.sentences:
            raise WireError("an answer nobody asked for")
        for track in (answer.actor, answer.target):
            if track is None:
                continue
            if (len(track), track.height, track.width) != (len(video.frame_names), video.height, video.width):
                raise WireError("a track of another size")
            if canonical_texts(track.counts, video.height, video.width).texts != track.counts:
                raise WireError("run-length text that is not canonical")
        with self.lock:
            key = (answer.video_id, answer.expression_id)
            if key in self.seen:
                raise WireError("an answer given twice")
            self.seen.add(key)
            self.take(answer, data)


def _run(handle: int, words: str, limits: Limits, border: _Border, share: Share) -> Decoded:
    order = {"zip": handle, "limits": asdict(limits), "share": [share.index, share.count], "words": words}
    with tempfile.TemporaryDirectory(prefix="decoder-") as empty:
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-c", START, str(ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=empty,
            env={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            pass_fds=(handle,),
        )
        assert process.stdin and process.stdout and process.stderr  # all three are pipes
        too_slow = threading.Event()

        def stop() -> None:
            too_slow.set()
            process.kill()

        watch = threading.Timer(limits.wall_seconds, stop)
        watch.start()
        known = Decoded()
        try:
            _send(process.stdin, order, border.expected)
            finished = _receive(process.stdout, known, border)
        except WireError as error:
            finished = False
            _stopped(known.findings, f"nonsense from the decoder: {error}")
        finally:
            watch.cancel()
            process.kill()
            code = process.wait()
            last = process.stderr.read(1 << 16).decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
            for pipe in (process.stdin, process.stdout, process.stderr):
                pipe.close()
        if not finished and not known.findings.counts.get("decoder-stopped"):
            why = f"more than {limits.wall_seconds} seconds" if too_slow.is_set() else last
            _stopped(known.findings, why or f"ended with code {code}")
    return known


def _send(stdin: IO[bytes], order: dict[str, object], expected: Expected) -> None:
    try:
        stdin.write(json.dumps(order).encode() + b"\n" + expected.to_bytes() + b"\n")
        stdin.close()
    except BrokenPipeError:
        return  # it died at once; why, the reader will find out


def _receive(stdout: IO[bytes], known: Decoded, border: _Border) -> bool:
    """Take in what a process says; True when it came to its end."""
    for kind, payload in read_records(stdout):
        if kind is Record.ANSWER:
            border.accept(payload)
        elif kind is Record.FINDINGS:
            known.findings.merge(_findings(payload))
        elif kind is Record.LAYOUT:
            known.layout = _layout(payload)
        elif kind is Record.MODEL:
            if len(payload) > MODEL_BYTES:
                raise WireError("a model.json of impossible length")
            known.model = payload
        elif kind is Record.STOPPED:
            _stopped(known.findings, payload[:200].decode("utf-8", "replace"))
        else:
            return True
    return False


def _stopped(findings: Findings, why: str) -> None:
    findings.add("decoder-stopped", "decoder", found=why)


def _layout(payload: bytes) -> Layout:
    try:
        form, root = json.loads(payload)
        return Layout(Form(form), str(root))
    except (ValueError, TypeError) as error:
        raise WireError("a layout that cannot be") from error


def _findings(payload: bytes) -> Findings:
    try:
        value = json.loads(payload)
        found = Findings()
        found.extend(
            finding(code, where, expected=expected, found=what, fix=fix)
            for code, where, expected, what, fix in value["places"]
        )
        for code, count in value["counts"].items():
            if code not in CATALOGUE or type(count) is not int or count < found.counts.get(code, 0):
                raise WireError("a count that cannot be")
            found.counts[code] = count
        return found
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WireError("findings that cannot be") from error
