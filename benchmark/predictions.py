"""Reading stored predictions: our own folders, and the forms in which others write theirs.

Whatever the container, a reader hands out one video at a time, checked against the dataset that it is
to be scored on, so memory does not grow with the number of videos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, final

from benchmark.datasets import Dataset
from benchmark.errors import PredictionError, ProblemCollector
from benchmark.json_records import to_json
from benchmark.prediction_files import MANIFEST_FILE, RUN_FILE, VIDEOS_FOLDER, read_record, read_video_file
from benchmark.prediction_folder import FOLDER_NAME
from benchmark.prediction_records import Manifest, ManifestVideo, StoredPrediction
from benchmark.types import AdapterInfo, Video

__all__ = ["FolderReader", "PredictionReader", "StoredPrediction", "open_predictions"]

SHOWN_UNKNOWN = 5


class PredictionReader(Protocol):
    """Stored predictions of one model on one dataset.

    Attributes:
        adapter: facts about the model, where the container knows them.
        dataset_name: name of the dataset they were made on, where known.
        dataset_digest: its digest at that time, where known.
        run: facts about the run as JSON: `layout` (what kind of container), `limit` (how many expressions
            the run was limited to, or `None`), and what else the container tells.
        video_ids: videos that have predictions.
    """

    @property
    def adapter(self) -> AdapterInfo | None: ...
    @property
    def dataset_name(self) -> str | None: ...
    @property
    def dataset_digest(self) -> str | None: ...
    @property
    def run(self) -> Mapping[str, Any]: ...
    @property
    def video_ids(self) -> Sequence[str]: ...

    def video(self, video_id: str) -> Mapping[str, StoredPrediction]:
        """The predictions of one video by expression id; nothing for a video that has none.

        Raises:
            PredictionError: when they are damaged or do not fit the dataset.
        """
        ...


@final
class FolderReader:
    """A finished prediction folder of this project."""

    def __init__(self, folder: Path, manifest: Manifest, dataset: Dataset) -> None:
        self._folder = folder
        self._listed: dict[str, ManifestVideo] = {one.video_id: one for one in manifest.videos}
        self._videos = {video.video_id: video for video in dataset.videos}
        refuse_unknown_videos(self._listed, dataset, f"{manifest.dataset} {manifest.split}", folder)
        self.adapter: AdapterInfo | None = manifest.adapter
        self.dataset_name: str | None = manifest.dataset
        self.dataset_digest: str | None = manifest.dataset_digest
        self.video_ids: Sequence[str] = tuple(self._listed)
        self.run: Mapping[str, Any] = {
            "layout": "prediction folder",
            "split": manifest.split,
            "seed": manifest.seed,
            "limit": manifest.limit,
            "settings": list(manifest.settings),
            "totals": to_json(manifest.totals),
            "sessions": list(manifest.sessions),
        }

    def video(self, video_id: str) -> Mapping[str, StoredPrediction]:
        """The predictions of one video by expression id."""
        listed = self._listed.get(video_id)
        if listed is None:
            return {}
        path = self._folder / listed.file
        content, digest = read_video_file(path)
        if digest != listed.sha256:
            raise PredictionError(
                "stored predictions changed after the run was finished",
                where=str(path),
                expected=f"digest {listed.sha256}",
                found=f"digest {digest}",
                fix="run the same evaluation again",
            )
        stored = {one.expression_id: one for one in content.predictions}
        wanted = {name: stored[name] for name in listed.expressions if name in stored}
        check_fit(wanted, self._videos[video_id], content.head.frames, str(path))
        return wanted


def open_predictions(path: Path, dataset: Dataset) -> PredictionReader:
    """Stored predictions at `path`, to be scored on `dataset`.

    Args:
        path: a prediction folder (or the output folder around it), or what others wrote: the official
            `results.json`, trees of PNG files, COCO lists (see `benchmark.prediction_layouts`).

    Raises:
        PredictionError: when there is nothing readable, the run is not finished, or the predictions
            belong to other videos.
    """
    for folder in (path, path / FOLDER_NAME):
        if (folder / RUN_FILE).is_file():
            return _open_folder(folder, dataset)
    from benchmark.prediction_layouts import open_foreign

    return open_foreign(path, dataset)


def _open_folder(folder: Path, dataset: Dataset) -> FolderReader:
    if not (folder / MANIFEST_FILE).is_file():
        finished = len(list((folder / VIDEOS_FOLDER).glob("*.jsonl")))
        raise PredictionError(
            "the predictions are not complete",
            where=str(folder),
            expected=MANIFEST_FILE,
            found=f"answers to {finished} videos and no manifest",
            fix="run the same `python -m benchmark.evaluate` again: it goes on where it stopped",
        )
    return FolderReader(folder, read_record(Manifest, folder / MANIFEST_FILE), dataset)


def refuse_unknown_videos(
    predicted: Mapping[str, object], dataset: Dataset, made_on: str, where: Path
) -> None:
    """Check that every predicted video is one of the dataset's.

    Raises:
        PredictionError: naming the first few that are not.
    """
    known = {video.video_id for video in dataset.videos}
    foreign = [video_id for video_id in predicted if video_id not in known]
    if foreign:
        more = f" and {len(foreign) - SHOWN_UNKNOWN} more" if len(foreign) > SHOWN_UNKNOWN else ""
        raise PredictionError(
            "predictions of another dataset",
            where=str(where),
            expected=f"videos of {dataset.name} {dataset.split}",
            found=f"{made_on}, with {', '.join(foreign[:SHOWN_UNKNOWN])}{more}",
            fix="name the dataset and split they were made on with --dataset, --data-root and --split",
        )


def check_fit(predictions: Mapping[str, StoredPrediction], video: Video, frames: int, where: str) -> None:
    """Check that predictions answer the sentences of a video, on as many frames as it has.

    Raises:
        PredictionError: with every misfit.
    """
    problems = ProblemCollector()
    if frames != len(video.frame_names):
        problems.add(
            "predictions for another number of frames",
            where=where,
            expected=f"{len(video.frame_names)} frames",
            found=f"{frames} frames",
            fix="evaluate again: only changed videos are asked",
        )
    sentences = {one.expression_id: one.text for one in video.expressions}
    for name, one in predictions.items():
        place = f"{where}: expression {name}"
        if name not in sentences:
            problems.add("the dataset has no such expression", where=place)
        elif one.expression != sentences[name]:
            problems.add(
                "answer to another sentence",
                where=place,
                expected=repr(sentences[name]),
                found=repr(one.expression),
                fix="evaluate again: only changed sentences are asked",
            )
    problems.raise_if_any(PredictionError, f"video {video.video_id} does not fit its predictions")
