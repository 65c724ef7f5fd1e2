"""Run an adapter of this project in another interpreter: jobs on stdin, answers on stdout, masks in files.

  python -m benchmark.evaluate --adapter external \\
      --option command="/envs/sa2va/bin/python -m benchmark.worker --adapter sa2va --option size=4b"
  python -m benchmark.worker --adapter full_frame < jobs.jsonl > answers.jsonl
  /envs/other/bin/python -m benchmark.worker --adapter my_package.model:MyAdapter --option checkpoint=/weights

For adapters whose libraries do not go together with those of the referee. The interpreter needs Python 3.11,
NumPy, Pillow and tqdm beside what the adapter needs; programs with an older Python speak the same lines by
themselves, see adapters/external.py.

Whatever the adapter prints goes to stderr: stdout holds one JSON object per line. A failed job is answered
with its reason and the worker goes on; it ends when stdin does.

Exit codes: 0 stdin has ended, 1 the input is wrong, 2 usage, 3 internal.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from benchmark.adapter import Adapter, load_adapter
from benchmark.adapter_options import parse_options
from benchmark.answer_contract import Place, checked_answers
from benchmark.command_line import parser, run_command
from benchmark.errors import AdapterError, RefereeError
from benchmark.frames import open_frames
from benchmark.inference import load_weights
from benchmark.json_records import to_json
from benchmark.query_cost import Spent, Stopwatch, gpu_fault
from benchmark.query_failures import NOT_RECORDED, classify, release_memory
from benchmark.types import Expression, MaskTrack, Prediction, Query, Role, Status

PROTOCOL = 1


class Worker:
    """An adapter that answers messages; one open video at a time."""

    def __init__(self, adapter: Adapter, name: str) -> None:
        self._adapter = adapter
        self._name = name
        self._video: int | None = None

    def answer(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one message.

        Raises:
            AdapterError: for a message of another protocol.
        """
        kind = message.get("type")
        if kind == "hello" and message.get("protocol") == PROTOCOL:
            return self._load(str(message.get("device", "cpu")), int(message.get("seed", 0)))
        if kind != "job":
            raise AdapterError(
                "not a message of this protocol",
                where="stdin",
                expected=f'{{"type": "hello", "protocol": {PROTOCOL}, ...}} or {{"type": "job", ...}}',
                found=json.dumps(message)[:100],
            )
        try:
            return {"type": "answer", "job": message["job"], "answers": self._predict(message)}
        except RefereeError as error:
            return _failed(message, Status.ERROR, str(error))
        except NOT_RECORDED:
            raise
        except BaseException as error:
            failure = classify(error)
            if gpu_fault() is not None:
                # Nothing can be done on that GPU by this process any more.
                return {**_failed(message, failure.status, failure.message), "restart": True}
            release_memory(error)
            return _failed(message, failure.status, failure.message)

    def close(self) -> None:
        """Close the video and give the model's memory back."""
        if self._video is not None:
            self._adapter.close_video()
        self._adapter.unload()

    def _load(self, device: str, seed: int) -> dict[str, Any]:
        try:
            load_weights(self._adapter, self._name, device, seed)
        except RefereeError as error:
            return _failed({}, Status.ERROR, str(error))
        return {"type": "ready", **to_json(self._adapter.info())}

    def _predict(self, job: Mapping[str, Any]) -> list[dict[str, Any]]:
        if job["video"] != self._video:
            if self._video is not None:
                self._adapter.close_video()
            self._video = None
            self._frames = open_frames(Path(job["frames"]))
            self._adapter.open_video(self._frames)
            self._video = job["video"]
        queries = [
            Query(one["index"], one["expression"], tuple(Role(role) for role in one["roles"]))
            for one in job["queries"]
        ]
        frames = self._frames
        place = Place(self._name, f"number {self._video}", len(frames), frames.height, frames.width)
        asked = [Expression(str(one.index), one.expression, "", ()) for one in queries]
        size = self._adapter.max_queries or len(queries)
        answers: list[Prediction] = []
        for first in range(0, len(queries), size):
            together = queries[first : first + size]
            watch = Stopwatch()
            raw = self._adapter.predict(together)
            spent = watch.read().share(len(together))
            answers += [
                _with_cost(one, spent) for one in checked_answers(raw, asked[first : first + size], place)
            ]
        folder = Path(job["masks"])
        return [_written(one, query.index, folder) for query, one in zip(queries, answers, strict=True)]


def serve(worker: Worker, jobs: TextIO, answers: TextIO) -> None:
    """Answer every line until there are no more.

    Raises:
        AdapterError: when a line is no JSON object.
    """
    for line in jobs:
        if not line.strip():
            continue
        try:
            message = json.loads(line)
        except ValueError as error:
            raise AdapterError(
                "not a JSON line", where="stdin", found=repr(line[:100]), expected="one job per line"
            ) from error
        if not isinstance(message, dict):
            raise AdapterError("not a JSON object", where="stdin", found=repr(line[:100]))
        answers.write(json.dumps(worker.answer(message)) + "\n")
        answers.flush()
    worker.close()


def _failed(job: Mapping[str, Any], status: Status, message: str) -> dict[str, Any]:
    number = {"job": job["job"]} if "job" in job else {}
    return {"type": "failed", **number, "status": status.value, "message": message}


def _with_cost(answer: Prediction, spent: Spent) -> Prediction:
    """The answer with what was measured where the adapter does not tell it."""
    measured = {
        name: getattr(spent, name)
        for name in ("peak_memory_bytes", "gpu_seconds", "peak_gpu_memory_bytes")
        if getattr(answer, name) is None
    }
    return replace(answer, **measured)


def _written(answer: Prediction, index: int, folder: Path) -> dict[str, Any]:
    """An answer with its masks written into the folder; a role without a track is null."""
    written: dict[str, Any] = {
        "index": index,
        "status": answer.status.value,
        "text": answer.text,
        "message": answer.message,
        "prompt": answer.prompt,
        "score": answer.score,
        # Time is taken by who asks; what only this process can know is told.
        "peak_memory_bytes": answer.peak_memory_bytes,
        "gpu_seconds": answer.gpu_seconds,
        "peak_gpu_memory_bytes": answer.peak_gpu_memory_bytes,
    }
    for role, track in ((Role.ACTOR, answer.actor), (Role.TARGET, answer.target)):
        written[role.value] = None
        if isinstance(track, MaskTrack):
            counts = [None if text is None else text.decode("ascii") for text in track.counts]
            name = f"{index}-{role}.json"
            content = {"size": [track.height, track.width], "counts": counts}
            (folder / name).write_text(json.dumps(content), encoding="utf-8")
            written[role.value] = name
    return written


def main(arguments: Sequence[str]) -> None:
    """The command; see the module's docstring."""
    command = parser("benchmark.worker", __doc__)
    command.add_argument("--adapter", required=True, metavar="NAME")
    command.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="of the adapter")
    given = command.parse_args(arguments)
    worker = Worker(load_adapter(given.adapter, parse_options(given.option)), given.adapter)
    # Model code prints: keep the real stdout for answers and send everything else to stderr.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        serve(worker, sys.stdin, answers)


if __name__ == "__main__":
    run_command(main)
