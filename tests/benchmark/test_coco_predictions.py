"""COCO lists: the best candidate of each image, read a piece at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

import benchmark.coco_predictions as module
from benchmark.errors import PredictionError
from benchmark.prediction_layouts import open_foreign
from benchmark.types import Status
from tests.benchmark.foreign_forms import coco_entries, rle
from tests.benchmark.tiny_clips import HEIGHT, WIDTH, TinyDataset, oracle_answers, tiny_dataset


@pytest.fixture
def dataset() -> TinyDataset:
    return tiny_dataset(videos=2)


def written(tmp_path: Path, entries: Any) -> Path:
    path = tmp_path / "list.json"
    path.write_text(json.dumps(entries))
    return path


def test_masks_and_scores_are_read(dataset: TinyDataset, tmp_path: Path) -> None:
    truth = oracle_answers(dataset)
    reader = open_foreign(written(tmp_path, coco_entries(dataset.videos, truth)), dataset)
    assert set(reader.video_ids) == set(truth) and reader.video("other") == {}
    for video_id, answers in truth.items():
        read = reader.video(video_id)
        assert {name: one.actor for name, one in read.items()} == {n: o.actor for n, o in answers.items()}
        assert {one.score for one in read.values()} == {0.5}


def test_the_best_candidate_counts_and_of_equals_the_first(dataset: TinyDataset, tmp_path: Path) -> None:
    entries = coco_entries(dataset.videos, oracle_answers(dataset))
    full = {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH]}
    worse = [{**one, "segmentation": full, "score": 0.1} for one in entries]
    equal = [{**one, "segmentation": full} for one in entries]
    truth = oracle_answers(dataset)["clip1"]
    read = open_foreign(written(tmp_path, worse + entries + equal), dataset).video("clip1")
    assert {name: one.actor for name, one in read.items()} == {n: o.actor for n, o in truth.items()}
    better = [{**one, "segmentation": full, "score": 0.9} for one in entries]
    read = open_foreign(written(tmp_path, entries + better), dataset).video("clip1")
    assert read["0"].actor is not None
    expected = coco.encode(np.ones((HEIGHT, WIDTH), np.uint8, order="F"))["counts"]
    assert set(read["0"].actor.counts) == {expected}


def test_missing_entries(dataset: TinyDataset, tmp_path: Path) -> None:
    entries = coco_entries(dataset.videos, oracle_answers(dataset))
    path = written(tmp_path, entries[1:])
    read = open_foreign(path, dataset).video("clip0")
    assert read["0"].status is Status.ERROR and "1 of 3 frames have no mask" in str(read["0"].message)
    assert "missing_frames=empty" in str(read["0"].message) and read["1"].status is Status.OK
    read = open_foreign(path, dataset, "empty").video("clip0")
    assert read["0"].actor is not None and read["0"].actor.counts[0] is None


def test_masks_of_another_size_fail_their_query(dataset: TinyDataset, tmp_path: Path) -> None:
    entries = coco_entries(dataset.videos, oracle_answers(dataset))
    entries[0]["segmentation"] = rle(np.ones((3, 4)))
    entries[4]["segmentation"]["counts"] = "zz"
    read = open_foreign(written(tmp_path, entries), dataset).video("clip0")
    assert "frame 00000: wrong mask size; expected 18x25; found 3x4" in str(read["0"].message)
    assert read["1"].status is Status.ERROR


def test_what_is_wrong_with_entries_is_listed(dataset: TinyDataset, tmp_path: Path) -> None:
    good = coco_entries(dataset.videos, oracle_answers(dataset))[0]
    bad = [
        {**good, "image_id": 7},
        {**good, "image_id": "v_other_f_00000_i_0"},
        {**good, "image_id": "v_clip0_f_00000_i_99"},
        {**good, "image_id": "v_clip0_f_00000"},  # five expressions: which?
        {**good, "image_id": "v_clip0_f_77_i_0"},
        {**good, "segmentation": [[1, 2, 3, 4]]},
        {**good, "score": float("nan")},
        {key: value for key, value in good.items() if key != "score"},
        {key: value for key, value in good.items() if key != "score"},
        "text",
    ]
    with pytest.raises(PredictionError) as told:
        open_foreign(written(tmp_path, bad), dataset)
    text = str(told.value)
    for number, words in enumerate(
        (
            "an image that cannot be told",
            "an image of no video",
            "no such expression",
            "no such expression",
            "no such frame",
            "not a run-length mask",
            "not a score",
        )
    ):
        assert f"entry {number}: " in text and words in text
    assert "entry 8: several masks for one image, and no score to choose by" in text
    assert "entry 9: an image that cannot be told" in text
    with pytest.raises(PredictionError, match="20 problems"):
        open_foreign(written(tmp_path, bad[:2] * 40), dataset)


def test_frames_by_number(dataset: TinyDataset, tmp_path: Path) -> None:
    entries = coco_entries(dataset.videos, oracle_answers(dataset))
    for one in entries:
        video, rest = one["image_id"].split("_f_")
        frame, expression = rest.split("_i_")
        one["image_id"] = f"{video}_f_{int(frame)}_i_{expression}"
    read = open_foreign(written(tmp_path, entries), dataset).video("clip0")
    assert read["0"].actor == oracle_answers(dataset)["clip0"]["0"].actor


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_reading_in_pieces(tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_CHARACTERS", chunk)
    values = [{"a": [1.5e3, "x,]"]}, 12, 345, "ü", [], None, {"b": {}}]
    path = tmp_path / "list.json"
    for text in (json.dumps(values), json.dumps(values, indent=3), " \n" + json.dumps(values) + "\n"):
        path.write_text(text, encoding="utf-8")
        assert list(module.entries(path)) == values
    path.write_text("[]")
    assert list(module.entries(path)) == []
    for damaged in ("[1, 2", "[1 2]", "[{]", "[", "[1,", '[{"a": 1'):
        path.write_text(damaged)
        with pytest.raises(PredictionError, match="malformed or cut off"):
            list(module.entries(path))
    path.write_text("{}")
    with pytest.raises(PredictionError, match="not a JSON list"):
        list(module.entries(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'[{"image_id": "v_\xe4"}]', "not UTF-8 text"),
        (b"[" + b"1" * 5000 + b"]", "malformed or cut off"),
    ],
    ids=["deep", "latin-1", "digits"],
)
def test_lists_that_no_program_writes(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "list.json"
    path.write_bytes(content)
    with pytest.raises(PredictionError, match=f"{path}: .*{message}"):
        open_foreign(path, tiny_dataset(videos=1))


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_bytes(b"\xef\xbb\xbf[1, 2]")
    assert list(module.entries(path)) == [1, 2]


def test_an_empty_list_is_no_prediction(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text("[]")
    with pytest.raises(PredictionError, match="holds no prediction"):
        open_foreign(path, tiny_dataset(videos=1))
