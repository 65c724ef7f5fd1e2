"""Adding the answers of one video to what is stored of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.prediction_files import FORMAT, VERSION, read_video_file, write_video_file
from benchmark.prediction_records import QueryHead, StoredPrediction, VideoHead, VideoPredictions
from benchmark.types import Expression, Video


@dataclass(frozen=True, slots=True)
class VideoPlan:
    """What is to be done about one video.

    Attributes:
        keys: expression id -> key that an answer must have to count.
        missing: expressions without such an answer, or with a failed one that is to be tried again.
    """

    video: Video
    height: int
    width: int
    keys: Mapping[str, str]
    missing: tuple[Expression, ...]


class VideoWriter:
    """Adds answers to the file of one video; the file is whole after every call."""

    def __init__(self, path: Path, plan: VideoPlan) -> None:
        self._path = path
        self._plan = plan
        self._kept: dict[str, tuple[QueryHead, StoredPrediction]] = {}
        self._seconds = 0.0
        self._gpu_seconds: float | None = None
        if path.exists():
            self._take_over(read_video_file(path)[0])

    def spent(self, seconds: float, gpu_seconds: float | None = None) -> None:
        """Count wall time, and GPU-seconds if there are any, spent on the video outside of queries."""
        self._seconds += seconds
        if gpu_seconds is not None:
            self._gpu_seconds = (self._gpu_seconds or 0.0) + gpu_seconds

    def add(self, answers: Sequence[StoredPrediction], asked_alone: bool = False) -> None:
        """Store answers, in the order of the dataset.

        Args:
            asked_alone: whether they were asked one by one after a failure of several together.

        Raises:
            OutputError: when the place cannot be written to; what was stored before is untouched.
        """
        for one in answers:
            key = self._plan.keys[one.expression_id]
            head = QueryHead(
                one.expression_id, key, one.status, one.seconds, one.peak_memory_bytes, asked_alone
            )
            self._kept[one.expression_id] = (head, one)
        # Answers outside a narrower selection than an earlier run's stay, after the others.
        wanted = [one.expression_id for one in self._plan.video.expressions]
        order = [name for name in wanted if name in self._kept]
        order += [name for name in self._kept if name not in self._plan.keys]
        pairs = [self._kept[name] for name in order]
        write_video_file(
            self._path.parent,
            VideoPredictions(self._head([head for head, _ in pairs]), tuple(one for _, one in pairs)),
        )

    def _take_over(self, stored: VideoPredictions) -> None:
        plan, head = self._plan, stored.head
        if (head.frames, head.height, head.width) != (len(plan.video.frame_names), plan.height, plan.width):
            return  # other frames: no answer in there can be valid
        self._seconds, self._gpu_seconds = head.seconds, head.gpu_seconds
        for query, one in zip(head.queries, stored.predictions, strict=True):
            if plan.keys.get(one.expression_id, query.key) == query.key:
                self._kept[one.expression_id] = (query, one)

    def _head(self, queries: Sequence[QueryHead]) -> VideoHead:
        video = self._plan.video
        return VideoHead(
            format=FORMAT,
            version=VERSION,
            video_id=video.video_id,
            frames=len(video.frame_names),
            height=self._plan.height,
            width=self._plan.width,
            seconds=self._seconds,
            queries=tuple(queries),
            gpu_seconds=self._gpu_seconds,
        )
