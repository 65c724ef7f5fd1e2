"""Pictures of predictions."""

from __future__ import annotations

from pathlib import Path

from benchmark.datasets import Dataset
from benchmark.predictions import PredictionReader
from benchmark.results import Result

KINDS = ("png", "mp4")


def save_overlays(
    dataset: Dataset, predictions: PredictionReader, result: Result, output: Path, kind: str
) -> Path:
    raise SystemExit("later")
