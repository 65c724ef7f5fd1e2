"""The nouns of the referee: videos, expressions, queries, mask tracks, predictions.

Shapes are written in one alphabet across the project:

    T frames    H height    W width    C channels    B batch    N objects    L tokens    D width

A *mask track* is one object (or a union of objects) over all frames of a clip, at the size of the
source frames. *Empty* means a track without pixels; *none* means that no track was claimed at all.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

BoolMasks = NDArray[np.bool_]  # (T, H, W)


class Role(enum.StrEnum):
    """The two parts an object can play in an interaction expression."""

    ACTOR = "actor"
    TARGET = "target"


class Status(enum.StrEnum):
    """How one query ended. A status that `failed` scores 0 on every frame, whatever the truth is."""

    OK = "ok"
    ABSTAIN = "abstain"  # the model answered, and deliberately claimed no mask for any role
    NO_MASK = "no_mask"  # the model answered without the tokens that yield masks
    PARSE_ERROR = "parse_error"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    ERROR = "error"

    @property
    def failed(self) -> bool:
        """Whether the query must score 0 whatever the truth is."""
        return self not in (Status.OK, Status.ABSTAIN, Status.NO_MASK)


@dataclass(frozen=True, slots=True)
class MaskTrack:
    """One binary mask per frame, as COCO run-length text; `None` marks a frame without pixels.

    `counts[t]` is the compressed COCO text of frame t (column-major runs, background first) in
    canonical form (no zero-length run but the first); see `benchmark.masks`.
    """

    height: int
    width: int
    counts: tuple[bytes | None, ...]

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def is_empty(self) -> bool:
        """True when no frame has a pixel."""
        return all(text is None for text in self.counts)


@dataclass(frozen=True, slots=True)
class Expression:
    """A sentence about a video, with the annotation ids that are its truth.

    `actor_ids` is the truth of Actor and RVOS (the top-level `anno_id` of the released file);
    `target_ids` that of Target, empty where the expression names no target. `tags` are difficulty
    tags that results are broken down by (only the synthetic set has them).
    """

    expression_id: str
    text: str
    caption_type: str
    actor_ids: tuple[str, ...]
    target_ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    @property
    def is_interaction(self) -> bool:
        """Whether the expression has an actor and at least one target."""
        return self.caption_type == "unidirectional" and bool(self.target_ids)


@dataclass(frozen=True, slots=True)
class Video:
    """A clip: its id, its frame names in temporal order, and the expressions asked of it."""

    video_id: str
    frame_names: tuple[str, ...]
    expressions: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """What a model is asked: a sentence verbatim, and the roles that are wanted.

    `index` numbers the queries of one `predict` call and carries no other meaning. Nothing of the
    truth is in here: no ids, no caption type, no frame ranges, no masks.
    """

    index: int
    expression: str
    roles: tuple[Role, ...] = (Role.ACTOR, Role.TARGET)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What an adapter answers to one query.

    Attributes:
        actor: boolean (T, H, W) array at source size or a `MaskTrack`; `None` when no actor is claimed.
        target: the same for the target; `None` means "no target" or "cannot say".
        status: how it ended; adapters normally return `OK`, and the runner fills in failures.
        text: what the model said, verbatim, if it says anything.
        score: the model's own confidence, if it has one.
        message: the reason of a failure, in one sentence.
        frames_used: positions of the frames that the language side saw, if known.
        prompt: the sentence really shown to the model, where it differs from the expression.
        seconds: wall time of this query, filled in by the runner when the adapter leaves it `None`.
        peak_memory_bytes: memory at its highest, of the GPUs during the query or, without one, of the
            process; filled in by the runner when the adapter leaves it `None`.
        gpu_seconds: wall time of this query times GPUs in use; filled in likewise, `None` without one.
        peak_gpu_memory_bytes: memory on the GPUs at its highest; filled in likewise.
    """

    actor: BoolMasks | MaskTrack | None = None
    target: BoolMasks | MaskTrack | None = None
    status: Status = Status.OK
    text: str | None = None
    score: float | None = None
    message: str | None = None
    frames_used: tuple[int, ...] | None = None
    prompt: str | None = None
    seconds: float | None = None
    peak_memory_bytes: int | None = None
    gpu_seconds: float | None = None
    peak_gpu_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """Facts about a model that travel with every result it gets.

    `weights_digest` and `options` decide, with name, version and revision, whether stored
    predictions still belong to this adapter.
    """

    name: str
    version: str
    roles: tuple[Role, ...] = (Role.ACTOR, Role.TARGET)
    revision: str | None = None
    licence: str | None = None
    base_models: tuple[str, ...] = ()
    trained_on: tuple[str, ...] = ()  # "dataset:split"
    parameters: int | None = None
    weights_digest: str | None = None
    deterministic: bool = True
    uses_truth: bool = False
    shares_video_features: bool = False
    frame_policy: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
