"""Parts of a dataset: the expressions a run is about, and the videos of one shard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import final

from benchmark.datasets import Dataset
from benchmark.errors import UsageError
from benchmark.frames import FrameSequence
from benchmark.types import Expression, MaskTrack, Video


@final
class SelectedExpressions:
    """A dataset narrowed to some of its expressions; everything else is the whole dataset's.

    Attributes:
        whole: the dataset that was narrowed; name, split and digest are its own.
    """

    def __init__(self, whole: Dataset, videos: Sequence[Video]) -> None:
        self.whole = whole
        self.name = whole.name
        self.split = whole.split
        self.digest = whole.digest
        self.videos: Sequence[Video] = tuple(videos)

    def frame_size(self, video: Video) -> tuple[int, int]:
        """(height, width) of the truth of a video."""
        return self.whole.frame_size(video)

    def frames(self, video: Video) -> FrameSequence:
        """The pixels of a video."""
        return self.whole.frames(video)

    def frames_fingerprint(self, video: Video) -> str:
        """Changes when the frame files of a video are replaced."""
        return self.whole.frames_fingerprint(video)

    def truth(self, video: Video, annotation_ids: Sequence[str]) -> MaskTrack:
        """Union of the annotated tracks over all frames."""
        return self.whole.truth(video, annotation_ids)


def select_expressions(
    dataset: Dataset, keep: Callable[[Expression], bool], limit: int | None = None
) -> SelectedExpressions:
    """The expressions that `keep` accepts, of those the first `limit` in the order of the dataset.

    Raises:
        UsageError: when the limit is not positive.
    """
    if limit is not None and limit < 1:
        raise UsageError("nothing to evaluate", where=f"--limit {limit}", expected="1 or more expressions")
    return SelectedExpressions(dataset, tuple(_narrowed(dataset.videos, keep, limit)))


def _narrowed(
    videos: Sequence[Video], keep: Callable[[Expression], bool], limit: int | None
) -> Iterator[Video]:
    left = limit
    for video in videos:
        kept = tuple(expression for expression in video.expressions if keep(expression))[:left]
        if left is not None:
            left -= len(kept)
        if kept:
            yield replace(video, expressions=kept)
        if left == 0:
            return


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` parts of the work; `number` runs from 1 to `count`.

    Video i of the selection (counted from 0) belongs to shard `i % count + 1`: parts differ by one
    video at most, and every process finds the same parts without talking to the others.
    """

    number: int
    count: int

    def videos(self, videos: Sequence[Video]) -> Sequence[Video]:
        """The videos of this part, in their order."""
        return videos[self.number - 1 :: self.count]


WHOLE = Shard(1, 1)


def parse_shard(text: str) -> Shard:
    """`"I/N"` as a shard.

    Raises:
        UsageError: when it is not two whole numbers with 1 <= I <= N.
    """
    number, slash, count = text.partition("/")
    if slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
        return Shard(int(number), int(count))
    raise UsageError(
        "not a shard",
        where=f"--shard {text}",
        expected="I/N with I from 1 to N",
        fix="for example --shard 1/4",
    )
