"""What a dataset expects of a submission: videos, expressions, frame names, sizes. Nothing of the truth.

This is all that the process which decodes a submission is told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from benchmark.datasets import Dataset
from submissions.limits import Limits, limits_for


@dataclass(frozen=True, slots=True)
class ExpectedVideo:
    """One video: its size, its frames in order, and its sentences by expression id."""

    video_id: str
    height: int
    width: int
    frame_names: tuple[str, ...]
    sentences: Mapping[str, str]

    @property
    def masks(self) -> int:
        """Number of masks of all its answers: frames of all expressions, both roles."""
        return 2 * len(self.frame_names) * len(self.sentences)


@dataclass(frozen=True)
class Expected:
    """All videos of a split, in the order of the dataset."""

    dataset: str
    split: str
    videos: tuple[ExpectedVideo, ...]

    @cached_property
    def by_id(self) -> dict[str, ExpectedVideo]:
        """The videos by their id."""
        return {video.video_id: video for video in self.videos}

    @cached_property
    def masks(self) -> int:
        """Number of masks of a whole submission."""
        return sum(video.masks for video in self.videos)

    def limits(self) -> Limits:
        """How much a submission on this dataset may ask of us."""
        most = max((video.masks for video in self.videos), default=0)
        pixels = max((video.height * video.width for video in self.videos), default=1)
        folders = sum(1 + 3 * len(video.sentences) for video in self.videos)  # expression, actor, target
        return limits_for(self.masks, folders, most, pixels)

    def to_bytes(self) -> bytes:
        """The text that tells the decoder process."""
        videos = [
            [one.video_id, one.height, one.width, one.frame_names, dict(one.sentences)] for one in self.videos
        ]
        return json.dumps([self.dataset, self.split, videos]).encode()

    @staticmethod
    def from_bytes(text: bytes) -> Expected:
        """What `to_bytes` wrote."""
        dataset, split, videos = json.loads(text)
        return Expected(
            dataset,
            split,
            tuple(
                ExpectedVideo(video_id, height, width, tuple(frames), sentences)
                for video_id, height, width, frames, sentences in videos
            ),
        )


def expected_of(dataset: Dataset) -> Expected:
    """What a dataset expects."""
    videos: Sequence[ExpectedVideo] = [
        ExpectedVideo(
            video.video_id,
            *dataset.frame_size(video),
            video.frame_names,
            {one.expression_id: one.text for one in video.expressions},
        )
        for video in dataset.videos
    ]
    return Expected(dataset.name, dataset.split, tuple(videos))
