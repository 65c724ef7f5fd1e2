"""Boxes of the actor and the target, read from what a language model answered.

Whatever the text, the outcome is one of three, told apart: boxes; "there is no such object" (the model
abstains); or an answer that cannot be used, with the reason.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.parts.tolerant_json import json_values
from benchmark.types import Role, Status

BOX_KEYS = ("bbox_2d", "bbox", "box_2d", "box")
FRAME_KEYS = ("frame", "frame_number", "frame_index", "frame_id", "image")
NOTHING = ("", "null", "none", "n/a", "no")
"""Words that models write where JSON has null."""

_THOUGHTS = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)


class Coordinates(enum.StrEnum):
    """What the numbers of a box are measured in."""

    PIXELS = "pixels"  # of the image as the model was shown it
    PER_THOUSAND = "per-thousand"  # of its width and height, 0 to 1000
    UNIT = "unit"  # of its width and height, 0 to 1


@dataclass(frozen=True, slots=True)
class Shown:
    """What the model was shown, and how it counts.

    Attributes:
        positions: of each picture, in their order, the frame of the video that it shows.
        sizes: of each picture, (height, width) in the pixels that the model counts in.
        height: of the video's frames.
        width: of the video's frames.
        coordinates: what its numbers mean.
    """

    positions: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    height: int
    width: int
    coordinates: Coordinates


@dataclass(frozen=True, slots=True)
class FrameBox:
    """A box on one frame of the video, in its pixels; it lies in the frame and has an area."""

    frame: int
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class BoxAnswer:
    """What was read.

    Attributes:
        status: `OK` with a box at least, `ABSTAIN` when both roles were denied, `PARSE_ERROR` otherwise.
        boxes: per role, boxes on one frame: the first that the answer has a usable box on.
        message: what could not be used, and why; `None` where nothing was wrong.
    """

    status: Status
    boxes: Mapping[Role, tuple[FrameBox, ...]] = field(default_factory=dict)
    message: str | None = None


@dataclass(frozen=True, slots=True)
class _Claim:
    """A box as it was written, or what stands in its place."""

    role: Role
    frame: Any
    value: Any


def read_answer(text: str, shown: Shown) -> BoxAnswer:
    """The boxes in an answer.

    Understood are `{"frame": n, "actor": [{"bbox_2d": [...]}], "target": null}`, lists of such objects,
    and lists of boxes with a label that begins with the role. Frames are numbered from 1 in the order
    shown. Corners may be swapped; boxes are cut at the edges of the frame. A claim that cannot be used is
    dropped with its reason; a role without a usable box has none.
    """
    spoken = _THOUGHTS.sub(" ", text)
    for found in json_values(spoken):
        claims = list(_claims(found.value, None))
        if claims or _denies(found.value):
            return _judged(claims, shown, found.complete)
    if not spoken.strip():
        return BoxAnswer(Status.PARSE_ERROR, message="the answer is empty")
    return BoxAnswer(Status.PARSE_ERROR, message="the answer holds no JSON about an actor or a target")


def _judged(claims: Sequence[_Claim], shown: Shown, complete: bool) -> BoxAnswer:
    boxes: dict[Role, tuple[FrameBox, ...]] = {}
    reasons = [] if complete else ["the answer is cut off"]
    for claim in claims:
        box = _placed(claim, shown)
        if isinstance(box, str):
            reasons.append(f"{claim.role}: {box}")
            continue
        held = boxes.get(claim.role, ())
        if not held or (held[0].frame == box.frame and box not in held):
            boxes[claim.role] = (*held, box)
    message = "; ".join(dict.fromkeys(reasons)) or None
    if boxes:
        return BoxAnswer(Status.OK, boxes, message)
    return BoxAnswer(Status.PARSE_ERROR if message else Status.ABSTAIN, message=message)


def _claims(value: Any, frame: Any) -> Iterator[_Claim]:
    """Every box that is written for a role, in order."""
    if isinstance(value, list):
        for item in value:
            yield from _claims(item, frame)
    elif isinstance(value, dict):
        frame = _frame_of(value, frame)
        labelled = _role_of(value.get("label", value.get("role")))
        if labelled is not None:
            yield from _boxes_of(labelled, value, frame)
        for name, content in value.items():
            role = _role_of(name)
            if role is not None:
                yield from _boxes_of(role, content, frame)
            elif isinstance(content, dict | list):
                yield from _claims(content, frame)


def _boxes_of(role: Role, value: Any, frame: Any) -> Iterator[_Claim]:
    if _is_nothing(value):
        return
    if isinstance(value, dict):
        frame = _frame_of(value, frame)
        key = next((key for key in BOX_KEYS if key in value), None)
        if key is None:
            corners = [value.get(name) for name in ("x1", "y1", "x2", "y2")]
            yield _Claim(role, frame, value if None in corners else corners)
        elif _is_list_of_lists(value[key]):
            yield from (_Claim(role, frame, one) for one in value[key])
        elif not _is_nothing(value[key]):
            yield _Claim(role, frame, value[key])
    elif isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
        for one in value:
            yield from _boxes_of(role, one, frame)
    else:
        yield _Claim(role, frame, value)


def _denies(value: Any) -> bool:
    """Whether a value without any claim speaks of the roles all the same: both are null."""
    if isinstance(value, list):
        return any(_denies(item) for item in value)
    if not isinstance(value, dict):
        return False
    named = any(_role_of(name) is not None for name in value)
    labelled = _role_of(value.get("label", value.get("role"))) is not None
    return named or labelled or any(_denies(item) for item in value.values())


def _role_of(name: Any) -> Role | None:
    """The role that a key or a label begins with: "actor", "Targets", "actor: the child"."""
    if not isinstance(name, str):
        return None
    found = re.match(r"\W*(actor|target)s?\b", name.lower())
    return Role(found.group(1)) if found else None


def _frame_of(value: Mapping[str, Any], outer: Any) -> Any:
    return next((value[key] for key in FRAME_KEYS if value.get(key) is not None), outer)


def _is_nothing(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in NOTHING
    return value is None or value is False or value == [] or value == {}


def _is_list_of_lists(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, list) for one in value)


def _placed(claim: _Claim, shown: Shown) -> FrameBox | str:
    """The box in pixels of the video, or why it cannot be used."""
    picture = _picture(claim.frame, len(shown.positions))
    if isinstance(picture, str):
        return picture
    numbers = _four_numbers(claim.value)
    if numbers is None:
        return "no box of four numbers"
    height, width = shown.sizes[picture]
    across, down = {
        Coordinates.PIXELS: (float(width), float(height)),
        Coordinates.PER_THOUSAND: (1000.0, 1000.0),
        Coordinates.UNIT: (1.0, 1.0),
    }[shown.coordinates]
    left, right = sorted((numbers[0] / across * shown.width, numbers[2] / across * shown.width))
    top, bottom = sorted((numbers[1] / down * shown.height, numbers[3] / down * shown.height))
    if left == right or top == bottom:
        return "a box without area"
    if right <= 0 or bottom <= 0 or left >= shown.width or top >= shown.height:
        return "a box outside the frame"
    return FrameBox(
        shown.positions[picture],
        max(left, 0.0),
        max(top, 0.0),
        min(right, float(shown.width)),
        min(bottom, float(shown.height)),
    )


def _picture(frame: Any, count: int) -> int | str:
    """Which picture was meant, from 0."""
    if frame is None:
        return 0 if count == 1 else f"no frame number, though {count} frames were shown"
    digits = re.fullmatch(r"\D*(\d{1,6})\D*", frame) if isinstance(frame, str) else None
    number = float(digits.group(1)) if digits else frame
    if not isinstance(number, float) or not number.is_integer() or not 1 <= number <= count:
        named = f"{frame:g}" if isinstance(frame, float) else repr(frame)[:20]
        return f"frame {named} is none of the {count} that were shown"
    return int(number) - 1


def _four_numbers(value: Any) -> list[float] | None:
    if not isinstance(value, list) or len(value) != 4:
        return None
    numbers = [_number(one) for one in value]
    return None if None in numbers else [one for one in numbers if one is not None]


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return value if isinstance(value, float) and math.isfinite(value) else None
