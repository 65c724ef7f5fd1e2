"""What an adapter must return, checked; each broken rule is one sentence with its place.

A broken contract is a fault of the adapter's code, not of one query: it stops the run.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmark.errors import AdapterError
from benchmark.mask_batches import canonical_texts
from benchmark.masks import encode_track
from benchmark.types import Expression, MaskTrack, Prediction, Role, Status

MASKS = "bool, or whole numbers that are 0 and 1 or 0 and 255"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer belongs, for messages, and the size its masks must have."""

    adapter: str
    video_id: str
    frames: int
    height: int
    width: int

    def of(self, expression: Expression, role: Role | None = None) -> str:
        """Adapter, video, expression and role in words."""
        asked = f"expression {expression.expression_id} ({expression.text!r})"
        words = f"adapter {self.adapter}, video {self.video_id}, {asked}"
        return words if role is None else f"{words}, {role}"

    def size(self) -> str:
        """The shape that masks must have."""
        return f"({self.frames}, {self.height}, {self.width})"


def checked_answers(answers: object, asked: Sequence[Expression], place: Place) -> list[Prediction]:
    """The answers of one `predict` call with every mask as a `MaskTrack`.

    Failed answers come without masks.

    Raises:
        AdapterError: when the adapter broke its contract.
    """
    where = f"adapter {place.adapter}, video {place.video_id}"
    if not isinstance(answers, list | tuple):
        raise AdapterError(
            "predict must return a list of Prediction", where=where, found=type(answers).__name__
        )
    if len(answers) != len(asked):
        raise AdapterError(
            "predict must return one prediction per query",
            where=where,
            expected=f"{len(asked)} predictions",
            found=str(len(answers)),
            fix="answer the queries in their order; a query without masks is a Prediction without masks",
        )
    return [_checked(answer, one, place) for answer, one in zip(answers, asked, strict=True)]


def _checked(answer: object, asked: Expression, place: Place) -> Prediction:
    if not isinstance(answer, Prediction):
        raise AdapterError(
            "not a prediction",
            where=place.of(asked),
            expected="benchmark.types.Prediction",
            found=type(answer).__name__,
        )
    if not isinstance(answer.status, Status):
        raise AdapterError(
            "not a status",
            where=place.of(asked),
            expected="benchmark.types.Status",
            found=repr(answer.status),
        )
    plain = _with_plain_facts(answer, place, place.of(asked))
    if plain.status.failed:
        return replace(plain, actor=None, target=None)
    return replace(
        plain,
        actor=_track(answer.actor, place, place.of(asked, Role.ACTOR)),
        target=_track(answer.target, place, place.of(asked, Role.TARGET)),
    )


def _with_plain_facts(answer: Prediction, place: Place, where: str) -> Prediction:
    """The answer with what stands beside its masks as Python's own numbers, as files can hold them."""
    for name in ("text", "message", "prompt"):
        value = getattr(answer, name)
        if not (value is None or isinstance(value, str)):
            raise AdapterError(f"{name} must be a text or None", where=where, found=repr(value)[:60])
    return replace(
        answer,
        score=_number(answer.score, "a score", -math.inf, where),
        seconds=_number(answer.seconds, "seconds", 0, where),
        peak_memory_bytes=_whole(answer.peak_memory_bytes, "peak_memory_bytes", where),
        gpu_seconds=_number(answer.gpu_seconds, "gpu_seconds", 0, where),
        peak_gpu_memory_bytes=_whole(answer.peak_gpu_memory_bytes, "peak_gpu_memory_bytes", where),
        frames_used=_positions(answer.frames_used, place, where),
    )


def _number(value: Any, name: str, lowest: float, where: str) -> float | None:
    if value is None:
        return None
    if not isinstance(value, numbers.Real) or not math.isfinite(value) or value < lowest:
        kind = "a finite number" if lowest < 0 else "a finite number, 0 or more,"
        raise AdapterError(f"{name} must be {kind} or None", where=where, found=repr(value)[:60])
    return float(value)


def _whole(value: Any, name: str, where: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, numbers.Integral) or int(value) < 0:
        what = f"{name} must be a whole number, 0 or more, or None"
        raise AdapterError(what, where=where, found=repr(value)[:60])
    return int(value)


def _positions(value: Any, place: Place, where: str) -> tuple[int, ...] | None:
    if value is None:
        return None
    listed = tuple(value) if isinstance(value, Iterable) else (value,)
    if not all(isinstance(one, numbers.Integral) and 0 <= int(one) < place.frames for one in listed):
        raise AdapterError(
            "frames_used must be positions of frames, or None",
            where=where,
            expected=f"whole numbers from 0 to {place.frames - 1}",
            found=repr(value)[:60],
        )
    return tuple(int(one) for one in listed)


def _track(masks: object, place: Place, where: str) -> MaskTrack | None:
    if masks is None:
        return None
    if isinstance(masks, MaskTrack):
        return _given_track(masks, place, where)
    if not isinstance(masks, np.ndarray):
        raise AdapterError(
            "masks must be a NumPy array or a MaskTrack",
            where=where,
            found=f"{type(masks).__module__}.{type(masks).__name__}",
            fix="return masks.cpu().numpy()" if type(masks).__name__ == "Tensor" else "",
        )
    if masks.shape != (place.frames, place.height, place.width):
        raise AdapterError(
            "masks have the wrong shape",
            where=where,
            expected=f"{place.size()}: every frame, at source size",
            found=str(masks.shape),
            fix="resize the masks to the frames, and give a mask for each frame",
        )
    return encode_track(_as_bool(masks, where))


def _given_track(track: MaskTrack, place: Place, where: str) -> MaskTrack:
    shape = (len(track), track.height, track.width)
    if shape != (place.frames, place.height, place.width):
        raise AdapterError(
            "the mask track has the wrong size", where=where, expected=place.size(), found=str(shape)
        )
    for frame, text in enumerate(track.counts):
        if not (text is None or isinstance(text, bytes)):
            raise AdapterError(
                "the mask track holds no run-length text",
                where=f"{where}, frame {frame}",
                expected="bytes, or None for a frame without pixels",
                found=type(text).__name__,
                fix="make tracks with benchmark.masks.encode_track",
            )
    tidy = canonical_texts(track.counts, track.height, track.width)
    for frame, error in tidy.errors.items():
        problem = error.problems[0]
        raise AdapterError(
            f"the mask track does not decode: {problem.what}",
            where=f"{where}, frame {frame}",
            expected=problem.expected,
            found=problem.found,
            fix="make tracks with benchmark.masks.encode_track",
        )
    return replace(track, counts=tidy.texts)


def _as_bool(masks: np.ndarray[Any, Any], where: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if masks.dtype == np.bool_:
        return masks
    if not np.issubdtype(masks.dtype, np.integer):
        low, high = (float(masks.min()), float(masks.max())) if masks.dtype.kind == "f" else (None, None)
        raise AdapterError(
            "masks are logits or probabilities" if masks.dtype.kind == "f" else "masks have the wrong dtype",
            where=where,
            expected=MASKS,
            found=str(masks.dtype) if low is None else f"{masks.dtype} from {low:g} to {high:g}",
            fix="decide each pixel: return logits > 0",
        )
    high = int(masks.max())
    if int(masks.min()) < 0 or high not in (0, 1, 255) or not np.isin(masks, (0, high)).all():
        raise AdapterError(
            "masks hold other numbers than two",
            where=where,
            expected=MASKS,
            found=f"{masks.dtype} from {int(masks.min())} to {high}",
            fix="return the mask of one object, as booleans",
        )
    return masks.astype(np.bool_)
