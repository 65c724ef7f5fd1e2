"""A dataset and predictions in memory: small random clips with one answer per expression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.frames import FrameArray, FrameSequence
from benchmark.masks import empty_track, encode_track, union_tracks
from benchmark.prediction_records import StoredPrediction
from benchmark.protocol import load_protocols
from benchmark.results import Result
from benchmark.score import score_predictions
from benchmark.types import AdapterInfo, Expression, MaskTrack, Role, Status, Video

HEIGHT, WIDTH = 18, 25
Masks = NDArray[np.bool_]


@dataclass
class TinyDataset:
    """Truth tracks by annotation id; counts how often each set of ids is asked for."""

    videos: Sequence[Video]
    tracks: Mapping[str, MaskTrack]
    name: str = "tiny"
    split: str = "val"
    digest: str = "d" * 64
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def frame_size(self, video: Video) -> tuple[int, int]:
        return HEIGHT, WIDTH

    def frames(self, video: Video) -> FrameSequence:
        return FrameArray(np.zeros((len(video.frame_names), HEIGHT, WIDTH, 3), np.uint8))

    def frames_fingerprint(self, video: Video) -> str:
        return video.video_id

    def truth(self, video: Video, annotation_ids: Sequence[str]) -> MaskTrack:
        self.asked.append((video.video_id, tuple(annotation_ids)))
        if not annotation_ids:
            return empty_track(len(video.frame_names), HEIGHT, WIDTH)
        return union_tracks([self.tracks[name] for name in annotation_ids])


@dataclass
class TinyReader:
    """Stored predictions in memory."""

    stored: Mapping[str, Mapping[str, StoredPrediction]]
    adapter: AdapterInfo | None = field(default_factory=lambda: AdapterInfo("tiny", "1.0"))
    dataset_name: str | None = "tiny"
    dataset_digest: str | None = "d" * 64
    run: Mapping[str, Any] = field(default_factory=dict)

    @property
    def video_ids(self) -> Sequence[str]:
        return list(self.stored)

    def video(self, video_id: str) -> Mapping[str, StoredPrediction]:
        return self.stored.get(video_id, {})


def random_masks(generator: np.random.Generator, frames: int) -> Masks:
    """Boxes that move, vanish in some frames, and have ragged edges."""
    masks = np.zeros((frames, HEIGHT, WIDTH), bool)
    for frame in range(frames):
        if generator.random() < 0.25:
            continue
        top, left = generator.integers(0, HEIGHT - 6), generator.integers(0, WIDTH - 8)
        masks[frame, top : top + 6, left : left + 8] = generator.random((6, 8)) < 0.9
    return masks


def tiny_dataset(seed: int = 0, videos: int = 5) -> TinyDataset:
    """Clips of different lengths with interactions, a mutual interaction and single objects."""
    generator = np.random.default_rng(seed)
    tracks: dict[str, MaskTrack] = {}
    clips = []
    for index in range(videos):
        length = 3 + 2 * index
        ids = [f"{index}{letter}" for letter in "abc"]
        tracks |= {name: encode_track(random_masks(generator, length)) for name in ids}
        tracks[f"{index}d"] = empty_track(length, HEIGHT, WIDTH)
        one, two, three = ids
        expressions = (
            Expression(
                "0", "red pushing blue", "unidirectional", (one,), (two,), ("small", "looks distinct")
            ),
            Expression("1", 'blue, "pushed"\nby red', "unidirectional", (two,), (one, three), ("small",)),
            Expression("2", "all dancing", "bidirectional", (three, two, one)),
            Expression("10", "green disc", "single", (three,)),
            Expression("3", "something unseen", "single", (f"{index}d",)),
        )
        names = tuple(f"{frame:05d}" for frame in range(length))
        clips.append(Video(f"clip{index}", names, expressions[: 5 - index % 2]))
    return TinyDataset(tuple(clips), tracks)


def answer(
    video: Video, expression: Expression, actor: MaskTrack | None, target: MaskTrack | None, **facts: Any
) -> StoredPrediction:
    """A stored prediction of one expression."""
    made = StoredPrediction(
        video.video_id, expression.expression_id, expression.text, Status.OK, actor, target, seconds=0.5
    )
    return replace(made, **facts)


def random_answers(dataset: TinyDataset, seed: int = 1) -> dict[str, dict[str, StoredPrediction]]:
    """Truth with noise; some targets are not claimed, some are claimed without pixels."""
    generator = np.random.default_rng(seed)
    stored: dict[str, dict[str, StoredPrediction]] = {}
    for video in dataset.videos:
        length = len(video.frame_names)
        stored[video.video_id] = {}
        for expression in video.expressions:
            actor = encode_track(random_masks(generator, length))
            target = [encode_track(random_masks(generator, length)), None, empty_track(length, HEIGHT, WIDTH)]
            chosen = target[int(generator.integers(3))]
            if generator.random() < 0.4:
                actor = dataset.truth(video, expression.actor_ids)
            stored[video.video_id][expression.expression_id] = answer(video, expression, actor, chosen)
    dataset.asked.clear()
    return stored


def oracle_answers(dataset: TinyDataset, *, swapped: bool = False) -> dict[str, dict[str, StoredPrediction]]:
    """The truth itself; with `swapped`, roles of interactions exchanged."""
    stored: dict[str, dict[str, StoredPrediction]] = {}
    for video in dataset.videos:
        stored[video.video_id] = {}
        for one in video.expressions:
            actor = dataset.truth(video, one.actor_ids)
            target = dataset.truth(video, one.target_ids) if one.is_interaction else None
            if swapped and target is not None:
                actor, target = target, actor
            stored[video.video_id][one.expression_id] = answer(video, one, actor, target)
    dataset.asked.clear()
    return stored


def empty_answers(dataset: TinyDataset) -> dict[str, dict[str, StoredPrediction]]:
    """Nothing claimed anywhere."""
    return {
        video.video_id: {one.expression_id: answer(video, one, None, None) for one in video.expressions}
        for video in dataset.videos
    }


def scored(
    dataset: TinyDataset,
    stored: Mapping[str, Mapping[str, StoredPrediction]],
    settings: Sequence[str] = ("actor", "target", "rvos"),
    *,
    seed: int = 0,
    engine: str = "auto",
    **reader: Any,
) -> Result:
    """The result of stored predictions."""
    return score_predictions(
        dataset,
        TinyReader(stored, **reader),
        load_protocols(settings),
        provenance={"command": "test"},
        seed=seed,
        engine=engine,
    )


ACTOR_ONLY = AdapterInfo("actor-only", "1.0", roles=(Role.ACTOR,))
