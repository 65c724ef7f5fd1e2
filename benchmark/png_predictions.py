"""Reading predictions that others wrote as PNG files: binary trees and indexed maps per annotator.

A mask that cannot be used (missing file, another size, several objects in one mask) is the failure of its
own query: it is recorded with the reason, scores 0, and the rest is read. An expression without any
folder has no prediction.

Sources of the two forms: the submission format of Ref-YouTube-VOS and MeViS
(`[Annotations/]video/expression/frame.png`), and the Ref-DAVIS17 form of ReferFormer and VideoLISA
(`anno_K/video/INDEX.png`, value = object number, expression number = object * annotators + K;
showlab/VideoLISA, evaluation/refdavis/post_process_davis.py, commit d4c87cc).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import numpy as np

from benchmark.datasets import Dataset
from benchmark.errors import MaskError, PredictionError
from benchmark.mask_batches import texts_from_runs
from benchmark.masks import runs_from_mask
from benchmark.png_masks import IndexMap, read_index_map
from benchmark.prediction_records import StoredPrediction
from benchmark.run_lengths import Runs, text_from_runs
from benchmark.types import AdapterInfo, Expression, MaskTrack, Role, Status, Video

MissingFrames = Literal["error", "empty"]
"""What a frame without a mask means: a damaged prediction, or a mask without pixels."""

# Decoding PNG data releases the interpreter lock; beyond a few threads the disk is the limit.
THREADS = min(4, os.cpu_count() or 1)
AT_ONCE = 16
"""Frames that a thread reads before it is given more: handing them over one by one costs a tenth."""
SHOWN_VALUES = 4


@dataclass(frozen=True, slots=True)
class TreeShape:
    """Where the masks of one role of one expression lie below the root.

    Attributes:
        root: the folder that holds the videos (or, with `roles_outside`, the folders of the roles).
        roles: the roles that have folders of their own; nothing for a tree of actors alone.
        roles_outside: `ROLE/video/expression/frame.png` instead of `video/expression/ROLE/frame.png`.
    """

    root: Path
    roles: tuple[Role, ...] = ()
    roles_outside: bool = False

    def folder(self, video_id: str, expression_id: str, role: Role) -> Path | None:
        """The folder of one track; `None` when this form cannot hold it."""
        if not self.roles:
            return self.root / video_id / expression_id if role is Role.ACTOR else None
        if role not in self.roles:
            return None
        if self.roles_outside:
            return self.root / role / video_id / expression_id
        return self.root / video_id / expression_id / role


@final
class TreeReader:
    """A tree of binary PNG files; any value but 0 is foreground."""

    dataset_name: str | None = None
    dataset_digest: str | None = None

    def __init__(
        self,
        shape: TreeShape,
        dataset: Dataset,
        facts: Mapping[str, Any],
        missing_frames: MissingFrames = "error",
    ) -> None:
        roots = [shape.root / role for role in shape.roles] if shape.roles_outside else [shape.root]
        self._shape = shape
        self._dataset = dataset
        self._missing_frames = missing_frames
        self._videos = {
            video.video_id: video
            for video in dataset.videos
            if any((root / video.video_id).is_dir() for root in roots)
        }
        self.video_ids: Sequence[str] = tuple(self._videos)
        self.adapter: AdapterInfo | None = AdapterInfo("precomputed", "1", shape.roles or (Role.ACTOR,))
        self.run: Mapping[str, Any] = {**facts, "limit": None}

    def video(self, video_id: str) -> Mapping[str, StoredPrediction]:
        """The predictions of one video by expression id."""
        video = self._videos.get(video_id)
        if video is None:
            return {}
        height, width = self._dataset.frame_size(video)
        with ThreadPoolExecutor(THREADS) as threads:
            reading = _TrackReading(video, height, width, self._missing_frames, threads)
            found = [self._prediction(reading, one) for one in video.expressions]
        return {one.expression_id: one for one in found if one is not None}

    def _prediction(self, reading: _TrackReading, asked: Expression) -> StoredPrediction | None:
        video_id = reading.video.video_id
        tracks: dict[Role, MaskTrack] = {}
        notes = []
        for role in Role:
            folder = self._shape.folder(video_id, asked.expression_id, role)
            if folder is None or not folder.is_dir():
                continue
            try:
                tracks[role], unused = reading.track(folder)
            except MaskError as error:
                return _failed(video_id, asked, str(error))
            if unused:
                notes.append(f"{unused} PNG files in {folder} belong to no frame of the dataset")
        if not tracks and not self._claims_nothing(video_id, asked):
            return None
        return StoredPrediction(
            video_id=video_id,
            expression_id=asked.expression_id,
            expression=asked.text,
            status=Status.OK if tracks else Status.NO_MASK,
            actor=tracks.get(Role.ACTOR),
            target=tracks.get(Role.TARGET),
            message="; ".join(notes) or None,
        )

    def _claims_nothing(self, video_id: str, asked: Expression) -> bool:
        """Whether the expression was answered, with a track for no role."""
        inside = bool(self._shape.roles) and not self._shape.roles_outside
        return inside and (self._shape.root / video_id / asked.expression_id).is_dir()


@final
class IndexedReader:
    """Indexed PNG maps, one folder per annotator; expressions are numbered object by object."""

    dataset_name: str | None = None
    dataset_digest: str | None = None

    def __init__(self, root: Path, annotators: int, dataset: Dataset, facts: Mapping[str, Any]) -> None:
        self._root = root
        self._annotators = annotators
        self._dataset = dataset
        self._videos = {
            video.video_id: video
            for video in dataset.videos
            if any((root / f"anno_{one}" / video.video_id).is_dir() for one in range(annotators))
        }
        for video in self._videos.values():
            self._refuse_other_numbering(video)
        self.video_ids: Sequence[str] = tuple(self._videos)
        self.adapter: AdapterInfo | None = AdapterInfo("precomputed", "1", (Role.ACTOR,))
        self.run: Mapping[str, Any] = {**facts, "limit": None}

    def video(self, video_id: str) -> Mapping[str, StoredPrediction]:
        """The predictions of one video by expression id."""
        video = self._videos.get(video_id)
        if video is None:
            return {}
        size = self._dataset.frame_size(video)
        found: dict[str, StoredPrediction] = {}
        for annotator in range(self._annotators):
            folder = self._root / f"anno_{annotator}" / video_id
            asked = [one for one in video.expressions if self._annotator_of(one) == annotator]
            if not folder.is_dir():
                continue
            try:
                tracks = self._tracks(folder, video, size)
            except MaskError as error:
                found |= {one.expression_id: _failed(video_id, one, str(error)) for one in asked}
                continue
            for one in asked:
                track = tracks.get(self._object_of(one), MaskTrack(*size, (None,) * len(video.frame_names)))
                found[one.expression_id] = StoredPrediction(
                    video_id, one.expression_id, one.text, Status.OK, actor=track
                )
        return found

    def _tracks(self, folder: Path, video: Video, size: tuple[int, int]) -> dict[int, MaskTrack]:
        """Tracks by object number from 1, of the objects that have pixels."""
        texts: dict[int, list[bytes | None]] = {}
        paths = self._paths(folder, video)
        for place, path in enumerate(paths):
            pixels = read_index_map(path, size=size)
            for value in np.unique(pixels).tolist():
                if value:
                    column = texts.setdefault(value, [None] * len(paths))
                    column[place] = text_from_runs(runs_from_mask(pixels == value))
        objects = len(video.expressions) // self._annotators
        if foreign := sorted(value for value in texts if value > objects):
            raise MaskError(
                "the maps hold objects that no expression is about",
                where=str(folder),
                expected=f"values 0 to {objects}",
                found=str(foreign[:SHOWN_VALUES]),
            )
        return {value: MaskTrack(*size, tuple(column)) for value, column in texts.items()}

    def _paths(self, folder: Path, video: Video) -> list[Path]:
        """Files by frame name, or, where no name fits, by position (`00000.png` is the first frame)."""
        by_name = [folder / f"{name}.png" for name in video.frame_names]
        by_position = [folder / f"{place:05d}.png" for place in range(len(by_name))]
        present = sorted(path for path in folder.iterdir() if path.suffix == ".png")
        for paths in (by_name, by_position):
            if present == sorted(paths):
                return paths
        raise MaskError(
            "the maps are not one per frame",
            where=str(folder),
            expected=f"{by_name[0].name} to {by_name[-1].name}, {len(by_name)} files",
            found=f"{len(present)} files" + (f" from {present[0].name}" if present else ""),
        )

    def _annotator_of(self, one: Expression) -> int:
        return int(one.expression_id) % self._annotators

    def _object_of(self, one: Expression) -> int:
        return int(one.expression_id) // self._annotators + 1

    def _refuse_other_numbering(self, video: Video) -> None:
        names = sorted(one.expression_id for one in video.expressions)
        count = len(names)
        if names != sorted(map(str, range(count))) or count % self._annotators:
            raise PredictionError(
                "indexed maps per annotator do not fit this dataset",
                where=f"{self._root}: video {video.video_id}",
                expected=f"expressions numbered from 0, {self._annotators} for each object",
                found=f"{count} expressions: {', '.join(names[:SHOWN_VALUES])}",
                fix="name the dataset they were made on; this form is Ref-DAVIS17's",
            )


@dataclass(frozen=True, slots=True)
class _TrackReading:
    """What is the same for all tracks of one video."""

    video: Video
    height: int
    width: int
    missing_frames: MissingFrames
    threads: ThreadPoolExecutor

    def track(self, folder: Path) -> tuple[MaskTrack, int]:
        """The track in a folder, and how many PNG files in it belong to no frame."""
        wanted = [f"{name}.png" for name in self.video.frame_names]
        present = {entry.name for entry in os.scandir(folder) if entry.name.endswith(".png")}
        missing = [name for name in wanted if name not in present]
        if missing and (self.missing_frames == "error" or len(missing) == len(wanted)):
            example = sorted(present)[0] if present else "no PNG file"
            raise MaskError(
                f"{len(missing)} of {len(wanted)} frames have no mask",
                where=str(folder),
                expected=missing[0],
                found=f"{len(present)} PNG files, such as {example}" if present else example,
            )
        paths = [folder / name if name in present else None for name in wanted]
        parts = [paths[first : first + AT_ONCE] for first in range(0, len(paths), AT_ONCE)]
        texts = itertools.chain.from_iterable(self.threads.map(self._texts, parts))
        return MaskTrack(self.height, self.width, tuple(texts)), len(present - set(wanted))

    def _texts(self, paths: Sequence[Path | None]) -> tuple[bytes | None, ...]:
        """The texts of a few frames; a frame without a file has no pixel."""
        memory: IndexMap = np.empty((self.height, self.width), np.uint8)
        nothing = np.array([self.height * self.width], np.int64)
        return texts_from_runs([nothing if path is None else self._runs(path, memory) for path in paths])

    def _runs(self, path: Path, memory: IndexMap) -> Runs:
        pixels = read_index_map(path, memory, (self.height, self.width))
        high = pixels.max()
        mask = pixels != 0
        if high and not np.array_equal(mask, pixels == high):
            values = np.unique(pixels)[1:]
            raise MaskError(
                "a binary mask holds several values",
                where=str(path),
                expected="0 and one other value",
                found=f"{', '.join(map(str, values[:SHOWN_VALUES].tolist()))}"
                + (", ..." if len(values) > SHOWN_VALUES else ""),
                fix="write one mask per expression, decided (not probabilities, not a map of objects)",
            )
        return runs_from_mask(mask)


def _failed(video_id: str, asked: Expression, message: str) -> StoredPrediction:
    return StoredPrediction(
        video_id, asked.expression_id, asked.text, Status.ERROR, message=message.removesuffix(".")
    )
