"""Reading a finished prediction folder against the dataset it is to be scored on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.errors import PredictionError
from benchmark.predictions import open_predictions
from tests.benchmark.scripted_adapter import Scripted, run
from tests.benchmark.tiny_clips import TinyDataset, tiny_dataset

pytestmark = pytest.mark.usefixtures("unsynced")


@pytest.fixture
def dataset() -> TinyDataset:
    return tiny_dataset(videos=7)


@pytest.fixture
def output(dataset: TinyDataset, tmp_path: Path) -> Path:
    run(Scripted(), dataset, tmp_path).finish(dataset, None, ["rvos"])
    return tmp_path


def test_the_output_folder_and_the_one_inside_are_the_same(dataset: TinyDataset, output: Path) -> None:
    outer, inner = open_predictions(output, dataset), open_predictions(output / "predictions", dataset)
    assert outer.run == inner.run
    assert list(outer.video_ids) == [video.video_id for video in dataset.videos]
    assert outer.video("clip3") == inner.video("clip3")
    assert outer.video("no such clip") == {}


def test_videos_that_the_dataset_does_not_have(dataset: TinyDataset, output: Path) -> None:
    fewer = replace(dataset, videos=dataset.videos[:1], name="other")
    with pytest.raises(PredictionError) as raised:
        open_predictions(output, fewer)
    told = str(raised.value)
    assert "predictions of another dataset; expected videos of other val; found tiny val" in told
    assert "clip1, clip2, clip3, clip4, clip5 and 1 more" in told
    assert "--dataset" in told


def test_sentences_and_frames_that_do_not_fit(dataset: TinyDataset, output: Path) -> None:
    video = dataset.videos[2]
    changed = replace(
        video,
        frame_names=video.frame_names[1:],
        expressions=(replace(video.expressions[0], text="another sentence"), *video.expressions[2:]),
    )
    other = replace(dataset, videos=(*dataset.videos[:2], changed, *dataset.videos[3:]))
    reader = open_predictions(output, other)
    with pytest.raises(PredictionError, match="3 problems") as raised:
        reader.video("clip2")
    told = str(raised.value)
    assert "expression 0: answer to another sentence; expected 'another sentence'; found 'red pushing" in told
    assert "expression 1: the dataset has no such expression" in told
    assert "another number of frames; expected 6 frames; found 7 frames" in told
    assert len(reader.video("clip3")) == len(dataset.videos[3].expressions)


def test_files_that_changed_after_the_end(dataset: TinyDataset, output: Path) -> None:
    videos = output / "predictions" / "videos"
    manifest = (output / "predictions" / "manifest.json").read_bytes()
    run(Scripted(), dataset, output, restart=True)
    (output / "predictions" / "manifest.json").write_bytes(manifest)
    reader = open_predictions(output, dataset)
    with pytest.raises(PredictionError, match=r"clip0\.jsonl: stored predictions changed after"):
        reader.video("clip0")
    (videos / "clip1.jsonl").unlink()
    with pytest.raises(PredictionError, match="No such file"):
        reader.video("clip1")


def test_nothing_to_read(dataset: TinyDataset, tmp_path: Path) -> None:
    with pytest.raises(PredictionError, match="no predictions here; expected a folder written by"):
        open_predictions(tmp_path, dataset)
    with pytest.raises(PredictionError, match="found no such file or folder"):
        open_predictions(tmp_path / "nowhere", dataset)
