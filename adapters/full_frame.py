"""Every pixel of every frame: what a scorer gives to not choosing at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.adapter import Adapter
from benchmark.masks import encode
from benchmark.types import AdapterInfo, MaskTrack, Prediction, Query


class FullFrame(Adapter):
    """Claims the whole frame for both roles."""

    summary = "every pixel for both roles"
    uses_device = False

    def info(self) -> AdapterInfo:
        return AdapterInfo(name="full_frame", version="1", parameters=0)

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        frames = self._frames
        text = encode(np.ones((frames.height, frames.width), dtype=bool))
        track = MaskTrack(frames.height, frames.width, (text,) * len(frames))
        return [Prediction(actor=track, target=track) for _ in queries]
