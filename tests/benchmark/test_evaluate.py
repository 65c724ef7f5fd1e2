"""The main command from its words to its files, and through every kind of interruption."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmark import stored_files
from benchmark.errors import (
    AdapterError,
    DatasetError,
    EnvironmentProblem,
    OutputError,
    PredictionError,
    UsageError,
)
from benchmark.evaluate import main
from benchmark.evaluation_choices import read_choices
from benchmark.selection import Shard
from tests.benchmark.small_release import SIZES, meta, track_array, write_release

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
QUERIES = sum(len(video["expressions"]) for video in meta()["videos"].values())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_release(tmp_path / "data" / "val").parent


def words(data: Path, output: Path, *more: str, adapter: str = "oracle") -> list[str]:
    given = ["--adapter", adapter, "--dataset", "interrvos", "--data-root", str(data)]
    return [*given, "--output", str(output), *more]


def scores(output: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((output / "result.json").read_bytes())
    return result


def start(arguments: Sequence[str], *launcher: str, **environment: str) -> subprocess.Popen[str]:
    command = [*(launcher or (sys.executable,)), "-m", "benchmark.evaluate", *arguments]
    path = os.pathsep.join([str(HERE), str(ROOT)])
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return out, error


def test_oracle_from_first_to_last_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(words(data, tmp_path / "out"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        f"interrvos val (2 videos, {QUERIES} expressions); adapter oracle 1; "
        "InterRVOS-Actor v1, InterRVOS-Target v1, RVOS v1"
    )
    assert f"result: {tmp_path / 'out' / 'result.json'}" in lines
    assert lines[-1].startswith("next: python -m ")
    for setting in ("InterRVOS-Actor", "InterRVOS-Target", "RVOS"):
        assert scores(tmp_path / "out")["settings"][setting]["J&F"] == 100.0


def test_a_second_run_predicts_nothing_and_says_the_same(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(words(data, tmp_path / "out"))
    first = capsys.readouterr().out
    stored = (tmp_path / "out" / "result.json").read_bytes()

    def refuse(*_: object) -> None:
        raise AssertionError("nothing is left to predict: nothing may be loaded")

    monkeypatch.setattr("benchmark.evaluate.load_weights", refuse)
    main(words(data, tmp_path / "out", "--resume"))
    assert capsys.readouterr().out == first
    assert (tmp_path / "out" / "result.json").read_bytes() == stored


def test_a_limited_run_is_partial(data: Path, tmp_path: Path) -> None:
    main(words(data, tmp_path / "out", "--limit", "2"))
    result = scores(tmp_path / "out")
    assert result["partial"] is not None
    assert result["dataset"]["expressions"] == 2
    main(words(data, tmp_path / "out"))
    assert scores(tmp_path / "out")["partial"] is None, "a whole result takes the place of a partial one"


def test_settings_ask_only_what_they_score(data: Path, tmp_path: Path) -> None:
    main(words(data, tmp_path / "out", "--settings", "target,actor"))
    result = scores(tmp_path / "out")
    assert list(result["settings"]) == ["InterRVOS-Actor", "InterRVOS-Target"]
    stored = (tmp_path / "out" / "predictions" / "videos").glob("*")
    assert sum(path.read_text().count('"text":') for path in stored) == 1


def test_failures_are_scored_zero_and_retried_on_request(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    adapter = "failing_once:FailingOnce"
    (tmp_path / "failing_once.py").write_text(
        "from pathlib import Path\n"
        "from scripted_adapter import Scripted\n"
        "class FailingOnce(Scripted):\n"
        "    def __init__(self, flag: Path) -> None:\n"
        "        super().__init__()\n"
        "        self.flag = flag\n"
        "    def predict(self, queries):\n"
        "        if self.flag.exists() and any('dog' in q.expression for q in queries):\n"
        "            raise MemoryError('too large')\n"
        "        return super().predict(queries)\n"
    )
    flag = tmp_path / "flag"
    flag.touch()
    sys.path[:0] = [str(HERE), str(tmp_path)]
    try:
        asked = words(data, output, "--option", f"flag={flag}", adapter=adapter)
        main(asked)
        assert scores(output)["settings"]["RVOS"]["failed"] == {"out_of_memory": 1}
        with pytest.raises(AdapterError, match="too large"):
            main([*asked, "--strict"])
        flag.unlink()
        main(asked)
        assert scores(output)["settings"]["RVOS"]["failed"] == {"out_of_memory": 1}
        main([*asked, "--retry-failed"])
        assert sum(scores(output)["settings"]["RVOS"]["failed"].values()) == 0
    finally:
        del sys.path[:2]
        sys.modules.pop("failing_once", None)


def test_a_result_is_replaced_only_when_its_predictions_are_no_more(data: Path, tmp_path: Path) -> None:
    main(words(data, tmp_path / "out"))
    with pytest.raises(OutputError, match="another result lies here"):
        main(words(data, tmp_path / "out", "--settings", "rvos"))
    content = meta()
    content["videos"]["222_clip000"]["expressions"]["0"]["exp"] = "a wolf"
    write_release(data / "val", content)
    with interrupted_scoring(), pytest.raises(KeyboardInterrupt):
        main(words(data, tmp_path / "out"))
    main(words(data, tmp_path / "out"))
    assert "a wolf" in (tmp_path / "out" / "expressions.csv").read_text()


@contextmanager
def interrupted_scoring() -> Iterator[None]:
    """A run that is interrupted between its last answer and its result."""
    with pytest.MonkeyPatch.context() as patched:

        def interrupt(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patched.setattr("benchmark.evaluate.write_result", interrupt)
        yield


def test_weights_that_show_only_after_loading_are_still_compared(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    flag = tmp_path / "weights"
    asked = words(data, tmp_path / "out", "--option", f"weights={flag}", adapter="scripted_adapter:Late")
    flag.write_text("one")
    main(asked)
    main(asked)
    flag.write_text("two")
    with pytest.raises(PredictionError, match="weights_digest was 'one' and is 'two'"):
        main(asked)
    assert (tmp_path / "out" / "predictions" / "manifest.json").exists()


def test_empty_scores_the_share_of_frames_without_the_object(data: Path, tmp_path: Path) -> None:
    main(words(data, tmp_path / "out", adapter="empty"))

    def share(annotation_ids: list[int]) -> float:
        seen = np.any([track_array(str(name)) for name in annotation_ids], axis=(0, 2, 3))
        return float(1 - seen.mean())

    asked = [one for video in meta()["videos"].values() for one in video["expressions"].values()]
    expected = 100 * np.mean([share(one["anno_id"]) for one in asked])
    assert 0 < expected < 100
    assert scores(tmp_path / "out")["settings"]["RVOS"]["J&F"] == pytest.approx(expected, abs=1e-12)


def test_another_model_is_refused_until_restart(data: Path, tmp_path: Path) -> None:
    main(words(data, tmp_path / "out"))
    with pytest.raises(PredictionError, match="adapter was 'oracle' and is 'empty'"):
        main(words(data, tmp_path / "out", adapter="empty"))
    assert scores(tmp_path / "out")["adapter"]["name"] == "oracle"
    main(words(data, tmp_path / "out", "--restart", adapter="empty"))
    assert scores(tmp_path / "out")["adapter"]["name"] == "empty"


def test_shards_share_an_output_and_the_last_one_scores(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(words(data, tmp_path / "whole"))
    capsys.readouterr()
    main(words(data, tmp_path / "out", "--shard", "2/2"))
    assert "other shards have 1 queries left" in capsys.readouterr().out
    assert not (tmp_path / "out" / "result.json").exists()
    main(words(data, tmp_path / "out", "--shard", "1/2"))
    assert "result: " in capsys.readouterr().out
    apart, whole = scores(tmp_path / "out"), scores(tmp_path / "whole")
    assert apart["scores_digest"] == whole["scores_digest"]


@pytest.mark.parametrize(
    ("more", "error", "sentence"),
    [
        (["--adapter", "orcale"], UsageError, "did you mean oracle"),
        (["--dataset", "intervos"], UsageError, "did you mean interrvos"),
        (["--settings", "actors"], UsageError, "did you mean actor"),
        (["--split", "test"], Exception, "test"),
        (["--option", "side=0.5"], UsageError, "has no options"),
        (["--option", "side"], UsageError, "expected key=value"),
        (["--limit", "0"], UsageError, "1 or more expressions"),
        (["--output", ""], UsageError, "no place to write to"),
        (["--shard", "0/2"], UsageError, "I from 1 to N"),
        (["--shard", "3/2"], UsageError, "not a shard"),
        (["--shard", "x"], UsageError, "not a shard"),
        (["--shard", "1/2", "--restart"], UsageError, "one shard must not throw away"),
        (["--device", "gpu"], UsageError, "unknown device"),
        (["--query-timeout", "0"], UsageError, "not a time limit"),
    ],
)
def test_wrong_words(
    data: Path, tmp_path: Path, more: list[str], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        main(words(data, tmp_path / "out", *more))
    assert not (tmp_path / "out").exists()


def test_a_gpu_that_is_not_there_is_told_before_anything_is_done(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = SimpleNamespace(is_available=lambda: False)
    torch = SimpleNamespace(cuda=cuda, __version__="2.13.0+cpu", __spec__=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "torch", torch)
    with pytest.raises(EnvironmentProblem, match="--device cuda: no GPU is available") as raised:
        main(words(data, tmp_path / "out", "--device", "cuda"))
    assert raised.value.exit_code == 1
    assert not (tmp_path / "out").exists()


def test_the_default_place_tells_runs_apart() -> None:
    def place(*given: str) -> str:
        return str(read_choices(given, None).output)

    assert place() == "runs/interrvos-synthetic-val-reviosa"
    assert place("--adapter", "oracle", "--split", "train", "--limit", "9") == (
        "runs/interrvos-synthetic-train-oracle-first9"
    )
    assert place("--settings", "rvos,actor") == "runs/interrvos-synthetic-val-reviosa-actor+rvos"
    assert place("--adapter", "../x:Y z").startswith("runs/interrvos-synthetic-val-..-x-Y-z")
    long = [place("--option", f"checkpoint=/{'a' * 300}/{end}") for end in "bc"]
    assert long[0] != long[1]
    assert max(map(len, long)) < 130
    assert read_choices(["--shard", "2/4"], None).shard == Shard(2, 4)


def test_consent_that_was_forgotten_can_be_given_later(tmp_path: Path) -> None:
    wanted = ["--adapter", "sa2va", "--output", str(tmp_path), "--limit", "1"]
    with pytest.raises(AdapterError, match="brings code of its own"):
        main(wanted)
    with pytest.raises(AdapterError, match="needs a pinned revision"):
        main([*wanted, "--trust-remote-code"])


def test_consent_to_code_in_a_checkpoint_goes_to_the_model_that_brings_it() -> None:
    plain = read_choices(["--adapter", "sa2va", "--trust-remote-code"], None)
    assert plain.options == {"trust_remote_code": "true"}
    assert plain.output == read_choices(["--adapter", "sa2va"], None).output
    assert read_choices(["--adapter", "sa2va"], None).options == {}
    wrapped = ["--adapter", "zero-shot-target", "--option", "of=sa2va", "--trust-remote-code"]
    assert read_choices(wrapped, None).options == {"of": "sa2va", "of.trust_remote_code": "true"}


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_repeats_and_loses_nothing(data: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    adapter = "scripted_adapter:Logging"
    options = ["--option", f"log={log}", "--option", "pause=0.15"]
    arguments = words(data, tmp_path / "out", *options, adapter=adapter)
    kills = 0
    for seed in range(3):
        process = start(arguments)
        patience = time.monotonic() + 60
        before = log.read_text().count("\n") if log.exists() else 0
        while process.poll() is None and time.monotonic() < patience:
            if log.exists() and log.read_text().count("\n") > before:
                time.sleep(random.Random(seed).uniform(0, 0.2))
                break
            time.sleep(0.01)
        process.send_signal([signal.SIGKILL, signal.SIGINT, signal.SIGKILL][seed])
        process.communicate(timeout=60)
        kills += process.returncode != 0
    finish(start(arguments))
    asked = Counter(line.split(" ", 1)[1] for line in log.read_text().splitlines())
    assert kills >= 1
    assert len(asked) == QUERIES
    # Only the query under way when the process died may have been asked twice.
    assert sum(asked.values()) <= QUERIES + kills
    quick = words(
        data,
        tmp_path / "once",
        "--option",
        f"log={tmp_path / 'other'}",
        "--option",
        "pause=0",
        adapter=adapter,
    )
    finish(start(quick))
    together, once = scores(tmp_path / "out"), scores(tmp_path / "once")
    assert together["predictions"]["digest"] == once["predictions"]["digest"]
    assert together["settings"] == once["settings"]


@pytest.mark.slow
def test_torchrun_shards_over_ranks_and_rank_0_scores(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    log = tmp_path / "log"
    options = ["--option", f"log={log}", "--option", "pause=0.01"]
    arguments = words(data, tmp_path / "out", *options, adapter="scripted_adapter:Logging")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    out, _ = finish(start(arguments, *launcher))
    assert out.count("result: ") == 1
    asked = [line.split(" ", 1) for line in log.read_text().splitlines()]
    assert len(asked) == len({sentence for _, sentence in asked}) == QUERIES
    assert len({process for process, _ in asked}) == len(SIZES) == 2
    assert scores(tmp_path / "out")["partial"] is None
    # The same variables without torchrun: rank 0 throws away first, whoever starts first.
    ranks = [
        start([*arguments, "--restart"], RANK=rank, LOCAL_RANK=rank, WORLD_SIZE="2") for rank in ("1", "0")
    ]
    assert [finish(process)[0].count("result: ") for process in ranks] == [0, 1]
    assert len(log.read_text().splitlines()) == 2 * QUERIES


@pytest.mark.slow
def test_a_rank_that_fails_ends_the_others_with_a_sentence(data: Path, tmp_path: Path) -> None:
    options = ["--option", f"log={tmp_path}"]
    arguments = words(data, tmp_path / "out", *options, adapter="scripted_adapter:Logging")
    # The log is a folder: every query fails, and both ranks are strict.
    ranks = [start([*arguments, "--strict"], RANK=rank, WORLD_SIZE="2") for rank in ("0", "1")]
    # Where one has failed before the other has begun, the other waits for its silence, two minutes.
    told = [process.communicate(timeout=300)[1] for process in ranks]
    assert [process.returncode for process in ranks] == [1, 1]
    assert any("--strict stops at the first" in error for error in told)


def test_a_disk_that_fills_up_loses_nothing_finished(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, sentence in ((28, "No space left on device"), (30, "Read-only file system")):
        output = tmp_path / str(number)
        replace, done = os.replace, []

        def failing(
            source: Any, target: Any, number: int = number, replace: Any = replace, done: Any = done
        ) -> None:
            if str(target).endswith("222_clip000.jsonl") or done:
                done.append(target)
                raise OSError(number, os.strerror(number))
            replace(source, target)

        with monkeypatch.context() as patched:
            patched.setattr(stored_files.os, "replace", failing)
            # The second video of the dataset fails; shards are used to do the other one first.
            main(words(data, output, "--shard", "2/2"))
            with pytest.raises(OutputError, match=f"222_clip000.jsonl: cannot write; found {sentence}"):
                main(words(data, output))
        kept = sorted(path.name for path in (output / "predictions" / "videos").iterdir())
        assert kept == ["111_clip000.jsonl"], "no half-written file is left either"
        main(words(data, output))
        assert scores(output)["settings"]["RVOS"]["J&F"] == 100.0


def test_a_read_only_place_is_one_sentence(data: Path) -> None:
    if not Path("/proc/version").exists():
        pytest.skip("needs a place that cannot be written to")
    with pytest.raises(OutputError, match=r"^/proc/nowhere.*cannot write"):
        main(words(data, Path("/proc/nowhere")))


def test_predictions_of_another_dataset(data: Path, tmp_path: Path) -> None:
    main(words(data, tmp_path / "out"))
    other = write_release(
        tmp_path / "other" / "val",
        json.loads(re.sub("222_clip000", "333_clip000", json.dumps(meta()))),
    ).parent
    (other / "val" / "JPEGImages" / "222_clip000").rename(other / "val" / "JPEGImages" / "333_clip000")
    from benchmark.score import main as score_main

    with pytest.raises(PredictionError, match=r"predictions of another dataset.*222_clip000"):
        score_main(
            ["--predictions", str(tmp_path / "out"), "--dataset", "interrvos", "--data-root", str(other)]
        )


def test_wrong_environments_of_torchrun(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "2")
    with pytest.raises(UsageError, match=r"does not name a rank.*RANK=2, WORLD_SIZE=2"):
        main(words(data, tmp_path / "out"))
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(UsageError, match="the ranks of torchrun are the shards"):
        main(words(data, tmp_path / "out", "--shard", "1/2"))


def test_a_dataset_without_a_single_expression_of_the_settings(tmp_path: Path) -> None:
    content = meta()
    for video in content["videos"].values():
        for one in video["expressions"].values():
            one["caption_type"] = "single"
    data = write_release(tmp_path / "data" / "val", content).parent
    with pytest.raises(DatasetError, match=r"no expression to evaluate.*InterRVOS-Target; found 5 expr"):
        main(words(data, tmp_path / "out", "--settings", "target"))
    assert not (tmp_path / "out").exists()
    main(words(data, tmp_path / "out"))
    settings = scores(tmp_path / "out")["settings"]
    assert settings["InterRVOS-Target"]["J&F"] is None
    assert settings["InterRVOS-Target"]["undefined"] == "no expression of this setting was scored"
    assert settings["RVOS"]["J&F"] == 100.0
