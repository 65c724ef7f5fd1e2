"""The separate channel through which sanity rows get what no model may see."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.adapter import TruthForSanityRow
from benchmark.datasets import Dataset
from benchmark.types import Expression, Video


class TruthChannel:
    """Truth tracks of the queries of a dataset, and sentences asked of other videos."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._sentences: dict[str, Sequence[str]] = {}
        self._sentences_of = ""

    def of(self, video: Video, asked: Sequence[Expression]) -> list[TruthForSanityRow]:
        """One row per expression of a video."""
        return [self._row(video, one) for one in asked]

    def _row(self, video: Video, one: Expression) -> TruthForSanityRow:
        target = self._dataset.truth(video, one.target_ids) if one.is_interaction else None
        return TruthForSanityRow(
            actor=self._dataset.truth(video, one.actor_ids),
            target=target,
            other_expressions=self._others(video, one.caption_type),
        )

    def _others(self, video: Video, caption_type: str) -> Sequence[str]:
        """Sentences of other videos, of one caption type where there are any; never one of this video."""
        if self._sentences_of != video.video_id:
            self._sentences_of, self._sentences = video.video_id, {}
        if caption_type not in self._sentences:
            own = {one.text for one in self._whole(video).expressions}
            others = [
                one
                for other in self._dataset.videos
                if other.video_id != video.video_id
                for one in other.expressions
                if one.text not in own
            ]
            alike = [one.text for one in others if one.caption_type == caption_type]
            self._sentences[caption_type] = tuple(alike or [one.text for one in others])
        return self._sentences[caption_type]

    def _whole(self, video: Video) -> Video:
        """The video with all of its expressions: a selection may have left some out."""
        return next((one for one in self._dataset.videos if one.video_id == video.video_id), video)
