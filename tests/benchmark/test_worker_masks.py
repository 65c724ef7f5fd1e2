"""Masks in the three forms that programs write, and each way in which they can be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.frames import FrameArray
from benchmark.masks import encode_track
from benchmark.types import MaskTrack, Prediction, Query, Status
from benchmark.worker_masks import answer_of_folders, read_answers

FRAMES = FrameArray(np.zeros((3, 5, 7, 3), np.uint8))
TRUTH = np.random.default_rng(2).random((3, 5, 7)) < 0.4


def read(masks: Path, name: str, **more: Any) -> Prediction:
    (one,) = read_answers({"answers": [{"index": 0, "actor": name, **more}]}, [Query(0, "a")], masks, FRAMES)
    return one


def write_pngs(folder: Path, masks: Any) -> None:
    folder.mkdir(parents=True)
    for index, mask in enumerate(masks):
        Image.fromarray(mask.astype(np.uint8)).save(folder / f"{index:05d}.png")


def test_three_forms_of_one_track(tmp_path: Path) -> None:
    track = encode_track(TRUTH)
    np.save(tmp_path / "a.npy", TRUTH)
    np.save(tmp_path / "b.npy", TRUTH.astype(np.uint8) * 255)
    counts = [None if text is None else text.decode() for text in track.counts]
    (tmp_path / "a.json").write_text(json.dumps({"size": [5, 7], "counts": counts}))
    write_pngs(tmp_path / "0" / "actor", TRUTH * 9)
    for name in ("a.npy", "b.npy", "a.json", "0/actor"):
        one = read(tmp_path, name)
        assert one.actor == track and one.target is None and one.status is Status.OK


def test_folders_alone_are_an_answer(tmp_path: Path) -> None:
    (tmp_path / "0" / "target").mkdir(parents=True)
    (tmp_path / "1").mkdir()
    assert answer_of_folders(tmp_path, 0) == {"index": 0, "target": "0/target"}
    assert answer_of_folders(tmp_path, 1) == {"index": 1}  # asked, and nothing found
    assert answer_of_folders(tmp_path, 2) is None


@pytest.mark.parametrize(
    ("array", "pattern"),
    [
        (np.ones((5, 7)), "masks have the wrong shape; expected (3, H, W); found (5, 7)"),
        (np.ones((2, 5, 7)), "masks have the wrong shape"),
        (np.ones((3, 7, 5)), "wrong mask size; expected 5x7; found (7, 5)"),
        (np.linspace(0, 1, 105).reshape(3, 5, 7), "masks hold other numbers than two"),
        (np.array([{"pickled": 1}] * 3), "Python objects in dtype"),
    ],
)
def test_arrays_that_cannot_be_used(tmp_path: Path, array: Any, pattern: str) -> None:
    np.save(tmp_path / "a.npy", array)
    one = read(tmp_path, "a.npy", text="said")
    assert one.status is Status.ERROR and one.actor is None and one.text == "said"
    assert pattern in str(one.message)


def test_pngs_that_cannot_be_used(tmp_path: Path) -> None:
    write_pngs(tmp_path / "short", TRUTH[:2])
    write_pngs(tmp_path / "small", TRUTH[:, :2])
    (tmp_path / "none").mkdir()
    assert "1 of 3 frames have no mask; expected 00002.png" in str(read(tmp_path, "short").message)
    assert "mask 0: wrong mask size; expected 5x7; found (2, 7)" in str(read(tmp_path, "small").message)
    assert "found an empty folder" in str(read(tmp_path, "none").message)


@pytest.mark.parametrize("content", ["[]", "{", '{"counts": [null]}', '{"counts": [null, null, null]}'])
def test_run_lengths_that_cannot_be_used(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    one = read(tmp_path, "a.json")
    assert one.status is Status.ERROR and one.message


def test_answers_by_index_and_what_is_beside_them(tmp_path: Path) -> None:
    queries = [Query(0, "a"), Query(1, "b"), Query(2, "c")]
    given = {"answers": [{"index": 2, "status": "no_mask", "text": 5, "score": "0.5"}, "odd", {"index": 0}]}
    first, second, third = read_answers(given, queries, tmp_path, FRAMES)
    assert first == Prediction() and second.status is Status.ERROR
    assert (third.status, third.text, third.score) == (Status.NO_MASK, "5", 0.5)
    (lost,) = read_answers({"answers": "none"}, queries[:1], tmp_path, FRAMES)
    assert "no answer to this sentence" in str(lost.message)
    assert isinstance(encode_track(TRUTH), MaskTrack)
