"""The records of a prediction folder: one answer, one video, one run, and the manifest of a finished run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmark.json_records import entry, to_json
from benchmark.types import AdapterInfo, MaskTrack, Status


@dataclass(frozen=True, slots=True)
class StoredPrediction:
    """One answered or failed query, as it is kept on disk.

    Attributes:
        expression: the sentence as the dataset has it.
        actor: `None` when no actor was claimed, or the query failed.
        target: `None` when no target was claimed, or the query failed.
        message: the reason of a failure, or how an answer came about after one.
        prompt: the sentence really shown to the model, where it differs from the expression.
        seconds: wall time of the query; of a query answered together with others, its share.
        peak_memory_bytes: memory at its highest, of the GPUs during the query or, without one, of the
            process, if known.
        gpu_seconds: wall time of the query times GPUs in use; `None` without one.
        peak_gpu_memory_bytes: memory on the GPUs at its highest; `None` without one.
        frames_used: positions of the frames that the language side saw, if known.
    """

    video_id: str
    expression_id: str
    expression: str
    status: Status
    actor: MaskTrack | None = None
    target: MaskTrack | None = None
    text: str | None = None
    message: str | None = None
    prompt: str | None = None
    score: float | None = None
    seconds: float | None = None
    peak_memory_bytes: int | None = None
    frames_used: tuple[int, ...] | None = None
    gpu_seconds: float | None = None
    peak_gpu_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class QueryHead:
    """What the head of a video's file says about one query.

    `key` changes with everything that the answer depends on; see `benchmark.prediction_folder`.
    """

    expression_id: str
    key: str
    status: Status
    seconds: float | None
    peak_memory_bytes: int | None
    asked_alone: bool


@dataclass(frozen=True, slots=True)
class VideoHead:
    """The first line of a video's file; `seconds` is the wall time spent on the video outside queries.

    `gpu_seconds` is that time times GPUs in use; `None` without one, and in files from before it was kept.
    """

    format: str
    version: int
    video_id: str
    frames: int
    height: int
    width: int
    seconds: float
    queries: tuple[QueryHead, ...]
    gpu_seconds: float | None = field(default=None, metadata=entry(added=True))


@dataclass(frozen=True, slots=True)
class VideoPredictions:
    """The whole content of a video's file; predictions and `head.queries` are in the same order."""

    head: VideoHead
    predictions: tuple[StoredPrediction, ...]


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What must be equal for stored predictions to be continued; a difference invalidates them all."""

    adapter: str
    version: str
    revision: str | None
    weights_digest: str | None
    roles: tuple[str, ...]
    options: Mapping[str, Any]
    seed: int
    dataset: str
    split: str

    def digest(self) -> str:
        """SHA-256 over all of it."""
        return hashlib.sha256(json.dumps(to_json(self), sort_keys=True).encode()).hexdigest()

    def differences(self, now: RunIdentity) -> list[str]:
        """One phrase per field that is not the same `now`."""
        before, after = _flat(self), _flat(now)
        return [
            f"{name} was {_shown(before.get(name))} and is {_shown(after.get(name))}"
            for name in dict.fromkeys((*before, *after))
            if before.get(name) != after.get(name)
        ]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """`run.json`. Facts that a model knows only after loading come into `after_load` and `adapter`."""

    format: str
    version: int
    before_load: RunIdentity
    after_load: RunIdentity | None
    adapter: AdapterInfo

    @property
    def is_known_before_load(self) -> bool:
        """Whether the adapter tells its weights apart before loading them.

        If it does, a finished run is recognised, or refused, without loading anything.
        """
        return self.after_load is None or self.after_load == self.before_load


@dataclass(frozen=True, slots=True)
class ManifestVideo:
    """One video of a finished run: its file, the digest that ends the file, the expressions that count."""

    video_id: str
    file: str
    sha256: str
    expressions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a finished run. `peak_memory_bytes` is the highest of all queries, if any told it."""

    videos: int
    queries: int
    failed: int
    asked_alone: int
    query_seconds: float
    video_seconds: float
    peak_memory_bytes: int | None
    video_gpu_seconds: float | None = field(default=None, metadata=entry(added=True))


@dataclass(frozen=True, slots=True)
class Manifest:
    """`manifest.json`: proof that a run is complete, and the list of what it consists of.

    Attributes:
        dataset_digest: of the dataset as it was when the run was completed.
        limit: how many expressions the run was limited to; `None` for all.
        settings: the settings whose expressions were asked.
    """

    format: str
    version: int
    adapter: AdapterInfo
    seed: int
    dataset: str
    split: str
    dataset_digest: str
    limit: int | None
    settings: tuple[str, ...]
    totals: Totals
    videos: tuple[ManifestVideo, ...]
    sessions: tuple[Mapping[str, Any], ...] = ()


def _flat(identity: RunIdentity) -> dict[str, Any]:
    flat = to_json(identity)
    options = flat.pop("options")
    return {**flat, **{f"option {name}": value for name, value in options.items()}}


def _shown(value: Any) -> str:
    return "not set" if value is None else repr(value)
