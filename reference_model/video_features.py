"""Image features of SAM2 for the frames of one video, each computed once and kept for a while.

Frames are read, resized and encoded a few at a time in the order in which a tracker asks for them, so a long
video needs no more memory than a short one. On a GPU the next few are read and resized meanwhile.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

Levels = list[Tensor]
"""Feature maps (n, C, h, w) of three resolutions, finest first."""


class VideoFeatures:
    """Gives the feature maps of single frames.

    Args:
        order: the frames in the order in which they will be asked for.
        pixels: gives normalised frames (n, 3, S, S) of n positions, on the device.
        encode: the image encoder.
        chunk: frames that are encoded at once.
        kept: frames whose features stay; at least `chunk`.
        ahead: read and resize the next frames in a thread of their own.
    """

    def __init__(
        self,
        order: Sequence[int],
        pixels: Callable[[Sequence[int]], Tensor],
        encode: Callable[[Tensor], Levels],
        chunk: int,
        kept: int,
        ahead: bool = False,
    ) -> None:
        self._order = list(order)
        self._place = {frame: place for place, frame in enumerate(self._order)}
        self._pixels, self._encode = pixels, encode
        self._chunk, self._kept = chunk, max(kept, chunk)
        self._features: OrderedDict[int, Levels] = OrderedDict()
        self._pool = ThreadPoolExecutor(1) if ahead else None
        self._next: tuple[list[int], Future[Tensor]] | None = None

    def __call__(self, frames: Sequence[int]) -> Levels:
        """Feature maps (1, 1, C, h, w) of one frame."""
        (frame,) = frames
        if frame not in self._features:
            wanted = self._missing_from(self._place[frame])
            levels = self._encode(self._pixels_of(wanted))
            while self._features and len(self._features) + len(wanted) > self._kept:
                self._features.popitem(last=False)
            for slot, one in enumerate(wanted):
                self._features[one] = [level[None, slot : slot + 1] for level in levels]
            self._look_ahead(self._place[wanted[-1]] + 1)
        return self._features[frame]

    def __len__(self) -> int:
        return len(self._features)

    def close(self) -> None:
        """Forget everything."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._features.clear()
        self._next = None

    def _missing_from(self, place: int) -> list[int]:
        later = (frame for frame in self._order[place:] if frame not in self._features)
        return [frame for _, frame in zip(range(self._chunk), later, strict=False)]

    def _pixels_of(self, wanted: list[int]) -> Tensor:
        if self._next is None:
            return self._pixels(wanted)
        expected, future = self._next
        self._next = None
        found = future.result()
        return found if expected == wanted else self._pixels(wanted)

    def _look_ahead(self, place: int) -> None:
        wanted = self._missing_from(place)
        if self._pool is not None and wanted:
            self._next = wanted, self._pool.submit(self._pixels, wanted)
