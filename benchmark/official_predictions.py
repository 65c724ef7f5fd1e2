"""Reading the `results.json` that the official inference script writes, at any size.

    {video: {expression: {"prediction_masks_act": [RLE per frame], "prediction_masks_tar": [RLE per frame],
                          "text_prediction": answer, "frames": [stem per frame], "exp": prompt, ...}}}

Source: cvlab-kaist/InterRVOS, ref_vos_eval.py (commit 885a1cbc). The same script of Sa2VA writes one list
`prediction_masks`; it is read as the actor's. One pass over a file checks it and remembers where each
video begins and ends; after that one video at a time is read.

That script stores masks without pixels where the model gave no mask. The answer's text tells the two
apart: without `[SEG]` or `[SEG_ACT]` there was no actor, without `[SEG_OBJ]` or `[SEG_TAR]` no target.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from benchmark.datasets import Dataset
from benchmark.datasets.json_stream import JsonStream, json_kind
from benchmark.datasets.reading_progress import reading_progress
from benchmark.errors import DatasetError, PredictionError, ProblemCollector
from benchmark.mask_batches import canonical_texts
from benchmark.prediction_records import StoredPrediction
from benchmark.predictions import refuse_unknown_videos
from benchmark.types import AdapterInfo, Expression, MaskTrack, Role, Status, Video

MERGED_NAME = "results.json"
PARTS = "results_pid_*.json"
ACTOR_KEY, TARGET_KEY, SINGLE_KEY = "prediction_masks_act", "prediction_masks_tar", "prediction_masks"
ACTOR_TOKENS = ("[SEG]", "[SEG_ACT]")
TARGET_TOKENS = ("[SEG_OBJ]", "[SEG_TAR]")


@dataclass(frozen=True, slots=True)
class Piece:
    """Where one video's predictions lie: bytes `start` to `end` of a file."""

    file: Path
    start: int
    end: int


@final
class OfficialReader:
    """Predictions of the official script; nothing is known about the model."""

    dataset_name: str | None = None
    dataset_digest: str | None = None

    def __init__(
        self,
        pieces: Mapping[str, Sequence[Piece]],
        files: Sequence[Mapping[str, Any]],
        dataset: Dataset,
        facts: Mapping[str, Any],
        adapter: AdapterInfo | None,
    ) -> None:
        self.adapter = adapter
        self._pieces = pieces
        self._dataset = dataset
        self._videos = {video.video_id: video for video in dataset.videos}
        self.video_ids: Sequence[str] = tuple(pieces)
        self.run: Mapping[str, Any] = {
            "layout": "official results.json",
            **facts,
            "limit": None,
            "files": list(files),
        }

    def video(self, video_id: str) -> Mapping[str, StoredPrediction]:
        """The predictions of one video by expression id."""
        if video_id not in self._pieces:
            return {}
        video = self._videos[video_id]
        size = self._dataset.frame_size(video)
        problems = ProblemCollector()
        found: dict[str, StoredPrediction] = {}
        for piece in self._pieces[video_id]:
            for expression_id, value in _read_piece(piece).items():
                place = f"{piece.file}: video {video_id}, expression {expression_id}"
                reading = _Reading(video, size, place, problems)
                if (one := reading.prediction(expression_id, value)) is not None:
                    found[expression_id] = one
        problems.raise_if_any(PredictionError, f"predictions for video {video_id} cannot be used")
        return found


def open_official(path: Path, dataset: Dataset, facts: Mapping[str, Any] | None = None) -> OfficialReader:
    """Official predictions: one file, or a folder with `results.json` or `results_pid_*.json`.

    Args:
        facts: what is to be said of the run beside what the files tell.

    Raises:
        PredictionError: when nothing is there, a file is malformed, a query comes twice, or the videos
            are another dataset's.
    """
    files = _files(path)
    pieces: dict[str, list[Piece]] = {}
    seen: dict[tuple[str, str], Path] = {}
    problems = ProblemCollector()
    described = []
    knows_targets = False
    for file in files:
        try:
            with (
                reading_progress(file, "reading predictions") as progress,
                JsonStream(file, progress) as stream,
            ):
                for video_id, expression_ids, targets, piece in _scan(stream, file):
                    knows_targets = knows_targets or targets
                    pieces.setdefault(video_id, []).append(piece)
                    for expression_id in expression_ids:
                        earlier = seen.setdefault((video_id, expression_id), file)
                        if earlier is not file or expression_ids.count(expression_id) > 1:
                            problems.add(
                                "predicted twice",
                                where=f"video {video_id}, expression {expression_id}",
                                found=f"in {earlier.name} and {file.name}",
                            )
                described.append(
                    {"name": file.name, "bytes": file.stat().st_size, "sha256": stream.sha256.hexdigest()}
                )
        except DatasetError as error:
            raise PredictionError(error.problems[0]) from error
    problems.raise_if_any(PredictionError, f"{path}: every query must be there once")
    if not seen:
        raise PredictionError(
            "holds no prediction",
            where=str(path),
            expected="answers by video and expression",
            found="no expression of any video",
            fix="run the inference again, or name the file that it wrote",
        )
    refuse_unknown_videos(pieces, dataset, "other videos", path)
    # A list `prediction_masks` alone is Sa2VA's: a model that was never asked for targets.
    actors_alone = AdapterInfo("precomputed", "1", (Role.ACTOR,))
    adapter = None if knows_targets or not pieces else actors_alone
    return OfficialReader(pieces, described, dataset, facts or {}, adapter)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    parts = sorted(path.glob(PARTS)) if path.is_dir() else []
    merged = path / MERGED_NAME
    if merged.is_file() and parts:
        raise PredictionError(
            "both merged and unmerged predictions are here",
            where=str(path),
            found=f"{MERGED_NAME} and {len(parts)} {PARTS}",
            fix=f"name {merged} itself, or move it away if it is from an earlier run",
        )
    if merged.is_file():
        return [merged]
    if not parts:
        raise PredictionError(
            "no predictions here",
            where=str(path),
            expected=f"a folder written by benchmark.evaluate, a {MERGED_NAME}, or a folder of {PARTS}",
            found="nothing of the kind" if path.exists() else "no such file or folder",
        )
    return parts


def _scan(stream: JsonStream, file: Path) -> Iterator[tuple[str, list[str], bool, Piece]]:
    """Video, its expressions, whether any has masks of targets, and where they lie."""
    for video_id in stream.members():
        if not stream.opens_object:
            raise PredictionError(
                "not predictions in the official form",
                where=f"{file}: video {video_id}",
                expected="an object of expressions",
                found=json_kind(stream.value()),
            )
        start = stream.offset()
        expression_ids = []
        targets = False
        for expression_id in stream.members():
            value = stream.value()
            keys = [pair[0] for pair in value] if isinstance(value, tuple) else []
            targets = targets or TARGET_KEY in keys
            expression_ids.append(expression_id)
        yield video_id, expression_ids, targets, Piece(file, start, stream.offset())
    stream.finish()


def _read_piece(piece: Piece) -> Mapping[str, Any]:
    with open(piece.file, "rb") as file:
        file.seek(piece.start)
        value: Mapping[str, Any] = json.loads(file.read(piece.end - piece.start))
    return value


@dataclass(frozen=True, slots=True)
class _Reading:
    """One expression being read; `place` is for messages."""

    video: Video
    size: tuple[int, int]
    place: str
    problems: ProblemCollector

    def prediction(self, expression_id: str, value: Any) -> StoredPrediction | None:
        """The prediction, or `None` after reporting what is wrong with it."""
        asked = {one.expression_id: one for one in self.video.expressions}.get(expression_id)
        if asked is None:
            self._report("the dataset has no such expression")
            return None
        if not isinstance(value, dict) or not (ACTOR_KEY in value or SINGLE_KEY in value):
            self._report(
                "no masks", expected=f"an object with {ACTOR_KEY} and {TARGET_KEY}", found=json_kind(value)
            )
            return None
        text, prompt = value.get("text_prediction"), value.get("exp")
        if not self._is_about(asked, prompt):
            return None
        order = self._frame_order(value.get("frames"))
        actor = self._track(value.get(ACTOR_KEY, value.get(SINGLE_KEY)), ACTOR_KEY, order)
        target = self._track(value[TARGET_KEY], TARGET_KEY, order) if TARGET_KEY in value else None
        if actor is None or (target is None and TARGET_KEY in value):
            return None
        has_actor = not actor.is_empty or _says(text, ACTOR_TOKENS)
        has_target = target is not None and (not target.is_empty or _says(text, TARGET_TOKENS))
        return StoredPrediction(
            video_id=self.video.video_id,
            expression_id=expression_id,
            expression=asked.text,
            status=Status.OK if has_actor or has_target else Status.NO_MASK,
            actor=actor if has_actor else None,
            target=target if has_target else None,
            text=text if isinstance(text, str) else None,
            prompt=prompt if isinstance(prompt, str) else None,
        )

    def _is_about(self, asked: Expression, prompt: Any) -> bool:
        """Whether the prompt holds the sentence as that script rewrites it: lower case, no full stops."""
        if not isinstance(prompt, str) or _plain(asked.text) in _plain(prompt):
            return True
        self._report("answer to another sentence", expected=repr(asked.text), found=repr(prompt))
        return False

    def _frame_order(self, frames: Any) -> list[int] | None:
        """For each frame of the video its place in the file's lists; `None` when that cannot be told."""
        names = list(self.video.frame_names)
        if frames is None or frames == names:
            return list(range(len(names)))
        if isinstance(frames, list) and sorted(map(str, frames)) == sorted(names):
            places = {name: place for place, name in enumerate(frames)}
            return [places[name] for name in names]
        found = f"{len(frames)} frames" if isinstance(frames, list) else json_kind(frames)
        self._report("other frames than the dataset's", expected=f"{len(names)} frames", found=found)
        return None

    def _track(self, masks: Any, key: str, order: list[int] | None) -> MaskTrack | None:
        if order is None:
            return None
        if isinstance(masks, list) and None in masks and any(mask is not None for mask in masks):
            self._report(
                "the mask is null",
                f"{key}, mask {masks.index(None)}",
                expected="a run-length mask",
                fix="write a frame without pixels as the run-length text of one",
            )
            return None
        if masks is None or (isinstance(masks, list) and masks and all(mask is None for mask in masks)):
            self._report(
                "the masks are null",
                key,
                expected="run-length masks",
                fix="run the official inference without --submit: with it only PNG files of actors are kept",
            )
            return None
        if not isinstance(masks, list) or len(masks) != len(order):
            found = f"{len(masks)} masks" if isinstance(masks, list) else json_kind(masks)
            self._report("one mask per frame is needed", key, expected=f"{len(order)} masks", found=found)
            return None
        texts = [self._text(masks[place], f"{key}, mask {place}") for place in order]
        if any(text is None for text in texts):
            return None
        tidy = canonical_texts(texts, *self.size)
        for index, error in tidy.errors.items():
            problem = error.problems[0]
            self._report(problem.what, f"{key}, mask {order[index]}", problem.expected, problem.found)
        return None if tidy.errors else MaskTrack(*self.size, tidy.texts)

    def _text(self, mask: Any, inside: str) -> bytes | None:
        size, counts = (mask.get("size"), mask.get("counts")) if isinstance(mask, dict) else (None, None)
        if size != list(self.size):
            self._report("wrong mask size", inside, expected=str(list(self.size)), found=str(size))
            return None
        if not isinstance(counts, str) or not counts.isascii():
            self._report("not a run-length mask", inside, "compressed COCO counts", json_kind(counts))
            return None
        return counts.encode("ascii")

    def _report(
        self, what: str, inside: str = "", expected: str = "", found: str = "", fix: str = ""
    ) -> None:
        where = f"{self.place}, {inside}" if inside else self.place
        self.problems.add(what, where=where, expected=expected, found=found, fix=fix)


def _says(text: Any, tokens: Sequence[str]) -> bool:
    """Whether the answer holds one of the tokens; an answer without text is given the benefit of doubt."""
    return not isinstance(text, str) or any(token in text for token in tokens)


def _plain(text: str) -> str:
    return " ".join(text.lower().replace(".", "").split())
