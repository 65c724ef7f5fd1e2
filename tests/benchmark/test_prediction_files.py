"""Files of one video: what is written is read back, and names never meet."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from benchmark.errors import PredictionError
from benchmark.masks import encode_track
from benchmark.prediction_files import (
    FORMAT,
    VERSION,
    file_name,
    read_video_file,
    read_video_head,
    video_file_name,
    write_video_file,
)
from benchmark.prediction_records import QueryHead, StoredPrediction, VideoHead, VideoPredictions
from benchmark.types import Status

pytestmark = pytest.mark.usefixtures("unsynced")
# Any text, lone surrogates and control characters too: file names and sentences come from strangers.
ANYTHING = st.text(st.characters(), min_size=1, max_size=30)
SHAPE = (2, 3, 5)
MASKS = hnp.arrays(bool, SHAPE, fill=st.just(False)).map(encode_track)


@st.composite
def predictions(draw: st.DrawFn, video_id: str) -> StoredPrediction:
    number = st.floats(0, 1e6)
    return StoredPrediction(
        video_id=video_id,
        expression_id=draw(ANYTHING),
        expression=draw(ANYTHING),
        status=draw(st.sampled_from(list(Status))),
        actor=draw(st.none() | MASKS),
        target=draw(st.none() | MASKS),
        text=draw(st.none() | ANYTHING),
        message=draw(st.none() | ANYTHING),
        prompt=draw(st.none() | ANYTHING),
        score=draw(st.none() | number),
        seconds=draw(st.none() | number),
        peak_memory_bytes=draw(st.none() | st.integers(0, 1 << 50)),
        frames_used=draw(st.none() | st.lists(st.integers(0, 9)).map(tuple)),
        gpu_seconds=draw(st.none() | number),
        peak_gpu_memory_bytes=draw(st.none() | st.integers(0, 1 << 50)),
    )


@st.composite
def contents(draw: st.DrawFn) -> VideoPredictions:
    video_id = draw(ANYTHING)
    stored = tuple(draw(st.lists(predictions(video_id), max_size=3)))
    queries = tuple(
        QueryHead(one.expression_id, "key", one.status, one.seconds, one.peak_memory_bytes, False)
        for one in stored
    )
    head = VideoHead(FORMAT, VERSION, video_id, *SHAPE, seconds=0.25, queries=queries)
    return VideoPredictions(head, stored)


@given(content=contents())
def test_what_is_written_is_read_back(
    content: VideoPredictions, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    write_video_file(folder, content)
    path = folder / video_file_name(content.head.video_id)
    assert read_video_file(path)[0] == content
    assert read_video_head(path) == (content.head, read_video_file(path)[1])
    path.unlink()


def test_files_from_before_gpu_costs_were_kept_are_read(tmp_path: Path) -> None:
    one = StoredPrediction("v", "0", "a dog", Status.OK, seconds=2.0, gpu_seconds=1.0)
    query = QueryHead("0", "key", Status.OK, 2.0, None, False)
    head = VideoHead(FORMAT, VERSION, "v", *SHAPE, seconds=0.25, queries=(query,), gpu_seconds=0.5)
    write_video_file(tmp_path, VideoPredictions(head, (one,)))
    path = tmp_path / video_file_name("v")
    lines = [json.loads(line) for line in path.read_bytes().splitlines()[:-1]]
    for line in lines:
        line.pop("gpu_seconds"), line.pop("peak_gpu_memory_bytes", None)
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    end = json.dumps({"sha256": hashlib.sha256(body).hexdigest()}, separators=(",", ":"))
    path.write_bytes(body + end.encode() + b"\n")
    content, _ = read_video_file(path)
    assert content.head == replace(head, gpu_seconds=None)
    assert content.predictions == (replace(one, gpu_seconds=None),)


@given(st.lists(ANYTHING | st.sampled_from(["con", "nul", "a", "A", "a.b", "a/b", "..", "é"]), unique=True))
def test_names_never_meet_on_any_file_system(names: list[str]) -> None:
    files = [file_name(name, ".x") for name in names]
    assert len({file.lower() for file in files}) == len(names)
    for file in files:
        assert file.isascii()
        assert "/" not in file and "\\" not in file and ":" not in file
        assert len(file) < 120
        assert not file.startswith(".")


def test_ordinary_ids_stay_readable() -> None:
    assert video_file_name("4123900548_clip000") == "4123900548_clip000.jsonl"
    assert file_name("7", ".png") == "7.png"
    assert file_name("UVO/all/x", "").startswith("UVO+2Fall+2Fx+")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (('"format":"interrvos-referee predictions"', '"format":"x"'), "'x' version 1"),
        (('"frames":2', '"frames":"2"'), "first line/frames: wrong value; expected a whole number"),
        (('"status":"ok","text"', '"status":"fine","text"'), "'fine' is not a valid Status"),
        (('"actor":[', '"actor":[null,'), "a track of 3 frames in a video of 2"),
        (('{"expression_id":"0","expression"', '{"expression_id":"1","expression"'), "does not list"),
    ],
)
def test_files_that_were_edited(tmp_path: Path, change: tuple[str, str], found: str) -> None:
    """The digest catches accidents; whoever recomputes it meets the other checks."""
    one = StoredPrediction("v", "0", "a dog", Status.OK, actor=encode_track(np.ones(SHAPE, bool)))
    head = VideoHead(
        FORMAT,
        VERSION,
        "v",
        *SHAPE,
        seconds=0.0,
        queries=(QueryHead("0", "k", one.status, None, None, False),),
    )
    write_video_file(tmp_path, VideoPredictions(head, (one,)))
    path = tmp_path / "v.jsonl"
    lines = path.read_text().replace(*change).splitlines(keepends=True)
    path.write_text("".join(lines))
    with pytest.raises(PredictionError, match="do not match the digest"):
        read_video_file(path)
    digest = hashlib.sha256("".join(lines[:-1]).encode()).hexdigest()
    path.write_text("".join(lines[:-1]) + f'{{"sha256":"{digest}"}}\n')
    with pytest.raises(PredictionError, match=found):
        read_video_file(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PredictionError, match=r"gone\.jsonl: .*No such file"):
        read_video_head(tmp_path / "gone.jsonl")
