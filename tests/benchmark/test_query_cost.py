"""What queries cost: which clock is read when, whose memory counts, what a GPU really did."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmark.errors import EnvironmentProblem
from benchmark.predictions import open_predictions
from benchmark.query_cost import Spent, Stopwatch
from benchmark.types import Prediction, Query, Status
from tests.benchmark.scripted_adapter import Scripted, raising, run
from tests.benchmark.tiny_clips import scored, tiny_dataset

pytestmark = pytest.mark.usefixtures("unsynced")
SENTENCE = "red pushing blue"


class Cuda:
    """`torch.cuda` with two GPUs, of which the second holds nothing; says what it was asked."""

    def __init__(self, used: bool = True) -> None:
        self.used, self.asked = used, list[str]()

    def is_initialized(self) -> bool:
        return self.used

    def device_count(self) -> int:
        return 2

    def memory_allocated(self, number: int) -> int:
        return 70 * (number == 0)

    def max_memory_allocated(self, number: int) -> int:
        return 100 * (number == 0)

    def reset_peak_memory_stats(self, number: int) -> None:
        self.asked.append(f"reset {number}")

    def empty_cache(self) -> None:
        self.asked.append("empty")

    def synchronize(self, number: int) -> None:
        time.sleep(0.02)
        self.asked.append(f"synchronize {number}")


def with_cuda(monkeypatch: pytest.MonkeyPatch, cuda: Cuda) -> Cuda:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda, __spec__=SimpleNamespace()))
    return cuda


def test_the_clock_is_read_when_the_gpus_in_use_have_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = with_cuda(monkeypatch, Cuda())
    watch = Stopwatch()
    assert cuda.asked == ["synchronize 0", "reset 0", "reset 1"]
    spent = watch.read()
    assert cuda.asked[3:] == ["synchronize 0"]  # asked of the second, it would take memory there
    assert spent.seconds is not None and 0.02 <= spent.seconds < 10
    assert spent == Spent(spent.seconds, spent.seconds, 100, 100)
    assert spent.share(4) == Spent(spent.seconds / 4, spent.seconds / 4, 100, 100)


def test_without_a_gpu_memory_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = with_cuda(monkeypatch, Cuda(used=False))
    spent = Stopwatch().read()
    assert (spent.gpu_seconds, spent.peak_gpu_memory_bytes, cuda.asked) == (None, None, [])
    assert spent.peak_memory_bytes is not None and (16 << 20) < spent.peak_memory_bytes < (1 << 40)
    monkeypatch.delitem(sys.modules, "torch")
    assert (Stopwatch().read().peak_memory_bytes or 0) >= spent.peak_memory_bytes
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert Stopwatch().read().peak_memory_bytes is None


def test_every_gpu_in_use_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = with_cuda(monkeypatch, Cuda())
    monkeypatch.setattr(cuda, "max_memory_allocated", lambda number: 100 + number)
    spent = Stopwatch().read()
    assert spent.seconds is not None and spent.gpu_seconds == 2 * spent.seconds
    assert spent.peak_gpu_memory_bytes == 201


def test_gpu_seconds_come_from_a_query_into_the_result(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_cuda(monkeypatch, Cuda())
    dataset = tiny_dataset(videos=2)
    adapter = Scripted({SENTENCE: raising(ValueError("no"))})
    totals = run(adapter, dataset, tmp_path).finish(dataset, None, ["rvos"]).totals
    answers = open_predictions(tmp_path, dataset).video("clip0")
    failed = [one for one in answers.values() if one.status is Status.ERROR]
    assert failed and all(one.gpu_seconds and one.gpu_seconds >= 0.02 for one in failed)
    fine = [one for one in answers.values() if one.status is Status.OK]
    assert {one.peak_gpu_memory_bytes for one in fine} == {100}
    assert totals.video_gpu_seconds is not None and totals.video_gpu_seconds >= 2 * 0.02
    stored = {name: dict(open_predictions(tmp_path, dataset).video(name)) for name in ("clip0", "clip1")}
    run_facts = {"totals": {"video_seconds": 1.0, "video_gpu_seconds": 3.0}}
    cost = scored(dataset, stored, run=run_facts).cost
    each = [one.gpu_seconds or 0 for answers in stored.values() for one in answers.values()]
    assert cost.gpu_seconds == pytest.approx(3.0 + sum(each))
    assert cost.gpu_seconds_per_expression == pytest.approx((3.0 + sum(each)) / len(each))
    assert cost.peak_gpu_memory_bytes == 100
    assert cost.seconds is not None and cost.frames_per_second is not None
    frames = sum(len(video.frame_names) * len(video.expressions) for video in dataset.videos)
    assert cost.frames_per_second * cost.seconds == pytest.approx(frames)


def test_of_a_model_in_another_process_only_the_time_is_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_cuda(monkeypatch, Cuda())
    adapter, dataset = Scripted(), tiny_dataset(videos=1)
    adapter.works_elsewhere = True
    run(adapter, dataset, tmp_path).finish(dataset, None, ["rvos"])
    for one in open_predictions(tmp_path, dataset).video("clip0").values():
        assert one.seconds is not None
        assert (one.gpu_seconds, one.peak_memory_bytes, one.peak_gpu_memory_bytes) == (None, None, None)


class Broken(Cuda):
    """A GPU on which a kernel fails as soon as it is told to, and nothing goes on after it."""

    fault = ""

    def synchronize(self, number: int) -> None:
        if self.fault:
            raise RuntimeError(self.fault)


@pytest.mark.parametrize("together", [None, 1])
def test_a_gpu_that_is_lost_stops_the_run_behind_the_query_that_did_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, together: int | None
) -> None:
    cuda, dataset = Broken(), tiny_dataset(videos=2)
    with_cuda(monkeypatch, cuda)

    def fail(_queries: Sequence[Query]) -> None:
        cuda.fault = "CUDA error: device-side assert triggered\nCUDA kernel errors might be ..."

    adapter = Scripted({SENTENCE: fail})  # the kernel fails after its call: no exception comes from it
    adapter.max_queries = together
    with pytest.raises(
        EnvironmentProblem, match=r"does not answer any more; found CUDA error: device-side as"
    ):
        run(adapter, dataset, tmp_path)
    cuda.fault = ""
    again = Scripted()
    run(again, dataset, tmp_path).finish(dataset, None, ["rvos"])
    answers = open_predictions(tmp_path, dataset).video("clip0")
    failed = [one.expression for one in answers.values() if one.status is Status.ERROR]
    assert failed == ([SENTENCE] if together else [one.text for one in dataset.videos[0].expressions])
    asked = [sentence for part in again.asked for sentence in part]
    assert all("device-side assert" in str(one.message) for one in answers.values() if one.status.failed)
    assert len(asked) == 9 - len(failed)


class OnGpu(Scripted):
    """Leaves the GPU at work behind when it answers, and holds so many MiB while it does."""

    MIB = 64

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        import torch

        self.begun, self.ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        held = torch.ones(self.MIB << 18, device="cuda")
        matrix = torch.rand((2048, 2048), device="cuda")
        self.begun.record()
        for _ in range(400):
            matrix = matrix @ matrix
            matrix = matrix / matrix.norm()
        self.ended.record()
        self.kept = matrix[0, 0] + held[0]
        return super().predict(queries)


@pytest.mark.gpu
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_work_left_behind_on_a_real_gpu_is_waited_for_and_counted(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    adapter, dataset = OnGpu(), tiny_dataset(videos=1)
    adapter.max_queries = 1
    torch.ones(1, device="cuda")
    run(adapter, dataset, tmp_path).finish(dataset, None, ["rvos"])
    took = adapter.begun.elapsed_time(adapter.ended) / 1000
    answers = list(open_predictions(tmp_path, dataset).video("clip0").values())
    last = answers[-1]
    assert took > 0.005 and last.gpu_seconds is not None and last.seconds is not None
    assert took * 0.9 <= last.gpu_seconds < took + 5
    for one in answers:
        assert one.gpu_seconds == one.seconds
        assert (OnGpu.MIB << 20) <= (one.peak_gpu_memory_bytes or 0) < (OnGpu.MIB << 20) + (1 << 28)
        assert one.peak_memory_bytes == one.peak_gpu_memory_bytes


@pytest.mark.gpu
def test_a_real_gpu_that_runs_out_of_memory_fails_one_query_and_is_free_again(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")

    def too_much(_queries: Sequence[Query]) -> None:
        half = torch.empty(int(torch.cuda.mem_get_info()[0] * 0.6), dtype=torch.uint8, device="cuda")
        torch.empty_like(half)

    dataset = tiny_dataset(videos=1)
    adapter = Scripted({SENTENCE: too_much})
    run(adapter, dataset, tmp_path).finish(dataset, None, ["rvos"])
    answers = {one.expression: one for one in open_predictions(tmp_path, dataset).video("clip0").values()}
    assert answers.pop(SENTENCE).status is Status.OUT_OF_MEMORY
    assert {one.status for one in answers.values()} == {Status.OK}
    assert torch.cuda.memory_allocated() < 1 << 30
    assert np.isfinite(sum(one.seconds or 0 for one in answers.values()))
