"""Every way to break an adapter's contract has its sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from benchmark.answer_contract import Place, checked_answers
from benchmark.errors import AdapterError
from benchmark.masks import decode_track, empty_track, encode_track
from benchmark.types import Expression, MaskTrack, Prediction, Status

PLACE = Place("mine", "clip 7", 2, 3, 4)
ASKED = [Expression("5", "red pushing blue", "single", ())]
SHAPE = (2, 3, 4)


def check(answer: Any) -> Prediction:
    return checked_answers([answer], ASKED, PLACE)[0]


@given(hnp.arrays(bool, SHAPE), st.sampled_from(["bool", "uint8 1", "uint8 255", "int64 1", "track"]))
def test_every_allowed_form_gives_the_same_track(masks: Any, form: str) -> None:
    given_masks: Any = masks
    if form == "track":
        given_masks = encode_track(masks)
    elif form != "bool":
        dtype, one = form.split()
        given_masks = masks.astype(dtype) * np.dtype(dtype).type(int(one))
    answer = check(Prediction(actor=given_masks, target=None))
    assert answer.actor == encode_track(masks)
    assert np.array_equal(decode_track(answer.actor), masks)
    assert answer.target is None


def test_tracks_become_canonical() -> None:
    # 12 pixels: one background run in two pieces with a zero-length run between them.
    track = MaskTrack(3, 4, (b"309", None))
    answer = check(Prediction(actor=track))
    assert answer.actor == empty_track(2, 3, 4)


def test_failed_answers_come_without_masks() -> None:
    answer = check(Prediction(actor=np.ones(SHAPE, bool), status=Status.PARSE_ERROR, message="what?"))
    assert (answer.actor, answer.status, answer.message) == (None, Status.PARSE_ERROR, "what?")


def test_numbers_become_plain() -> None:
    answer = check(Prediction(score=np.float32(0.5), frames_used=(np.int64(0), np.int64(1))))
    assert type(answer.score) is float
    assert [type(one) for one in answer.frames_used or ()] == [int, int]


class Tensor:
    pass


@pytest.mark.parametrize(
    ("masks", "sentence"),
    [
        (np.zeros((1, 3, 4), bool), r"wrong shape; expected \(2, 3, 4\): every frame.*found \(1, 3, 4\)"),
        (np.zeros((2, 6, 8), bool), r"wrong shape.*found \(2, 6, 8\).*resize"),
        (np.zeros((3, 4), bool), "wrong shape"),
        (np.full(SHAPE, -3.5, np.float32), "logits or probabilities.*found float32 from -3.5 to -3.5.*> 0"),
        (np.zeros(SHAPE, complex), "wrong dtype.*found complex128"),
        (np.full(SHAPE, 2), "other numbers than two.*found int64 from 2 to 2"),
        (np.arange(24).reshape(SHAPE), "other numbers than two"),
        (np.full(SHAPE, -1), "other numbers than two"),
        (np.array([0, 1, 255] * 8).reshape(SHAPE), "other numbers than two"),
        (empty_track(3, 3, 4), r"track has the wrong size; expected \(2, 3, 4\); found \(3, 3, 4\)"),
        (MaskTrack(3, 4, (None, b"?!")), "frame 1: the mask track does not decode"),
        (Tensor(), r"a NumPy array or a MaskTrack; found .*Tensor.*masks.cpu\(\).numpy\(\)"),
        ([[True]], "a NumPy array or a MaskTrack; found builtins.list"),
    ],
)
def test_wrong_masks(masks: Any, sentence: str) -> None:
    where = r"^adapter mine, video clip 7, expression 5 \('red pushing blue'\), "
    with pytest.raises(AdapterError, match=f"{where}actor.*{sentence}"):
        check(Prediction(actor=masks))
    with pytest.raises(AdapterError, match=f"{where}target"):
        check(Prediction(target=masks))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (None, "not a prediction; expected benchmark.types.Prediction; found NoneType"),
        (replace(Prediction(), status="fine"), "not a status.*found 'fine'"),  # type: ignore[arg-type]
        (Prediction(score=float("nan")), "score must be a finite number or None; found nan"),
    ],
)
def test_wrong_answers(answer: Any, sentence: str) -> None:
    with pytest.raises(AdapterError, match=sentence):
        check(answer)


def test_wrong_number_of_answers() -> None:
    with pytest.raises(AdapterError, match="one prediction per query; expected 1 predictions; found 2"):
        checked_answers([Prediction(), Prediction()], ASKED, PLACE)
    with pytest.raises(AdapterError, match="must return a list of Prediction; found NoneType"):
        checked_answers(None, ASKED, PLACE)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"text": 5}, "text must be a text or None"),
        ({"message": b"no"}, "message must be a text or None"),
        ({"prompt": 5}, "prompt must be a text or None"),
        ({"score": "high"}, "a score must be a finite number or None"),
        ({"seconds": float("nan")}, "seconds must be a finite number, 0 or more, or None"),
        ({"seconds": -5}, "seconds must be a finite number, 0 or more, or None"),
        ({"seconds": "1"}, "seconds must be a finite number"),
        ({"peak_memory_bytes": 1.5}, "peak_memory_bytes must be a whole number"),
        ({"peak_memory_bytes": -1}, "peak_memory_bytes must be a whole number"),
        ({"frames_used": (0, 2)}, "whole numbers from 0 to 1"),
        ({"frames_used": "ab"}, "frames_used must be positions of frames"),
        ({"frames_used": 7}, "frames_used must be positions of frames"),
    ],
)
@pytest.mark.parametrize("status", [Status.OK, Status.ERROR])
def test_facts_beside_the_masks(facts: dict[str, Any], sentence: str, status: Status) -> None:
    with pytest.raises(AdapterError, match=sentence):
        check(Prediction(status=status, **facts))


def test_numbers_of_numpy_become_plain() -> None:
    facts: Any = {
        "score": np.float32(0.5),
        "seconds": np.float64(2),
        "peak_memory_bytes": np.int64(7),
        "frames_used": np.array([0, 1]),
    }
    answer = check(Prediction(**facts))
    found = (answer.score, answer.seconds, answer.peak_memory_bytes, answer.frames_used)
    assert found == (0.5, 2.0, 7, (0, 1))
    assert [type(one) for one in found] == [float, float, int, tuple]
    assert {type(one) for one in answer.frames_used or ()} == {int}


def test_a_track_of_texts_instead_of_bytes() -> None:
    texts: Any = ("04", None)
    with pytest.raises(AdapterError, match="frame 0: the mask track holds no run-length text"):
        check(Prediction(actor=MaskTrack(3, 4, texts)))
