"""Reading a COCO list of detections: `[{"image_id": ..., "segmentation": {"size", "counts"}, "score": ...}]`.

The image ids are those of the A2D and JHMDB evaluation: `v_VIDEO_f_FRAME_i_EXPRESSION`, or `v_VIDEO_f_FRAME`
where a video has one expression. Several entries for one image are candidates: the one with the highest
score counts, the first of equals. One pass keeps the chosen run-length texts and nothing else.

Source: wjn922/ReferFormer, datasets/a2d.py and jhmdb.py (the form of `image_id`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, final

import numpy as np

from benchmark.datasets import Dataset
from benchmark.errors import MaskError, PredictionError, ProblemCollector
from benchmark.png_predictions import MissingFrames
from benchmark.prediction_records import StoredPrediction
from benchmark.run_lengths import canonical_text, text_from_runs
from benchmark.types import AdapterInfo, Expression, MaskTrack, Role, Status, Video

CHUNK_CHARACTERS = 1 << 22
MAX_PROBLEMS = 20
_DECODER = json.JSONDecoder()
_WITH_EXPRESSION = re.compile(r"v_(?P<video>.+)_f_(?P<frame>[^_]+)_i_(?P<expression>.+)")
_WITHOUT = re.compile(r"v_(?P<video>.+)_f_(?P<frame>[^_]+)")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The best candidate for one image."""

    score: float | None
    size: tuple[int, int]
    counts: bytes


Choices = dict[tuple[str, str], dict[int, Chosen]]
"""By (video id, expression id) and frame position."""


@final
class CocoReader:
    """The best-scored masks of a COCO list; actors alone."""

    dataset_name: str | None = None
    dataset_digest: str | None = None

    def __init__(
        self,
        path: Path,
        dataset: Dataset,
        facts: Mapping[str, Any],
        missing_frames: MissingFrames = "error",
    ) -> None:
        self._dataset = dataset
        self._missing_frames = missing_frames
        self._videos = {video.video_id: video for video in dataset.videos}
        self._choices = _choose(path, self._videos)
        self.video_ids: Sequence[str] = tuple(dict.fromkeys(video for video, _ in self._choices))
        self.adapter: AdapterInfo | None = AdapterInfo("precomputed", "1", (Role.ACTOR,))
        self.run: Mapping[str, Any] = {**facts, "limit": None}

    def video(self, video_id: str) -> Mapping[str, StoredPrediction]:
        """The predictions of one video by expression id."""
        video = self._videos.get(video_id)
        return {
            one.expression_id: self._prediction(video, one, frames)
            for one in (video.expressions if video else ())
            if video is not None and (frames := self._choices.get((video_id, one.expression_id)))
        }

    def _prediction(self, video: Video, asked: Expression, frames: Mapping[int, Chosen]) -> StoredPrediction:
        try:
            track = self._track(video, frames)
        except MaskError as error:
            message = str(error).removesuffix(".")
            return StoredPrediction(
                video.video_id, asked.expression_id, asked.text, Status.ERROR, message=message
            )
        scores = [one.score for one in frames.values() if one.score is not None]
        return StoredPrediction(
            video.video_id,
            asked.expression_id,
            asked.text,
            Status.OK,
            actor=track,
            score=math.fsum(scores) / len(scores) if scores else None,
        )

    def _track(self, video: Video, frames: Mapping[int, Chosen]) -> MaskTrack:
        names = video.frame_names
        missing = [name for place, name in enumerate(names) if place not in frames]
        if missing and self._missing_frames == "error":
            raise MaskError(
                f"{len(missing)} of {len(names)} frames have no mask",
                expected=f"an entry for frame {missing[0]}",
                fix="where a missing entry means an empty mask: --adapter precomputed "
                "--option missing_frames=empty",
            )
        size = self._dataset.frame_size(video)
        texts: list[bytes | None] = [None] * len(names)
        for place, one in frames.items():
            if one.size != size:
                raise MaskError(
                    "wrong mask size",
                    where=f"frame {names[place]}",
                    expected=f"{size[0]}x{size[1]}",
                    found=f"{one.size[0]}x{one.size[1]}",
                )
            texts[place] = canonical_text(one.counts, *size)
        return MaskTrack(*size, tuple(texts))


def entries(path: Path) -> Iterator[Any]:
    """The members of a JSON array, one at a time.

    Raises:
        PredictionError: when it is malformed, cut off, no UTF-8 text, or nested beyond all bounds.
    """
    with path.open(encoding="utf-8-sig") as file:
        text = _Text(file)
        try:
            yield from _members(path, text)
        except UnicodeDecodeError as error:
            raise PredictionError(
                "not UTF-8 text", where=str(path), found=error.reason, fix="get the file again; it is damaged"
            ) from error
        except RecursionError as error:
            raise PredictionError(
                "a JSON list nested too deeply",
                where=str(path),
                expected="a list of masks, each with its image_id",
                found="hundreds of levels",
                fix="get the file again; it is damaged",
            ) from error
        except ValueError as error:  # malformed, or a number of thousands of digits
            raise _malformed(path, text.text) from error


def _members(path: Path, text: _Text) -> Iterator[Any]:
    if text.next() != "[":
        raise PredictionError("not a JSON list", where=str(path), found=repr(text.text[:24]))
    text.skip()
    if text.next() == "]":
        return
    while True:
        yield text.value()
        after = text.next()
        if after == "]":
            return
        if after != ",":
            raise _malformed(path, text.text)
        text.skip()


class _Text:
    """The unread rest of a file, as far as it is in memory."""

    def __init__(self, file: TextIO) -> None:
        self.text = ""
        self._file = file

    def next(self) -> str:
        """The next character that is no space; nothing at the end of the file."""
        self.text = self.text.lstrip()
        while not self.text and self._read():
            self.text = self.text.lstrip()
        return self.text[:1]

    def skip(self) -> None:
        self.text = self.text[1:]

    def value(self) -> Any:
        self.next()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text)
            except json.JSONDecodeError:
                if not self._read():
                    raise
                continue
            # A number at the end of the piece may go on in the next.
            if end < len(self.text) or not self._read():
                self.text = self.text[end:]
                return value

    def _read(self) -> bool:
        more = self._file.read(max(CHUNK_CHARACTERS, len(self.text)))
        self.text += more
        return bool(more)


def _malformed(path: Path, text: str) -> PredictionError:
    return PredictionError(
        "malformed or cut off JSON list",
        where=str(path),
        found=repr(text[:24]) if text else "the end of the file",
        fix="get the file again",
    )


def _choose(path: Path, videos: Mapping[str, Video]) -> Choices:
    best: Choices = {}
    places = {
        video.video_id: {name: place for place, name in enumerate(video.frame_names)}
        for video in videos.values()
    }
    problems = ProblemCollector()
    for number, entry in enumerate(entries(path)):
        where = f"{path}: entry {number}"
        if len(problems.problems) >= MAX_PROBLEMS:
            break
        image = _image_of(entry, videos, places, problems, where)
        chosen = _chosen(entry, problems, where) if image else None
        if image is None or chosen is None:
            continue
        video_id, expression_id, place = image
        frames = best.setdefault((video_id, expression_id), {})
        earlier = frames.get(place)
        if earlier is None:
            frames[place] = chosen
        elif earlier.score is None or chosen.score is None:
            problems.add(
                "several masks for one image, and no score to choose by", where=where, expected="a score"
            )
        elif chosen.score > earlier.score:
            frames[place] = chosen
    problems.raise_if_any(PredictionError, f"{path} cannot be used")
    if not best:
        raise PredictionError(
            "holds no prediction",
            where=str(path),
            expected="a list of masks, each with its image_id",
            found="an empty list",
            fix="name the file that the inference wrote",
        )
    return best


def _image_of(
    entry: Any,
    videos: Mapping[str, Video],
    places: Mapping[str, Mapping[str, int]],
    problems: ProblemCollector,
    where: str,
) -> tuple[str, str, int] | None:
    """(video id, expression id, frame position) of an entry."""
    image_id = entry.get("image_id") if isinstance(entry, dict) else None
    if not isinstance(image_id, str):
        problems.add(
            "an image that cannot be told",
            where=where,
            expected='"image_id": "v_VIDEO_f_FRAME_i_EXPRESSION"',
            found=repr(image_id),
            fix="numbers refer to a ground-truth file of another program: write the names instead",
        )
        return None
    match = _WITH_EXPRESSION.fullmatch(image_id) or _WITHOUT.fullmatch(image_id)
    video = videos.get(match["video"]) if match else None
    if match is None or video is None:
        problems.add(
            "an image of no video of the dataset",
            where=where,
            expected="v_VIDEO_f_FRAME_i_EXPRESSION",
            found=repr(image_id),
        )
        return None
    names = [one.expression_id for one in video.expressions]
    wanted = match.groupdict().get("expression")
    expression_id = names[0] if wanted is None and len(names) == 1 else wanted
    place = _place(match["frame"], places[video.video_id])
    if expression_id not in names or place is None:
        problems.add(
            "the dataset has no such expression" if expression_id not in names else "no such frame",
            where=where,
            found=repr(image_id),
        )
        return None
    return video.video_id, str(expression_id), place


def _place(frame: str, places: Mapping[str, int]) -> int | None:
    if frame in places or not frame.isdecimal():
        return places.get(frame)
    # `16` for the frame file `00016.jpg`; two names of one number leave the name unknown.
    equal = [place for name, place in places.items() if name.isdecimal() and int(name) == int(frame)]
    return equal[0] if len(equal) == 1 else None


def _chosen(entry: Mapping[str, Any], problems: ProblemCollector, where: str) -> Chosen | None:
    mask, score = entry.get("segmentation"), entry.get("score")
    size, counts = (mask.get("size"), mask.get("counts")) if isinstance(mask, dict) else (None, None)
    whole = isinstance(size, list) and len(size) == 2 and all(type(one) is int for one in size)
    if isinstance(counts, list) and all(type(one) is int and one >= 0 for one in counts):
        counts = text_from_runs(np.asarray(counts, dtype=np.int64)).decode()
    if not whole or not isinstance(counts, str) or not counts.isascii():
        problems.add(
            "not a run-length mask",
            where=where,
            expected='"segmentation": {"size": [height, width], "counts": run lengths}',
            found=type(mask).__name__,
        )
        return None
    number = isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score)
    if score is not None and not number:
        problems.add("not a score", where=where, expected="a finite number", found=repr(score))
        return None
    assert isinstance(size, list)
    return Chosen(None if score is None else float(score), (size[0], size[1]), counts.encode("ascii"))
