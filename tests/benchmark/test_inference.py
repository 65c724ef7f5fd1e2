"""The runner: what it asks, what it records, what stops it."""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.errors import AdapterError, CheckpointError, DatasetError, OutputError
from benchmark.frames import FrameArray
from benchmark.inference import load_weights, unload_weights
from benchmark.masks import decode_track
from benchmark.prediction_records import StoredPrediction
from benchmark.predictions import open_predictions
from benchmark.types import Prediction, Query, Role, Status
from tests.benchmark.scripted_adapter import Scripted, raising, run
from tests.benchmark.tiny_clips import HEIGHT, WIDTH, TinyDataset, tiny_dataset

PUSHING, DANCING, DISC = "red pushing blue", "all dancing", "green disc"


pytestmark = pytest.mark.usefixtures("unsynced")


@pytest.fixture
def dataset() -> TinyDataset:
    return tiny_dataset(videos=2)


def stored(dataset: TinyDataset, output: Path) -> dict[str, dict[str, StoredPrediction]]:
    reader = open_predictions(output, dataset)
    return {video_id: dict(reader.video(video_id)) for video_id in reader.video_ids}


def finished(
    adapter: Scripted, dataset: TinyDataset, output: Path, **rules: object
) -> dict[str, dict[str, StoredPrediction]]:
    run(adapter, dataset, output, **rules).finish(dataset, None, ["rvos"])
    return stored(dataset, output)


def test_queries_of_a_video_come_together(dataset: TinyDataset, tmp_path: Path) -> None:
    adapter = Scripted()
    answers = finished(adapter, dataset, tmp_path)
    assert adapter.asked == [[one.text for one in video.expressions] for video in dataset.videos]
    for video in dataset.videos:
        assert list(answers[video.video_id]) == [one.expression_id for one in video.expressions]
        for one in video.expressions:
            answer = answers[video.video_id][one.expression_id]
            assert (answer.expression, answer.text, answer.status) == (one.text, one.text.upper(), Status.OK)
            assert decode_track(answer.actor).sum() == len(one.text)
            assert answer.target is None
            assert answer.seconds is not None and answer.seconds > 0


def test_queries_carry_nothing_but_the_sentence_and_the_roles(dataset: TinyDataset, tmp_path: Path) -> None:
    seen: list[Query] = []
    adapter = Scripted({DANCING: lambda queries: seen.extend(queries)}, roles=(Role.ACTOR,))
    run(adapter, dataset, tmp_path)
    assert {query.roles for query in seen} == {(Role.ACTOR,)}
    assert [query.index for query in seen[:5]] == [0, 1, 2, 3, 4]
    assert set(Query.__slots__) == {"index", "expression", "roles"}


def test_an_adapter_limits_how_many_it_is_asked_at_once(dataset: TinyDataset, tmp_path: Path) -> None:
    adapter = Scripted()
    adapter.max_queries = 2
    run(adapter, dataset, tmp_path)
    assert [len(call) for call in adapter.asked] == [2, 2, 1, 2, 2]


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("no such colour\nmore"), Status.ERROR, "ValueError: no such colour"),
        (MemoryError(), Status.OUT_OF_MEMORY, "MemoryError"),
        (RuntimeError("CUDA out of memory. Tried"), Status.OUT_OF_MEMORY, "RuntimeError: CUDA out of memory"),
        (SystemExit("bye"), Status.ERROR, "SystemExit: bye"),
    ],
)
def test_only_the_guilty_query_is_lost(
    dataset: TinyDataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: Status,
    reason: str,
) -> None:
    adapter = Scripted({DANCING: raising(error)})
    first = finished(adapter, dataset, tmp_path)["clip0"]
    assert [one.status for one in first.values()] == [Status.OK, Status.OK, status, Status.OK, Status.OK]
    lost = first["2"]
    assert (lost.actor, lost.target) == (None, None)
    assert lost.message is not None and lost.message.startswith(reason)
    texts = [one.text for one in dataset.videos[0].expressions]
    if status is Status.OUT_OF_MEMORY:  # smaller parts, and never so many again
        parts = [texts, texts[:2], texts[2:4], texts[2:3], texts[3:4], texts[4:]]
        assert f"asked 2 at a time after {status} of 5 together: {reason}" in (first["0"].message or "")
        assert f"asked alone after {status} of 2 together" in (list(first.values())[3].message or "")
        assert {len(call) for call in adapter.asked[6:]} == {1}
    else:
        parts = [texts, *([text] for text in texts)]
        assert f"asked alone after {status} of 5 together: {reason}" in (first["0"].message or "")
    assert adapter.asked[:6] == parts
    assert f"{status}: video clip0, expression 2: {reason}" in capsys.readouterr().err


def test_a_full_disk_stops_the_run_and_blames_no_query(dataset: TinyDataset, tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    for act in ("open_video", DANCING):
        with pytest.raises(OutputError, match=r"cannot write; found No space left.*free some space"):
            run(Scripted({act: raising(full)}), dataset, tmp_path)
    answers = finished(Scripted(), dataset, tmp_path)
    assert {one.status for video in answers.values() for one in video.values()} == {Status.OK}


def test_out_of_memory_of_many_is_no_failure_if_each_fits(dataset: TinyDataset, tmp_path: Path) -> None:
    def too_many(queries: Sequence[Query]) -> None:
        if len(queries) > 1:
            raise MemoryError

    adapter = Scripted({PUSHING: too_many})
    totals = run(adapter, dataset, tmp_path).finish(dataset, None, ["rvos"]).totals
    assert (totals.queries, totals.failed, totals.asked_alone) == (9, 0, 7)
    assert [len(call) for call in adapter.asked] == [5, 2, 1, 1, 2, 1, 1, 1, 1, 1]


def test_what_fits_into_memory_is_asked_together_in_all_videos_that_follow(
    dataset: TinyDataset, tmp_path: Path
) -> None:
    def too_many(queries: Sequence[Query]) -> None:
        if len(queries) > 2:
            raise MemoryError

    adapter = Scripted({text: too_many for video in dataset.videos for text in [video.expressions[0].text]})
    totals = run(adapter, dataset, tmp_path).finish(dataset, None, ["rvos"]).totals
    assert (totals.queries, totals.failed) == (9, 0)
    assert [len(call) for call in adapter.asked] == [5, 2, 2, 1, 2, 2]


def test_a_query_out_of_time_is_recorded(dataset: TinyDataset, tmp_path: Path) -> None:
    adapter = Scripted({DANCING: lambda _: time.sleep(30)})
    adapter.max_queries = 1
    first = finished(adapter, dataset, tmp_path, query_timeout=0.1)["clip0"]
    assert first["2"].status is Status.TIMEOUT
    assert first["2"].message == "no answer within 0.1 seconds"
    assert 0.1 <= (first["2"].seconds or 0) < 5
    assert first["10"].status is Status.OK


def test_a_video_that_cannot_be_opened_loses_its_queries_only(dataset: TinyDataset, tmp_path: Path) -> None:
    bad = iter([True, False])
    adapter = Scripted({"open_video": lambda _: raising(OSError("bad frame"))([]) if next(bad) else None})
    answers = finished(adapter, dataset, tmp_path)
    assert {one.status for one in answers["clip0"].values()} == {Status.ERROR}
    assert {one.message for one in answers["clip0"].values()} == {"OSError: bad frame"}
    assert {one.status for one in answers["clip1"].values()} == {Status.OK}


def test_failures_that_the_adapter_reports_itself_are_kept(dataset: TinyDataset, tmp_path: Path) -> None:
    class Reporting(Scripted):
        def answer(self, expression: str) -> Prediction:
            answer = super().answer(expression)
            failed = replace(answer, status=Status.PARSE_ERROR, message="no brackets")
            return failed if expression == DISC else answer

    one = finished(Reporting(), dataset, tmp_path)["clip0"]["10"]
    assert (one.status, one.actor, one.message) == (Status.PARSE_ERROR, None, "no brackets")
    with pytest.raises(AdapterError, match=r"a query failed \(parse_error\).*no brackets"):
        run(Reporting(), dataset, tmp_path / "strict", strict=True)


def test_strict_stops_and_keeps_what_was_finished(dataset: TinyDataset, tmp_path: Path) -> None:
    adapter = Scripted({DANCING: raising(ValueError("no"))})
    adapter.max_queries = 1
    where = r"adapter scripted, video clip0, expression 2 \('all dancing'\)"
    with pytest.raises(AdapterError, match=rf"{where}: a query failed \(error\).*ValueError: no.*--strict"):
        run(adapter, dataset, tmp_path, strict=True)
    again = Scripted()
    run(again, dataset, tmp_path)
    assert again.asked[0] == [DANCING, "green disc", "something unseen"]


def test_interruption_is_passed_on_and_keeps_what_was_finished(dataset: TinyDataset, tmp_path: Path) -> None:
    adapter = Scripted({DANCING: raising(KeyboardInterrupt())})
    adapter.max_queries = 1
    with pytest.raises(KeyboardInterrupt):
        run(adapter, dataset, tmp_path)
    assert not adapter.open, "close_video is called all the same"
    again = Scripted()
    run(again, dataset, tmp_path)
    assert again.asked[0] == [DANCING, "green disc", "something unseen"]


def test_faults_of_data_and_contract_stop_the_run(dataset: TinyDataset, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="frame 3 is torn"):
        run(Scripted({DANCING: raising(DatasetError("frame 3 is torn"))}), dataset, tmp_path / "a")
    with pytest.raises(DatasetError, match="torn"):
        run(Scripted({"open_video": raising(DatasetError("torn"))}), dataset, tmp_path / "b")

    class Wrong(Scripted):
        def answer(self, expression: str) -> Prediction:
            return Prediction(actor=np.zeros((1, HEIGHT, WIDTH), bool))

    with pytest.raises(AdapterError, match="wrong shape"):
        run(Wrong(), dataset, tmp_path / "c")
    with pytest.raises(AdapterError, match="close_video failed; found ValueError: stuck"):
        run(Scripted({"close_video": raising(ValueError("stuck"))}), dataset, tmp_path / "d")
    with pytest.raises(DatasetError, match="stuck"):
        run(Scripted({"close_video": raising(DatasetError("stuck"))}), dataset, tmp_path / "e")


def test_frames_and_masks_of_different_size(dataset: TinyDataset, tmp_path: Path) -> None:
    dataset.frames = lambda video: FrameArray(np.zeros((3, 8, 8, 3), np.uint8))  # type: ignore[method-assign]
    with pytest.raises(DatasetError, match=r"video clip0: frames and masks differ.*found 3 frames of 8x8"):
        run(Scripted(), dataset, tmp_path)


def test_loading_that_fails(dataset: TinyDataset, tmp_path: Path) -> None:
    class Unloadable(Scripted):
        error: Exception = OSError("no weights")

        def load(self, device: str, seed: int) -> None:
            raise self.error

    with pytest.raises(AdapterError, match="scripted on cpu: the adapter cannot be loaded; found OSError"):
        run(Unloadable(), dataset, tmp_path)
    Unloadable.error = CheckpointError("torn file")
    with pytest.raises(CheckpointError, match="torn file"):
        run(Unloadable(), dataset, tmp_path)


class Panic(BaseException):
    """As libraries written in Rust raise it: no `Exception`."""


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("nothing to say")


@pytest.mark.parametrize("error", [Panic("rust"), GeneratorExit(), SystemExit(0), Speechless()])
def test_whatever_a_query_raises_is_recorded(
    dataset: TinyDataset, tmp_path: Path, error: BaseException
) -> None:
    def fail(_queries: Sequence[Query]) -> None:
        raise error

    guilty = dataset.videos[0].expressions[0]
    finished(Scripted({guilty.text: fail}), dataset, tmp_path)
    answers = [one for video in stored(dataset, tmp_path).values() for one in video.values()]
    lost = [one for one in answers if one.status.failed]
    assert {one.expression for one in lost} == {guilty.text}
    assert all(type(error).__name__ in (one.message or "") for one in lost)


@pytest.mark.parametrize("error", [SystemExit(5), Panic("rust"), ValueError("no file")])
def test_loading_and_unloading_end_in_a_sentence(error: BaseException) -> None:
    class Fragile(Scripted):
        def load(self, device: str, seed: int) -> None:
            raise error

        def unload(self) -> None:
            raise error

    with pytest.raises(AdapterError, match=f"cannot be loaded; found {type(error).__name__}"):
        load_weights(Fragile(), "fragile", "cpu", 0)
    with pytest.raises(AdapterError, match=f"cannot be unloaded; found {type(error).__name__}"):
        unload_weights(Fragile(), "fragile")


def test_what_an_adapter_says_after_loading_is_checked() -> None:
    with pytest.raises(AdapterError, match="parameters: wrong value; expected a whole number"):
        load_weights(Scripted(parameters=1.5), "scripted", "cpu", 0)
