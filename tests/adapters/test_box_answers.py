"""Boxes read from answers: every form and convention, every fault with its reason, any text at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.parts.box_answers import Coordinates, FrameBox, Shown, read_answer
from benchmark.types import Role, Status

PIXELS = Shown((1, 4), ((100, 200), (100, 200)), 50, 100, Coordinates.PIXELS)  # shown at twice the size
SCALES = {Coordinates.PIXELS: None, Coordinates.PER_THOUSAND: 1000.0, Coordinates.UNIT: 1.0}


def boxes(text: str, shown: Shown = PIXELS) -> dict[str, list[tuple[float, ...]]]:
    answer = read_answer(text, shown)
    return {
        str(role): [(one.frame, one.left, one.top, one.right, one.bottom) for one in found]
        for role, found in answer.boxes.items()
    }


@pytest.mark.parametrize(
    "text",
    [
        '{"frame": 2, "actor": [{"bbox_2d": [20, 40, 60, 80]}], "target": null}',
        '```json\n{"frame": 2, "actor": [{"bbox_2d": [20, 40, 60, 80], "label": "child"}]}\n```',
        "Sure [see below]\n{'frame': 'Frame 2', 'actor': {'bbox': [20, 40, 60, 80]}, 'target': 'none'}\nOk.",
        '{"frame": "2", "Actor": [20, 40, 60, 80], "target": []}',
        '[{"frame": 2, "actor": [[20, 40, 60, 80]], "target": {}}]',
        '[{"bbox_2d": [20, 40, 60, 80], "label": "actor: the child", "frame": 2}]',
        '{"actor": [{"frame": 2, "box": ["20", "40", "60", "80"]}], "target": "N/A"}',
        '{"answer": {"frame_number": 2, "actors": {"x1": 20, "y1": 40, "x2": 60, "y2": 80}}}',
        '{"frame": 2, "actor": {"box_2d": [[20, 40, 60, 80]]}, "target": {"bbox_2d": null}}',
        '{"frame": 2, "actor": [[60, 80, 20, 40]]}',
        '<think>{"frame": 1, "actor": [[0, 0, 9, 9]]}</think>{"frame": 2, "actor": [[20, 40, 60, 80]]}',
    ],
)
def test_forms(text: str) -> None:
    assert boxes(text) == {"actor": [(4, 10, 20, 30, 40)]}
    assert read_answer(text, PIXELS).status is Status.OK and read_answer(text, PIXELS).message is None


def test_conventions_measure_the_picture_that_was_shown() -> None:
    text = '{"frame": 1, "actor": [[0.1, 0.2, 0.5, 1]]}'
    for coordinates, expected in (
        (Coordinates.UNIT, (1, 10.0, 10.0, 50.0, 50.0)),
        (Coordinates.PER_THOUSAND, (1, 0.01, 0.01, 0.05, 0.05)),
        (Coordinates.PIXELS, (1, 0.05, 0.1, 0.25, 0.5)),
    ):
        shown = Shown((1,), ((100, 200),), 50, 100, coordinates)
        assert boxes(text, shown)["actor"][0] == pytest.approx(expected)


def test_several_boxes_are_those_of_the_first_frame() -> None:
    many = [[0, 0, 20, 20], [40, 40, 60, 60], [0, 0, 20, 20]]
    text = json.dumps(
        [{"frame": 2, "actor": many}, {"frame": 1, "actor": [[1, 1, 9, 9]], "target": many[:1]}]
    )
    found = boxes(text)
    assert found == {"actor": [(4, 0, 0, 10, 10), (4, 20, 20, 30, 30)], "target": [(1, 0, 0, 10, 10)]}


@pytest.mark.parametrize(
    "text",
    [
        '{"frame": 1, "actor": null, "target": null}',
        "{'actor': 'None', 'target': []}",
        '[{"actor": {"bbox_2d": null}, "target": false}]',
        '{"answer": {"actor": {}, "target": ""}}',
        '[{"label": "actor", "bbox_2d": null}]',
    ],
)
def test_denials_are_abstentions(text: str) -> None:
    answer = read_answer(text, PIXELS)
    assert (answer.status, answer.boxes, answer.message) == (Status.ABSTAIN, {}, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the answer is empty"),
        ("<think>the child is", "the answer is empty"),
        ("I cannot help with that.", "the answer holds no JSON about an actor or a target"),
        ("[1, 2, 3, 4]", "the answer holds no JSON about an actor or a target"),
        ('{"frame": 3, "actor": [[1, 2, 3, 4]]}', "actor: frame 3 is none of the 2 that were shown"),
        ('{"frame": 0, "actor": [[1, 2, 3, 4]]}', "actor: frame 0 is none of the 2 that were shown"),
        (
            '{"frame": "00:01", "actor": [[1, 2, 3, 4]]}',
            "actor: frame '00:01' is none of the 2 that were shown",
        ),
        ('{"frame": 1.5, "actor": [[1, 2, 3, 4]]}', "actor: frame 1.5 is none of the 2 that were shown"),
        ('{"actor": [[1, 2, 3, 4]]}', "actor: no frame number, though 2 frames were shown"),
        ('{"frame": 1, "actor": [[1, 2, 3]]}', "actor: no box of four numbers"),
        ('{"frame": 1, "actor": {"point_2d": [1, 2]}}', "actor: no box of four numbers"),
        ('{"frame": 1, "target": "on the left"}', "target: no box of four numbers"),
        ('{"frame": 1, "actor": ["a", "b", "c", "d"]}', "actor: no box of four numbers"),
        ('{"frame": 1, "actor": [["nan", 1, 2, 3]]}', "actor: no box of four numbers"),
        ('{"frame": 1, "actor": [[5, 5, 5, 9]]}', "actor: a box without area"),
        ('{"frame": 1, "actor": [[200, 0, 300, 50]]}', "actor: a box outside the frame"),
        ('{"frame": 1, "actor": [[-9, -9, -1, -1]]}', "actor: a box outside the frame"),
        ('{"frame": 1, "actor": [[1, 2, 3, 4', "the answer is cut off; actor: no box of four numbers"),
        ('{"frame": 1, "actor": null, "targ', "the answer is cut off"),
    ],
)
def test_answers_that_cannot_be_used_say_why(text: str, reason: str) -> None:
    answer = read_answer(text, PIXELS)
    assert (answer.status, dict(answer.boxes), answer.message) == (Status.PARSE_ERROR, {}, reason)


def test_what_can_be_used_of_a_faulty_answer_is_used() -> None:
    faulty = read_answer('{"frame": 1, "actor": [[1, 2, 3, 4]], "target": [[400, 2, 500, 4]]}', PIXELS)
    assert faulty.status is Status.OK and set(faulty.boxes) == {Role.ACTOR}
    assert faulty.message == "target: a box outside the frame"
    cut = read_answer('{"frame": 1, "actor": [[1, 2, 3, 4]], "target": [[4', PIXELS)
    assert cut.status is Status.OK and cut.message == "the answer is cut off"
    alone = Shown((7,), ((50, 100),), 50, 100, Coordinates.PIXELS)
    assert boxes('{"actor": [[1, 2, 3, 4]]}', alone) == {"actor": [(7, 1, 2, 3, 4)]}


@st.composite
def answers(draw: st.DrawFn) -> tuple[str, Shown, dict[Role, list[float]]]:
    """An answer in some spelling, and the boxes in it, in pixels of the video."""
    coordinates = draw(st.sampled_from(Coordinates))
    height, width = draw(st.integers(8, 900)), draw(st.integers(8, 900))
    size = draw(st.integers(8, 900)), draw(st.integers(8, 900))
    shown = Shown((3, 9), (size, size), height, width, coordinates)
    across = SCALES[coordinates] or float(size[1])
    down = SCALES[coordinates] or float(size[0])
    written: dict[str, Any] = {"frame": 2}
    truth: dict[Role, list[float]] = {}
    for role in Role:
        fractions = draw(st.none() | st.tuples(*[st.integers(0, 49).map(lambda part: part / 100)] * 2))
        if fractions is None:
            written[role.value] = None
            continue
        left, top = fractions
        corners = [left * across, top * down, (left + 0.5) * across, (top + 0.5) * down]
        if draw(st.booleans()):
            corners = corners[2:] + corners[:2]
        written[role.value] = [{"bbox_2d": corners}]
        truth[role] = [left * width, top * height, (left + 0.5) * width, (top + 0.5) * height]
    text = (
        str(written) if draw(st.booleans()) else json.dumps(written, indent=draw(st.sampled_from([None, 1])))
    )
    frame = draw(
        st.sampled_from(["{}", "```json\n{}\n```", "Here: {} - hope it helps!", "<think>[x</think>{}"])
    )
    return frame.replace("{}", text), shown, truth


@given(answers())
def test_what_was_meant_is_read(case: tuple[str, Shown, dict[Role, list[float]]]) -> None:
    text, shown, truth = case
    answer = read_answer(text, shown)
    assert answer.status is (Status.OK if truth else Status.ABSTAIN) and answer.message is None
    read = {role: [one.left, one.top, one.right, one.bottom] for role, (one,) in answer.boxes.items()}
    assert read.keys() == truth.keys()
    for role, corners in read.items():
        assert corners == pytest.approx(truth[role], abs=1e-6) and answer.boxes[role][0].frame == 9


@given(answers(), st.data())
def test_a_cut_answer_has_only_boxes_of_the_whole_one(
    case: tuple[str, Shown, dict[Role, list[float]]], data: st.DataObject
) -> None:
    text, shown, _ = case
    whole = read_answer(text, shown)
    cut = read_answer(text[: data.draw(st.integers(0, len(text)))], shown)
    for role, found in cut.boxes.items():
        assert found == whole.boxes[role]
    assert (cut.status is Status.OK) == bool(cut.boxes)


NUMBERS = st.integers(-2000, 2000) | st.floats() | st.text("0123456789.-einf", max_size=6)


@given(
    st.text()
    | st.lists(NUMBERS, max_size=5).map(lambda box: json.dumps({"frame": 1, "actor": [box], "target": box})),
    st.sampled_from(Coordinates),
)
def test_any_text_gives_boxes_inside_the_frame_or_a_reason(text: str, coordinates: Coordinates) -> None:
    shown = Shown((0,), ((30, 40),), 60, 80, coordinates)
    answer = read_answer(text, shown)
    for found in answer.boxes.values():
        for box in found:
            assert isinstance(box, FrameBox)
            assert 0 <= box.left < box.right <= 80 and 0 <= box.top < box.bottom <= 60
    assert (answer.status is Status.OK) == bool(answer.boxes)
    assert answer.status is not Status.PARSE_ERROR or answer.message
