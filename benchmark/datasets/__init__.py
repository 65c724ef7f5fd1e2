"""Datasets by name: an explicit table of readers, and what every reader offers.

A reader turns files on disk into `Video`s and hands out truth tracks and frames on demand; it never
holds all masks in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from benchmark.frames import FrameSequence
from benchmark.types import MaskTrack, Video


class Dataset(Protocol):
    """What the referee needs of a dataset.

    Attributes:
        name: the name it is opened by.
        split: "train", "val", ...
        digest: SHA-256 over expressions and masks; two datasets with one digest give the same scores.
        videos: in the order of the file.
    """

    name: str
    split: str
    digest: str
    videos: Sequence[Video]

    def frame_size(self, video: Video) -> tuple[int, int]:
        """(height, width) of the truth of a video, without opening images where masks tell it."""
        ...

    def frames(self, video: Video) -> FrameSequence:
        """The pixels of a video."""
        ...

    def truth(self, video: Video, annotation_ids: Sequence[str]) -> MaskTrack:
        """Union of the annotated tracks over all frames; an empty id list gives an empty track."""
        ...
