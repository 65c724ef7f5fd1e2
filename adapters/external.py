"""Any program that writes masks, in its own interpreter, environment and process.

Two ways, told apart by the command:

    a command with {job} in it      started once per job; {job} becomes the path of a JSON file
    any other command               started once; jobs come as JSON lines on stdin, answers go to stdout

A job (the file, or the line):

    {"type": "job", "job": 7, "video": 3, "frames": FOLDER, "frame_count": T, "height": H, "width": W,
     "masks": FOLDER, "queries": [{"index": 0, "expression": "...", "roles": ["actor", "target"]}],
     "device": "cuda", "seed": 0}

`frames` holds 00000.jpg, 00001.jpg, ...; `video` changes when the frames do. An answer (one line, or the
file `answers.json` in the folder `masks`):

    {"type": "answer", "job": 7, "answers": [{"index": 0, "actor": MASKS, "target": null,
      "status": "ok", "text": "Sure, [SEG].", "message": null, "score": null, "gpu_seconds": 0.8,
      "peak_memory_bytes": 9000000000, "peak_gpu_memory_bytes": 9000000000}]}

where MASKS is relative to the folder `masks`: a folder of 00000.png, ... (not 0 is foreground), a `.npy`
array (T, H, W), a `.json` {"size": [H, W], "counts": [COCO run-length text or null per frame]}, or null for
"no such object". A command that is started per job may leave answers.json out and write the folders
INDEX/actor and INDEX/target. {"type": "failed", "job": 7, "status": "out_of_memory", "message": "..."} gives
up a job; with "restart": true the program is ended, and started again for the next one.

A program that takes lines is first told {"type": "hello", "protocol": 1, "device": ..., "seed": ...} and
answers {"type": "ready", "name": ..., "version": ...} when its model is loaded; what else of `AdapterInfo`
it tells is kept. `python -m benchmark.worker` is such a program for adapters of this project.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, final

from benchmark.adapter import Adapter, Requirements
from benchmark.errors import AdapterError
from benchmark.frames import FrameSequence
from benchmark.types import AdapterInfo, Prediction, Query, Role, Status
from benchmark.worker_masks import answer_of_folders, read_answers
from benchmark.worker_process import WorkerFailure, WorkerProcess, json_object

PROTOCOL = 1
JOB_MARK = "{job}"
FACTS = ("version", "revision", "licence", "parameters", "weights_digest", "frame_policy")


@final
class External(Adapter):
    """Hands jobs to another program and reads the masks it writes.

    Args:
        command: the program and its arguments, as typed in a shell (nothing is expanded but {job}).
        name: name of the model, for tables; else what the program says, or the program's name.
        roles: which tracks it can give: `actor`, or `actor,target`; else what the program says, or both.
        timeout: seconds for one job; then the program is ended and started again for the next.
        start_timeout: seconds from its start until it is ready.
        restarts: how many times in a row it may end without an answer before the run stops.
        queries_per_job: how many sentences of a video are asked at once.
        folder: working folder of the program.
        log: file that keeps its stderr; one in the folder for temporary files if not given.
    """

    summary = "any program that reads jobs and writes masks (--option command='...')"
    works_elsewhere = True

    def __init__(
        self,
        command: str,
        name: str | None = None,
        roles: str | None = None,
        timeout: float | None = None,
        start_timeout: float = 900.0,
        restarts: int = 3,
        queries_per_job: int = 1,
        folder: Path | None = None,
        log: Path | None = None,
    ) -> None:
        self._words = _words(command)
        self._name = name
        self._roles = _roles(roles.split(",")) if roles else None
        self._timeout, self._start_timeout = timeout, start_timeout
        self._restarts = restarts
        self.max_queries = max(1, queries_per_job)
        self._folder = folder
        self._log = log or Path(tempfile.gettempdir()) / f"external-program-{os.getpid()}.log"
        self._told: Mapping[str, Any] = {}
        self._process: WorkerProcess | None = None
        self._video = self._job = self._deaths = 0
        self._open = ExitStack()

    def info(self) -> AdapterInfo:
        name = self._name or self._told.get("name") or Path(self._words[0]).name
        facts = {key: self._told[key] for key in FACTS if self._told.get(key) is not None}
        roles = self._roles or _roles(self._told.get("roles") or list(Role))
        return AdapterInfo(**{"name": f"external({name})", "version": "1", **facts}, roles=roles)

    def requirements(self) -> Requirements:
        return Requirements(
            programs=(self._words[0],), environment="the program's own, which only it can check"
        )

    def load(self, device: str, seed: int) -> None:
        self._circumstances = {"device": device, "seed": seed}
        if shutil.which(self._words[0], path=os.environ.get("PATH")) is None:
            raise AdapterError(
                "the program does not exist",
                where=f"--option command={self._words[0]}",
                fix="give its full path, such as /envs/visa/bin/python",
            )
        if not self._once:
            try:
                self._start()
            except WorkerFailure as error:
                raise AdapterError(
                    "the program does not start", where=shlex.join(self._words), found=str(error)
                ) from error

    def open_video(self, frames: FrameSequence) -> None:
        self._video += 1
        self._frames = frames
        self._frame_folder = self._open.enter_context(frames.as_jpeg_folder())

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        with tempfile.TemporaryDirectory(prefix="masks-") as name:
            try:
                answer = self._ask(queries, Path(name))
                return read_answers(answer, queries, Path(name), self._frames)
            except WorkerFailure as error:
                if len(queries) > 1:  # the referee asks again, one by one
                    raise
                return [Prediction(status=error.status, message=str(error))]
            except BaseException:
                self._end()  # it may still be at work on a job that nobody waits for
                raise

    def close_video(self) -> None:
        self._open.close()

    def unload(self) -> None:
        if self._process is not None:
            self._process.say_goodbye()
        self._process = None

    @property
    def _once(self) -> bool:
        return any(JOB_MARK in word for word in self._words)

    def _ask(self, queries: Sequence[Query], masks: Path) -> Mapping[str, Any]:
        self._job += 1
        job = {
            "type": "job",
            "job": self._job,
            "video": self._video,
            "frames": str(self._frame_folder),
            "frame_count": len(self._frames),
            "height": self._frames.height,
            "width": self._frames.width,
            "masks": str(masks),
            "queries": [
                {"index": one.index, "expression": one.expression, "roles": list(one.roles)}
                for one in queries
            ],
        }
        answer = self._run_once(job, masks) if self._once else self._exchange(job)
        if answer.get("type") == "failed":
            known = answer.get("status") in {one.value for one in Status if one.failed}
            status = Status(str(answer["status"])) if known else Status.ERROR
            raise WorkerFailure(status, str(answer.get("message") or "the program gives no reason"))
        return answer

    def _exchange(self, job: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._process is None:
            if self._deaths > self._restarts:
                raise AdapterError(
                    f"the program ended {self._deaths} times in a row without an answer",
                    where=shlex.join(self._words),
                    fix=f"read {self._log}, mend it and run the same command again with --retry-failed",
                )
            self._start()
        process = self._process
        assert process is not None
        try:
            answer = process.exchange(job, "answer", self._timeout)
        except WorkerFailure:
            self._deaths += 1
            self._end()
            raise
        self._deaths = 0
        if answer["type"] == "failed" and answer.get("restart") is True:
            self._end()
        return answer

    def _start(self) -> None:
        process = WorkerProcess(self._words, self._folder, self._log)
        self._process = process
        hello = {"type": "hello", "protocol": PROTOCOL, **self._circumstances}
        try:
            self._told = process.exchange(hello, "ready", self._start_timeout)
        except WorkerFailure:
            self._deaths += 1
            self._end()
            raise

    def _run_once(self, job: Mapping[str, Any], masks: Path) -> Mapping[str, Any]:
        with tempfile.NamedTemporaryFile("w", prefix="job-", suffix=".json") as file:
            json.dump({**job, **self._circumstances}, file)
            file.flush()
            words = [word.replace(JOB_MARK, file.name) for word in self._words]
            process = self._process = WorkerProcess(words, self._folder, self._log)
            process.wait(self._timeout)
        self._process = None
        answers = masks / "answers.json"
        if answers.is_file():
            return json_object(answers.read_text(encoding="utf-8", errors="replace"), "answers.json")
        found = [answer_of_folders(masks, query["index"]) for query in job["queries"]]
        if not any(found):
            raise WorkerFailure(Status.ERROR, "the program wrote neither answers.json nor any mask")
        return {"answers": [one for one in found if one]}

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
        self._process = None


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise AdapterError(
            "not a command line", where=f"--option command={command}", found=str(error)
        ) from error
    if not words:
        raise AdapterError(
            "an empty command", where="--option command=", expected="a program and its arguments"
        )
    return words


def _roles(names: Sequence[str]) -> tuple[Role, ...]:
    known = {role.value for role in Role}
    if not names or not set(names) <= known:
        raise AdapterError(
            "not roles", where="adapter external", expected="actor or actor,target", found=str(names)
        )
    return tuple(role for role in Role if role.value in names)
