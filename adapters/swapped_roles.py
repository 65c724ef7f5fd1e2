"""The model under test with actor and target exchanged: what not knowing the roles would score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from benchmark.adapter import Adapter, Requirements, TruthForSanityRow, load_adapter
from benchmark.frames import FrameSequence
from benchmark.types import AdapterInfo, Prediction, Query


class SwappedRoles(Adapter):
    """Exchanges the two tracks of another adapter's answers.

    Args:
        of: the adapter that answers.
        of_options: its options, written `--option of.key=value`.
    """

    summary = "the answers of another adapter (--option of=NAME) with the roles exchanged"

    def __init__(self, of: str = "reviosa", of_options: Mapping[str, str] | None = None) -> None:
        self._wrapped = load_adapter(of, of_options)
        self.max_queries = self._wrapped.max_queries
        self.uses_device = self._wrapped.uses_device
        self.works_elsewhere = self._wrapped.works_elsewhere

    def info(self) -> AdapterInfo:
        inner = self._wrapped.info()
        return replace(inner, name=f"swapped_roles({inner.name})")

    def requirements(self) -> Requirements:
        return self._wrapped.requirements()

    def load(self, device: str, seed: int) -> None:
        self._wrapped.load(device, seed)

    def open_video(self, frames: FrameSequence) -> None:
        self._wrapped.open_video(frames)

    def open_truth(self, truth: Sequence[TruthForSanityRow]) -> None:
        self._wrapped.open_truth(truth)

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        answers = self._wrapped.predict(queries)
        return [replace(answer, actor=answer.target, target=answer.actor) for answer in answers]

    def close_video(self) -> None:
        self._wrapped.close_video()

    def unload(self) -> None:
        self._wrapped.unload()
