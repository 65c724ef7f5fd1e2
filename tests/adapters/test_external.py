"""Programs in other processes: well-behaved, dying, hanging, babbling, and writing wrong masks."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.adapter import load_adapter
from benchmark.errors import AdapterError
from benchmark.predictions import open_predictions
from benchmark.query_failures import QueryTimeout
from benchmark.types import Expression, MaskTrack, Role, Status
from tests.benchmark.scripted_adapter import run
from tests.benchmark.tiny_clips import HEIGHT, WIDTH, TinyDataset, tiny_dataset

pytestmark = pytest.mark.usefixtures("unsynced")

PROGRAM = """
import json, os, sys, time
T = 3
def say(**message):
    print(json.dumps(message), flush=True)
for line in sys.stdin:
    job = json.loads(line)
    if job["type"] == "hello":
        print("loading", file=sys.stderr, flush=True)
        say(type="ready", name="toy", version="7", roles=["actor"], licence="MIT", seed=job["seed"])
        continue
    query = job["queries"][0]
    words = query["expression"]
    answer = {"index": query["index"], "text": words.upper()}
    def mask(name, size, counts):
        with open(os.path.join(job["masks"], name), "w") as file:
            json.dump({"size": size, "counts": counts}, file)
        return name
    size = [job["height"], job["width"]]
    if words == "die":
        print("out of luck", file=sys.stderr, flush=True)
        os._exit(9)
    elif words == "hang":
        time.sleep(600)
    elif words == "garbage":
        print("Loading checkpoint 3/3", flush=True)
        continue
    elif words == "list":
        print("[1]", flush=True)
        continue
    elif words == "other job":
        say(type="answer", job=-5, answers=[])
        continue
    elif words == "gives up":
        say(type="failed", job=job["job"], status="out_of_memory", message="CUDA out of memory")
        continue
    elif words == "gives up oddly":
        say(type="failed", job=job["job"], status="tired")
        continue
    elif words == "gpu gone":
        say(type="failed", job=job["job"], status="error", message="CUDA error", restart=True)
        continue
    elif words == "no answer":
        say(type="answer", job=job["job"], answers=[])
        continue
    elif words == "costly":
        answer |= {"gpu_seconds": 0.5, "peak_memory_bytes": 9, "peak_gpu_memory_bytes": 7}
    elif words == "costs nonsense":
        answer["gpu_seconds"] = -1
    elif words == "bad status":
        answer["status"] = "splendid"
    elif words == "wrong size":
        answer["actor"] = mask("a.json", [1, 1], [None] * T)
    elif words == "few frames":
        answer["actor"] = mask("a.json", size, [None])
    elif words == "undecodable":
        answer["actor"] = mask("a.json", size, ["zz"] * T)
    elif words == "escape":
        answer["actor"] = "../../etc/passwd"
    elif words == "nowhere":
        answer["actor"] = "nothing.npy"
    elif words == "says no":
        answer["status"] = "abstain"
        answer["message"] = {"reason": 1}
    elif words == "frames":
        names = sorted(os.listdir(job["frames"]))
        assert names == ["00000.jpg", "00001.jpg", "00002.jpg"], names
        answer.update(actor=mask("a.json", size, [None] * T), score=0.25)
    else:
        answer["actor"] = mask("a.json", size, [None] * T)
    say(type="answer", job=job["job"], answers=[answer])
"""

ONCE = """
import json, os, struct, sys, zlib
with open(sys.argv[1]) as file:
    job = json.load(file)
masks, frames, height, width = job["masks"], job["frame_count"], job["height"], job["width"]
def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
def png(value):
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = (bytes([0]) + bytes([value]) * width) * height
    signature = bytes([137, 80, 78, 71, 13, 10, 26, 10])
    return signature + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
for query in job["queries"]:
    words, index = query["expression"], str(query["index"])
    if words == "fail":
        sys.exit("no such weights")
    if words == "listed":
        with open(os.path.join(masks, "a.json"), "w") as file:
            json.dump({"size": [height, width], "counts": [None] * frames}, file)
        with open(os.path.join(masks, "answers.json"), "w") as file:
            json.dump({"answers": [{"index": query["index"], "target": "a.json"}]}, file)
    elif words != "nothing":
        folder = os.path.join(masks, index, "actor")
        os.makedirs(folder)
        for frame in range(frames):
            with open(os.path.join(folder, f"{frame:05d}.png"), "wb") as file:
                file.write(png(frame))
"""


def dataset_of(sentences: Sequence[str]) -> TinyDataset:
    """One clip of three frames that is asked these sentences."""
    dataset = tiny_dataset(videos=1)
    asked = tuple(Expression(str(i), text, "single", ("0a",)) for i, text in enumerate(sentences))
    dataset.videos = (replace(dataset.videos[0], expressions=asked),)
    return dataset


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


@pytest.fixture
def once(tmp_path: Path) -> Path:
    path = tmp_path / "once.py"
    path.write_text(ONCE)
    return path


def options(tmp_path: Path, program: Path, *words: str, **more: str) -> dict[str, str]:
    command = shlex.join([sys.executable, "-S", str(program)]) if not words else shlex.join(words)
    return {"command": command, "log": str(tmp_path / "program.log"), **more}


def outcomes(
    tmp_path: Path, sentences: Sequence[str], given: dict[str, str]
) -> dict[str, tuple[Status, str]]:
    """Status and message by sentence."""
    adapter = load_adapter("external", given)
    dataset = dataset_of(sentences)
    folder = run(adapter, dataset, tmp_path / "out")
    folder.finish(dataset, None, ("rvos",))
    stored = open_predictions(tmp_path / "out", dataset).video("clip0")
    adapter.unload()
    return {one.expression: (one.status, str(one.message)) for one in stored.values()}


def test_answers_come_back_with_their_facts(tmp_path: Path, program: Path) -> None:
    adapter = load_adapter("external", options(tmp_path, program))
    assert adapter.info().name == f"external({Path(sys.executable).name})"
    dataset = dataset_of(["frames", "says no"])
    folder = run(adapter, dataset, tmp_path / "out")
    info = adapter.info()
    assert (info.name, info.version, info.roles, info.licence) == ("external(toy)", "7", (Role.ACTOR,), "MIT")
    folder.finish(dataset, None, ("rvos",))
    one, other = open_predictions(tmp_path / "out", dataset).video("clip0").values()
    assert one.actor == MaskTrack(HEIGHT, WIDTH, (None,) * 3) and one.target is None
    assert (one.text, one.score) == ("FRAMES", 0.25)
    assert (other.status, other.actor, other.message) == (Status.ABSTAIN, None, '{"reason": 1}')
    adapter.unload()
    assert (tmp_path / "program.log").read_text() == "loading\n"


def test_every_misbehaviour_fails_its_query_alone(tmp_path: Path, program: Path) -> None:
    expected = {
        "die": "ended with exit code 9; .*program.log ends with: 'loading | out of luck'",
        "garbage": "stdout is not a JSON object: 'Loading checkpoint 3/3'",
        "list": r"not a JSON object: '\[1\]'",
        "other job": "answered something else than 'answer'",
        "gives up": "CUDA out of memory",
        "gives up oddly": "the program gives no reason",
        "no answer": "no answer to this sentence",
        "bad status": "'splendid' is not a valid Status",
        "wrong size": r"wrong mask size; expected 18x25; found \(1, 1\)",
        "few frames": "one run-length text per frame is needed; expected 3",
        "undecodable": "does not cover its frame|run",
        "escape": "masks outside the folder that was given",
        "nowhere": "no masks where the program says they are",
    }
    sentences = [word for name in expected for word in (name, f"well after {name}")]
    found = outcomes(tmp_path, sentences, options(tmp_path, program))
    for name, pattern in expected.items():
        status, message = found[name]
        assert status is (Status.OUT_OF_MEMORY if name == "gives up" else Status.ERROR), (name, message)
        import re

        assert re.search(pattern.replace(" | ", r" \| "), message), (name, message)
        assert found[f"well after {name}"] == (Status.OK, "None")


def test_a_program_that_hangs_is_ended_and_started_again(tmp_path: Path, program: Path) -> None:
    found = outcomes(tmp_path, ["hang", "well"], options(tmp_path, program, timeout="1"))
    assert found["hang"] == (Status.TIMEOUT, "no answer within 1 seconds; the program was ended")
    assert found["well"][0] is Status.OK


def test_a_program_that_asks_for_it_is_started_again_and_nothing_else_is_lost(
    tmp_path: Path, program: Path
) -> None:
    found = outcomes(tmp_path, ["gpu gone", "well", "gpu gone too"], options(tmp_path, program))
    assert found["gpu gone"][0] is Status.ERROR and "CUDA error" in found["gpu gone"][1]
    assert found["well"][0] is Status.OK
    assert (tmp_path / "program.log").read_text() == "loading\n" * 2


def test_costs_that_the_program_tells_are_kept_and_nonsense_fails_its_query(
    tmp_path: Path, program: Path
) -> None:
    adapter = load_adapter("external", options(tmp_path, program))
    dataset = dataset_of(["costly", "costs nonsense", "well"])
    run(adapter, dataset, tmp_path / "out").finish(dataset, None, ("rvos",))
    adapter.unload()
    told, wrong, silent = open_predictions(tmp_path / "out", dataset).video("clip0").values()
    assert (told.gpu_seconds, told.peak_memory_bytes, told.peak_gpu_memory_bytes) == (0.5, 9, 7)
    assert told.seconds is not None
    assert (wrong.status, wrong.message) == (Status.ERROR, "gpu_seconds is -1.0, which it cannot be")
    # The memory of this process says nothing of the program's.
    assert (silent.gpu_seconds, silent.peak_memory_bytes, silent.peak_gpu_memory_bytes) == (None, None, None)


def test_the_referees_own_time_limit_ends_the_program_too(tmp_path: Path, program: Path) -> None:
    adapter = load_adapter("external", options(tmp_path, program))
    dataset = dataset_of(["hang", "well"])
    folder = run(adapter, dataset, tmp_path / "out", query_timeout=1.0)
    folder.finish(dataset, None, ("rvos",))
    stored = list(open_predictions(tmp_path / "out", dataset).video("clip0").values())
    assert [one.status for one in stored] == [Status.TIMEOUT, Status.OK]
    assert QueryTimeout.__name__ not in str(stored[0].message)
    adapter.unload()


def test_a_program_that_keeps_dying_stops_the_run(tmp_path: Path, program: Path) -> None:
    adapter = load_adapter("external", options(tmp_path, program, restarts="1"))
    with pytest.raises(AdapterError, match=r"ended 2 times in a row without an answer.*program\.log"):
        run(adapter, dataset_of(["die"] * 4), tmp_path / "out")


def test_several_sentences_at_once_are_asked_again_one_by_one(tmp_path: Path, program: Path) -> None:
    # The toy answers the first of a job only.
    given = options(tmp_path, program, queries_per_job="2")
    found = outcomes(tmp_path, ["garbage", "well"], given)
    assert found["garbage"][0] is Status.ERROR and found["well"][0] is Status.OK


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (["no-such-program-7"], "the program does not exist"),
        ([sys.executable, "-c", "raise SystemExit(5)"], "does not start.* ended with exit code 5"),
        ([sys.executable, "-c", "print('hello'); input()"], "does not start.*stdout is not a JSON object"),
        (
            [sys.executable, "-c", 'print(\'{"type": "failed", "message": "no GPU"}\'); input()'],
            "does not start.* no GPU",
        ),
    ],
)
def test_a_program_that_does_not_start(tmp_path: Path, words: list[str], pattern: str) -> None:
    adapter = load_adapter("external", options(tmp_path, Path(), *words))
    with pytest.raises(AdapterError, match=pattern):
        adapter.load("cpu", 0)


def test_a_program_that_needs_too_long_to_start(tmp_path: Path) -> None:
    words = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
    adapter = load_adapter("external", options(tmp_path, Path(), *words, start_timeout="0.3"))
    with pytest.raises(AdapterError, match=r"does not start.*no answer within 0\.3 seconds"):
        adapter.load("cpu", 0)


@pytest.mark.parametrize(
    ("given", "pattern"),
    [
        ({"command": "'open"}, "not a command line"),
        ({"command": " "}, "an empty command"),
        ({"command": "x", "roles": "hero"}, "not roles"),
    ],
)
def test_options_that_make_no_sense(given: dict[str, str], pattern: str) -> None:
    with pytest.raises(AdapterError, match=pattern):
        load_adapter("external", given)


def test_a_program_started_per_job(tmp_path: Path, once: Path) -> None:
    sentences = ["pictures", "listed", "fail", "nothing"]
    given = options(
        tmp_path, once, sys.executable, "-S", str(once), "{job}", roles="actor,target", name="once"
    )
    adapter = load_adapter("external", given)
    dataset = dataset_of(sentences)
    folder = run(adapter, dataset, tmp_path / "out")
    folder.finish(dataset, None, ("rvos",))
    stored = open_predictions(tmp_path / "out", dataset).video("clip0").values()
    found = {one.expression: one for one in stored}
    pictures, listed = found["pictures"], found["listed"]
    assert pictures.actor is not None and pictures.actor.counts[0] is None and pictures.actor.counts[1]
    assert pictures.target is None and listed.actor is None
    assert listed.target == MaskTrack(HEIGHT, WIDTH, (None,) * 3)
    said = {name: str(one.message) for name, one in found.items() if one.status is Status.ERROR}
    assert "exit code 1" in said["fail"] and "no such weights" in said["fail"]
    assert "neither answers.json nor any mask" in said["nothing"]
    adapter.unload()


def test_a_program_per_job_that_hangs(tmp_path: Path) -> None:
    words = [sys.executable, "-S", "-c", "import time; time.sleep(600)", "{job}"]
    found = outcomes(tmp_path, ["a"], options(tmp_path, Path(), *words, timeout="0.3"))
    assert found["a"] == (Status.TIMEOUT, "no end within 0.3 seconds; the program was ended")


def test_masks_survive_the_journey(tmp_path: Path) -> None:
    """One of our own adapters in a process of its own answers as it does in this one."""
    command = [sys.executable, "-m", "benchmark.worker", "--adapter", "centre_box", "--option", "side=0.3"]
    dataset = dataset_of(["a", "b"])
    answers = []
    for adapter in (
        load_adapter("external", options(tmp_path, Path(), *command)),
        load_adapter("centre_box", {"side": "0.3"}),
    ):
        output = tmp_path / adapter.info().name
        run(adapter, dataset, output).finish(dataset, None, ("rvos",))
        read = open_predictions(output, dataset)
        answers.append([(one.actor, one.target) for one in read.video("clip0").values()])
        adapter.unload()
    assert answers[0] == answers[1]
    assert np.all([actor is not None for actor, _ in answers[0]])
