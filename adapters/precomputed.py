"""What others wrote, scored without installing their model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, final

from benchmark.adapter import Adapter, AnswerSource, AnswerSourceFacts
from benchmark.errors import AdapterError
from benchmark.types import AdapterInfo, Prediction, Query, Role


@final
class Precomputed(Adapter):
    """Hands on answers that are stored in one of the forms of `benchmark.prediction_layouts`.

    The referee looks the answers up: this adapter never learns which video or sentence it is about.

    Args:
        path: a folder or file of predictions.
        missing_frames: `error` fails a sentence with a frame that has no mask; `empty` takes it for a mask
            without pixels, which is right for lists of detections.
        model: name of the model that wrote them, for tables.
        licence: of that model.
        trained_on: its training sets, "dataset:split" with commas between.
    """

    summary = "masks that others wrote (--option path=DIR): PNG trees, results.json, COCO lists"
    uses_device = False

    def __init__(
        self,
        path: Path,
        missing_frames: Literal["error", "empty"] = "error",
        model: str | None = None,
        licence: str | None = None,
        trained_on: str = "",
    ) -> None:
        self.stored_answers = AnswerSource(path, missing_frames)
        self._model = model
        self._licence = licence
        self._trained_on = tuple(one.strip() for one in trained_on.split(",") if one.strip())
        self._facts: AnswerSourceFacts | None = None
        self._answers: Sequence[Prediction] | None = None

    def info(self) -> AdapterInfo:
        facts = self._facts
        author = facts.made_by if facts else None
        model = self._model or (author.name if author else None)
        return AdapterInfo(
            name=f"precomputed({model})" if model else "precomputed",
            version="1",
            roles=facts.roles if facts else tuple(Role),
            revision=author.revision if author else None,
            licence=self._licence or (author.licence if author else None),
            trained_on=self._trained_on or (author.trained_on if author else ()),
            parameters=author.parameters if author else None,
            weights_digest=facts.fingerprint if facts else None,
            uses_truth=bool(author and author.uses_truth),
            options={"layout": facts.layout} if facts else {},
        )

    def describe_answers(self, facts: AnswerSourceFacts) -> None:
        self._facts = facts

    def open_answers(self, answers: Sequence[Prediction]) -> None:
        self._answers = answers

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        if self._answers is None or len(self._answers) != len(queries):
            raise AdapterError(
                "no stored answers were handed over",
                where="adapter precomputed",
                fix="evaluate it by itself (--adapter precomputed), not inside another adapter",
            )
        answers, self._answers = list(self._answers), None
        return answers
