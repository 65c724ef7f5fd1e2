"""The truth itself: the top of the scale, and a proof that reader and scorer agree."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.adapter import Adapter, TruthForSanityRow
from benchmark.types import AdapterInfo, Prediction, Query


class Oracle(Adapter):
    """Answers with the annotated tracks."""

    summary = "the truth itself: bounds the scale from above"
    uses_device = False

    def info(self) -> AdapterInfo:
        return AdapterInfo(name="oracle", version="1", uses_truth=True, parameters=0)

    def open_truth(self, truth: Sequence[TruthForSanityRow]) -> None:
        self._truth = truth

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        return [
            Prediction(actor=row.actor, target=row.target)
            for _, row in zip(queries, self._truth, strict=True)
        ]
