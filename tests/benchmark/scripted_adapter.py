"""An adapter that does as each sentence says, and a run of it on clips in memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.adapter import Adapter
from benchmark.frames import FrameSequence
from benchmark.inference import InferenceRules, load_weights, predict_videos
from benchmark.prediction_folder import PredictionFolder, open_folder, run_identity
from benchmark.types import AdapterInfo, Prediction, Query

Act = Callable[[Sequence[Query]], None]


class Scripted(Adapter):
    """Answers with a pixel per letter of the sentence, unless `acts` has something to do for it.

    Attributes:
        asked: sentences of every `predict` call, in order.
    """

    uses_device = False

    def __init__(self, acts: Mapping[str, Act] | None = None, **facts: Any) -> None:
        self.acts = acts or {}
        self.facts = {"name": "scripted", "version": "1", **facts}
        self.asked: list[list[str]] = []
        self.loads = 0
        self.open = False

    def info(self) -> AdapterInfo:
        return AdapterInfo(**self.facts)

    def load(self, device: str, seed: int) -> None:
        self.loads += 1

    def open_video(self, frames: FrameSequence) -> None:
        assert not self.open, "the video before was not closed"
        if "open_video" in self.acts:
            self.acts["open_video"]([])
        self.open = True
        super().open_video(frames)

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        self.asked.append([query.expression for query in queries])
        for query in queries:
            if query.expression in self.acts:
                self.acts[query.expression](queries)
        return [self.answer(query.expression) for query in queries]

    def answer(self, expression: str) -> Prediction:
        masks = np.zeros((len(self._frames), self._frames.height, self._frames.width), bool)
        masks.reshape(-1)[: len(expression)] = True
        return Prediction(actor=masks, target=None, text=expression.upper())

    def close_video(self) -> None:
        if "close_video" in self.acts:
            self.acts["close_video"]([])
        self.open = False


class Logging(Scripted):
    """Writes every sentence it is asked to a file, and takes its time: for runs that are killed.

    Args:
        log: the file.
        pause: seconds per query.
    """

    max_queries = 1

    def __init__(self, log: Path, pause: float = 0.02) -> None:
        super().__init__()
        self.log, self.pause = log, pause

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        for query in queries:
            with open(self.log, "a") as file:
                file.write(f"{os.getpid()} {query.expression}\n")
            time.sleep(self.pause)
        return super().predict(queries)


class Talking(Scripted):
    """Prints at every step, as model code does."""

    def __init__(self) -> None:
        super().__init__()
        print("I talk in __init__")

    def load(self, device: str, seed: int) -> None:
        print("I talk in load")

    def predict(self, queries: Sequence[Query]) -> list[Prediction]:
        print("I talk in predict")
        return super().predict(queries)


class Late(Scripted):
    """Knows its weights only after loading them.

    Args:
        weights: a file whose text stands for the digest.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.weights = weights

    def load(self, device: str, seed: int) -> None:
        self.facts["weights_digest"] = self.weights.read_text()


def raising(error: BaseException) -> Act:
    """An act that raises."""

    def act(_queries: Sequence[Query]) -> None:
        raise error

    return act


def run(
    adapter: Adapter,
    dataset: Any,
    output: Path,
    *,
    seed: int = 0,
    restart: bool = False,
    retry: bool = False,
    **rules: Any,
) -> PredictionFolder:
    """What the command does between opening the dataset and scoring."""
    folder = open_folder(output, adapter, run_identity(adapter, seed, dataset), restart)
    plans = [folder.plan(dataset, video, retry) for video in dataset.videos]
    left = [plan for plan in plans if plan.missing]
    if left:
        load_weights(adapter, "scripted", "cpu", seed)
        folder.confirm_loaded(adapter, run_identity(adapter, seed, dataset))
        folder.begin_session({"command": "test"})
        predict_videos(adapter, dataset, folder, left, InferenceRules(show_progress=False, **rules))
    return folder
