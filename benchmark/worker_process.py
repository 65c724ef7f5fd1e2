"""A program in another process that answers JSON lines: time limits, its end, its stderr kept."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, final

from benchmark.types import Status

LAST_LINES = 3
LONGEST_EXCERPT = 200
GOODBYE_SECONDS = 5.0


class WorkerFailure(Exception):
    """A job without an answer, for a reason that may not concern the next one."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status


@final
class WorkerProcess:
    """A running program with JSON lines on stdin and stdout; stderr goes to the end of a file."""

    def __init__(self, words: Sequence[str], folder: Path | None, log: Path) -> None:
        self._log = log
        self._lines: queue.Queue[str | None] = queue.Queue()
        try:
            with log.open("ab") as errors:
                self._before = errors.tell()
                self._process = subprocess.Popen(
                    words,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    cwd=folder,
                    text=True,
                    encoding="utf-8",
                    errors="replace",
                    start_new_session=True,  # so that what it starts ends with it
                )
        except OSError as error:
            raise WorkerFailure(Status.ERROR, f"the program cannot be started: {error}") from error
        assert self._process.stdout is not None
        self._reading = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reading.start()

    def exchange(self, message: Mapping[str, Any], wanted: str, timeout: float | None) -> Mapping[str, Any]:
        """Send a line and wait for the line that answers it.

        Raises:
            WorkerFailure: when the program ends, says something else, or takes too long.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty as error:
            text = f"no answer within {timeout:g} seconds; the program was ended"
            raise WorkerFailure(Status.TIMEOUT, text) from error
        if line is None:
            raise self._ended()
        answer = json_object(line, "the program's stdout")
        kinds = (wanted, "failed")
        if answer.get("type") not in kinds or answer.get("job", message.get("job")) != message.get("job"):
            raise WorkerFailure(
                Status.ERROR, f"the program answered something else than {wanted!r}: {excerpt(line)}"
            )
        if wanted == "ready" and answer["type"] == "failed":
            raise WorkerFailure(Status.ERROR, str(answer.get("message")))
        return answer

    def wait(self, timeout: float | None) -> None:
        """Wait for the end of a program that is started per job.

        Raises:
            WorkerFailure: when it ends with an error or takes too long.
        """
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            self.kill()
            text = f"no end within {timeout:g} seconds; the program was ended"
            raise WorkerFailure(Status.TIMEOUT, text) from error
        self._close()
        if code:
            raise self._ended()

    def say_goodbye(self) -> None:
        """Close its stdin, which asks it to end; end it if it does not."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(GOODBYE_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            self.kill()
        self._close()

    def kill(self) -> None:
        """End it and everything it started."""
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._close()

    def _close(self) -> None:
        """Give the pipes of an ended program back."""
        assert self._process.stdin is not None
        with suppress(OSError):  # what was not yet sent has no reader any more
            self._process.stdin.close()
        self._reading.join(GOODBYE_SECONDS)

    def _read(self, stdout: TextIO) -> None:
        with stdout:
            for line in stdout:
                if line.strip():
                    self._lines.put(line)
        self._lines.put(None)

    def _ended(self) -> WorkerFailure:
        try:
            code = self._process.wait(GOODBYE_SECONDS)
        except subprocess.TimeoutExpired:
            return WorkerFailure(Status.ERROR, "the program closed its stdout")
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        with self._log.open("rb") as file:
            file.seek(self._before)
            lines = deque(file.read().decode("utf-8", "replace").splitlines(), LAST_LINES)
        said = " | ".join(line.strip() for line in lines if line.strip())
        told = f"{self._log} ends with: {excerpt(said)}" if said else "it wrote nothing to stderr"
        return WorkerFailure(Status.ERROR, f"the program {how}; {told}")


def json_object(text: str, where: str) -> Mapping[str, Any]:
    """The object that a program wrote.

    Raises:
        WorkerFailure: when it is none.
    """
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise WorkerFailure(Status.ERROR, f"{where} is not a JSON object: {excerpt(text)}")
    return value


def excerpt(text: str) -> str:
    """The beginning of a text, quoted."""
    text = text.strip()
    return repr(text if len(text) <= LONGEST_EXCERPT else f"{text[:LONGEST_EXCERPT]}...")
