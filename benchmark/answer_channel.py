"""The separate channel through which `precomputed` gets answers that were stored before.

An adapter sees no ids, so it cannot look an answer up; the referee does, and hands each answer over with
its query, as it does with the truth for sanity rows. An adapter that wants it sets `stored_answers`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmark.adapter import Adapter, AnswerSource, AnswerSourceFacts
from benchmark.datasets import Dataset
from benchmark.prediction_layouts import open_foreign
from benchmark.predictions import PredictionReader, StoredPrediction, open_predictions
from benchmark.types import Expression, Prediction, Role, Status, Video


class AnswerChannel:
    """Answers to the queries of a dataset, from one place on disk.

    Attributes:
        facts: what the place holds, as told to the adapter.
    """

    def __init__(self, source: AnswerSource, dataset: Dataset) -> None:
        self._source = source
        self._reader = _open(source, dataset)
        self._video_id = ""
        self._answers: Mapping[str, StoredPrediction] = {}
        known = self._reader.adapter
        self.facts = AnswerSourceFacts(
            layout=str(self._reader.run.get("layout")),
            recognised_by=str(self._reader.run.get("recognised_by", "its manifest")),
            roles=known.roles if known else tuple(Role),
            fingerprint=fingerprint(source.path),
            made_by=known if known and known.name != "precomputed" else None,
        )

    def of(self, video: Video, asked: Sequence[Expression]) -> list[Prediction]:
        """One answer per expression of a video; one that is not stored is a failure that says so."""
        if self._video_id != video.video_id:
            self._answers = self._reader.video(video.video_id)
            self._video_id = video.video_id
        return [self._answer(one) for one in asked]

    def _answer(self, one: Expression) -> Prediction:
        stored = self._answers.get(one.expression_id)
        if stored is None:
            message = f"no answer to this sentence is stored in {self._source.path}"
            return Prediction(status=Status.ERROR, message=message)
        return Prediction(
            actor=stored.actor,
            target=stored.target,
            status=stored.status,
            text=stored.text,
            score=stored.score,
            message=stored.message,
            frames_used=stored.frames_used,
            prompt=stored.prompt,
            seconds=stored.seconds,
            peak_memory_bytes=stored.peak_memory_bytes,
            gpu_seconds=stored.gpu_seconds,
            peak_gpu_memory_bytes=stored.peak_gpu_memory_bytes,
        )


def answer_channel(adapter: Adapter, dataset: Dataset) -> AnswerChannel | None:
    """The channel for an adapter that hands on stored answers, which is told what they are; else `None`.

    Raises:
        PredictionError: when the place holds nothing readable.
    """
    if adapter.stored_answers is None:
        return None
    channel = AnswerChannel(adapter.stored_answers, dataset)
    adapter.describe_answers(channel.facts)
    return channel


def fingerprint(path: Path) -> str:
    """SHA-256 over names, sizes and times of all files: changes when any of them is replaced."""
    digest = hashlib.sha256()
    for one in _files(path):
        facts = one.stat()
        digest.update(f"{one.relative_to(path.parent)}\t{facts.st_size}\t{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        yield from (Path(folder) / name for name in sorted(names))


def _open(source: AnswerSource, dataset: Dataset) -> PredictionReader:
    if source.missing_frames == "empty":
        return open_foreign(source.path, dataset, "empty")
    return open_predictions(source.path, dataset)
