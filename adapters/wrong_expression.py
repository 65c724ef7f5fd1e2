"""The model under test asked another video's sentence: what it finds without being told what to find."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from benchmark.adapter import Adapter, Requirements, TruthForSanityRow, load_adapter
from benchmark.errors import AdapterError
from benchmark.frames import FrameSequence
from benchmark.types import AdapterInfo, Prediction, Query


class WrongExpression(Adapter):
    """Puts a sentence of another video in the place of each query's own.

    The choice depends on the seed and the query's own sentence alone, so it is the same however the
    queries are grouped.

    Args:
        of: the adapter that answers.
        of_options: its options, written `--option of.key=value`.
    """

    summary = "another adapter (--option of=NAME) asked another video's sentence: the language-blind score"

    def __init__(self, of: str = "reviosa", of_options: Mapping[str, str] | None = None) -> None:
        self._wrapped = load_adapter(of, of_options)
        if self._wrapped.info().uses_truth:
            raise AdapterError(
                "a wrong sentence changes nothing for an adapter that is told the truth",
                where=f"--option of={of}",
                fix="name an adapter that listens to the sentence",
            )
        self.max_queries = self._wrapped.max_queries
        self.uses_device = self._wrapped.uses_device
        self.works_elsewhere = self._wrapped.works_elsewhere

    def info(self) -> AdapterInfo:
        inner = self._wrapped.info()
        return replace(inner, name=f"wrong_expression({inner.name})", uses_truth=True)

    def requirements(self) -> Requirements:
        return self._wrapped.requirements()

    def load(self, device: str, seed: int) -> None:
        self._seed = seed
        self._wrapped.load(device, seed)

    def open_video(self, frames: FrameSequence) -> None:
        self._wrapped.open_video(frames)

    def open_truth(self, truth: Sequence[TruthForSanityRow]) -> None:
        self._truth = truth

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        wrong = [
            replace(query, expression=self._other(query.expression, row.other_expressions))
            for query, row in zip(queries, self._truth, strict=True)
        ]
        answers = self._wrapped.predict(wrong)
        return [
            replace(answer, prompt=answer.prompt or query.expression)
            for query, answer in zip(wrong, answers, strict=True)
        ]

    def close_video(self) -> None:
        self._wrapped.close_video()

    def unload(self) -> None:
        self._wrapped.unload()

    def _other(self, own: str, others: Sequence[str]) -> str:
        if not others:
            raise AdapterError(
                "there is no other video to take a sentence from",
                where="wrong_expression",
                expected="a dataset of at least two videos with different sentences",
            )
        choice = hashlib.sha256(f"{self._seed}\n{own}".encode()).digest()
        return others[int.from_bytes(choice[:8]) % len(others)]
