"""The one interface between the referee and a model, and finding an adapter by name.

The life of an adapter:

    load(device, seed) -> open_video(frames) -> predict(queries) ... -> close_video() -> unload()

Queries of one video come together, so that a model can look at the video once. An adapter never sees
ids, caption types, presence ranges or masks; the sanity rows that need the truth declare
`uses_truth` and get it through `open_truth`, and their results are marked.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import final

from benchmark.frames import FrameSequence
from benchmark.types import AdapterInfo, MaskTrack, Prediction, Query


class Adapter(abc.ABC):
    """A model under test. Subclasses are final: wrap an adapter, don't override one.

    Options given on the command line (`--option key=value`) arrive as keyword arguments of
    `__init__`, which must be cheap: no weights, no heavy imports before `load`.
    """

    #: one sentence for lists of adapters
    summary: str = ""
    #: queries given to one `predict` call at most; `None` means all of a video
    max_queries: int | None = None

    @abc.abstractmethod
    def info(self) -> AdapterInfo:
        """Facts about the model; complete after `load`, callable before it."""

    def load(self, device: str, seed: int) -> None:  # noqa: B027 - optional hook
        """Bring weights to `device` ("cpu", "cuda", "cuda:1") and seed every generator used."""

    def open_video(self, frames: FrameSequence) -> None:
        """Receive the frames that the next queries are about."""
        self._frames = frames

    def open_truth(self, truth: Sequence[TruthForSanityRow]) -> None:
        """Receive the truth of the coming queries; called only when `info().uses_truth`."""
        raise TypeError(f"{type(self).__name__} declares uses_truth but does not define open_truth")

    @abc.abstractmethod
    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        """One prediction per query, in the same order; masks at source size for every frame."""

    def close_video(self) -> None:  # noqa: B027 - optional hook
        """Forget the open video."""

    def unload(self) -> None:  # noqa: B027 - optional hook
        """Give memory back."""


@final
class TruthForSanityRow:
    """The truth of one query, for rows that bound the scale (oracle, swapped roles)."""

    __slots__ = ("actor", "other_expressions", "target")

    def __init__(
        self, actor: MaskTrack, target: MaskTrack | None, other_expressions: tuple[str, ...]
    ) -> None:
        self.actor = actor
        self.target = target
        self.other_expressions = other_expressions
