"""From boxes to predictions: what a language model answered, followed through the clip by SAM2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adapters.parts.box_answers import BoxAnswer, FrameBox
from adapters.parts.sam2_tracking import BoxTracker
from benchmark.masks import union_tracks
from benchmark.types import MaskTrack, Prediction, Role


@dataclass(frozen=True, slots=True)
class Asked:
    """One question with its outcome.

    Attributes:
        answer: boxes, or why there are none.
        text: what the model said; `None` if it never did.
        prompt: the words that it was asked in.
        seen: positions of the frames that it was shown.
    """

    answer: BoxAnswer
    text: str | None
    prompt: str
    seen: tuple[int, ...]


def predictions(asked: Sequence[Asked], tracker: BoxTracker) -> list[Prediction]:
    """A prediction for each question; all boxes are followed together, which is cheaper than one by one."""
    boxes: list[FrameBox] = []
    places: list[dict[Role, range]] = []
    for one in asked:
        place = {}
        for role, claimed in one.answer.boxes.items():
            place[role] = range(len(boxes), len(boxes) + len(claimed))
            boxes += claimed
        places.append(place)
    tracks = tracker.track(boxes)
    return [_prediction(one, tracks, place) for one, place in zip(asked, places, strict=True)]


def _prediction(asked: Asked, tracks: Sequence[MaskTrack], place: dict[Role, range]) -> Prediction:
    masks = {role: union_tracks([tracks[index] for index in where]) for role, where in place.items()}
    return Prediction(
        actor=masks.get(Role.ACTOR),
        target=masks.get(Role.TARGET),
        status=asked.answer.status,
        text=asked.text,
        message=asked.answer.message,
        frames_used=asked.seen,
        prompt=asked.prompt,
    )
