"""A box in the middle: what the habits of camera people give away."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.adapter import Adapter
from benchmark.errors import UsageError
from benchmark.masks import encode
from benchmark.types import AdapterInfo, MaskTrack, Prediction, Query


class CentreBox(Adapter):
    """Claims one centred box, the same in every frame, for both roles.

    Args:
        side: the box's height and width as a fraction of the frame's, above 0 and up to 1.
    """

    summary = "a centred box for both roles, half as high and half as wide as the frame"
    uses_device = False

    def __init__(self, side: float = 0.5) -> None:
        if not 0 < side <= 1:
            raise UsageError(
                "impossible box", where="--option side", expected="above 0 and up to 1", found=str(side)
            )
        self._side = side

    def info(self) -> AdapterInfo:
        return AdapterInfo(name="centre_box", version="1", parameters=0, options={"side": self._side})

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        frames = self._frames
        box = np.zeros((frames.height, frames.width), dtype=bool)
        rows = max(1, round(frames.height * self._side))
        columns = max(1, round(frames.width * self._side))
        top, left = (frames.height - rows) // 2, (frames.width - columns) // 2
        box[top : top + rows, left : left + columns] = True
        track = MaskTrack(frames.height, frames.width, (encode(box),) * len(frames))
        return [Prediction(actor=track, target=track) for _ in queries]
