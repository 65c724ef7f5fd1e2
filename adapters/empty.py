"""Nothing anywhere: what frames without the object give away for free."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.adapter import Adapter
from benchmark.masks import empty_track
from benchmark.types import AdapterInfo, Prediction, Query


class Empty(Adapter):
    """Claims both roles and marks no pixel.

    Its score is known beforehand: the share of frames whose truth is empty too.
    """

    summary = "no pixel for either role: scores the share of frames without the object"
    uses_device = False

    def info(self) -> AdapterInfo:
        return AdapterInfo(name="empty", version="1", parameters=0)

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        frames = self._frames
        track = empty_track(len(frames), frames.height, frames.width)
        return [Prediction(actor=track, target=track) for _ in queries]
