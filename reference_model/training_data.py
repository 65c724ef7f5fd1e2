"""Clips to train on, and batches of them.

A source gives `TrainingClip`s by position. Two exist: the synthetic set, rendered when first needed and
kept in memory, and any dataset of the referee, read on demand. Batches are drawn with a generator that
is passed in.

Legend of shape suffixes:
    B clips   K frames that masks are computed on   F frames the language model sees   H, W source size
    N objects of a clip   C colour channels   S side of a resized frame   T frames of a clip
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets import Dataset
from benchmark.errors import DatasetError, UsageError
from benchmark.masks import decode_track
from reference_model.config import DataConfig, FrameConfig
from reference_model.frame_choice import chosen_frames
from reference_model.prompts import NamedObject

if TYPE_CHECKING:
    from torch import Tensor

NOTHING = 255  # label of a pixel that belongs to no object
MIRRORED = {"left": "right", "right": "left"}


@dataclass(frozen=True, slots=True)
class TrainingExpression:
    """A sentence and the objects it means, as positions in the masks of its clip."""

    text: str
    actors: tuple[int, ...]
    targets: tuple[int, ...]
    tags: tuple[str, ...] = ()

    @property
    def roles(self) -> tuple[tuple[int, ...], ...]:
        """Objects of each role that has some; the actor comes first."""
        return (self.actors, self.targets) if self.targets else (self.actors,)


@dataclass(frozen=True, slots=True)
class TrainingClip:
    """One clip in memory.

    Attributes:
        frames_THWC: uint8.
        masks_NTHW: boolean, one track per object.
        looks: for each object its look in words (colour, shape, texture, size), if the source knows it.
    """

    frames_THWC: NDArray[np.uint8]
    masks_NTHW: NDArray[np.bool_]
    expressions: tuple[TrainingExpression, ...]
    looks: tuple[Mapping[str, str], ...] | None = None

    def mirrored(self) -> TrainingClip:
        """The clip flipped left to right, words included."""
        return TrainingClip(
            self.frames_THWC[:, :, ::-1],
            self.masks_NTHW[..., ::-1],
            tuple(
                TrainingExpression(_mirrored_text(one.text), one.actors, one.targets, one.tags)
                for one in self.expressions
            ),
            self.looks,
        )


class ClipSource(Protocol):
    """Where training clips come from."""

    def __len__(self) -> int:
        """Number of clips."""
        ...

    def clip(self, index: int) -> TrainingClip:
        """One clip."""
        ...


@dataclass(frozen=True)
class Batch:
    """What one training step sees.

    Attributes:
        language_pixels_BFCSS: normalised frames for the language model.
        mask_pixels_BKCSS: normalised frames for the mask decoder.
        masks: for each clip the truth of its objects on the K frames, float (N, K, H, W).
        language_masks: the same on the F frames of the language model.
        clips: the clips themselves.
        expressions: the chosen expressions of each clip.
        conditioning: which of the K frames carry prompts (the ones the language model sees).
    """

    language_pixels_BFCSS: Tensor
    mask_pixels_BKCSS: Tensor
    masks: list[Tensor]
    language_masks: list[Tensor]
    clips: list[TrainingClip]
    expressions: list[list[TrainingExpression]]
    conditioning: list[int]


def language_frame_indices(length: int, config: FrameConfig) -> list[int]:
    """Positions of the frames that the language model sees; all frames of a clip that is too short."""
    return chosen_frames(length, config.language_frames, config.policy)


def named_objects(clip: TrainingClip, frames: Sequence[int]) -> list[NamedObject]:
    """Colour, shape and mean place of every object over the chosen frames.

    Raises:
        DatasetError: when the source does not know how its objects look.
    """
    if clip.looks is None:
        raise DatasetError(
            "this dataset does not say how its objects look, which grounded answers and object prompts need",
            fix="use the paper's answer style and only language, joint and memory stages",
        )
    places = mean_places(clip, frames)
    return [
        NamedObject(look["colour"], look["shape"], float(x), float(y))
        for look, (x, y) in zip(clip.looks, places, strict=True)
    ]


def mean_places(clip: TrainingClip, frames: Sequence[int]) -> NDArray[np.float64]:
    """Mean place (N, 2) of each object's pixels, x and y from 0 to 1, over the frames where it is seen.

    An object that is seen in none of them takes its place from all frames of the clip.
    """
    height, width = clip.masks_NTHW.shape[-2:]
    places = np.full((len(clip.masks_NTHW), 2), 0.5)
    for index, track in enumerate(clip.masks_NTHW):
        seen = track[list(frames)]
        seen = seen[seen.any((1, 2))]
        if not len(seen):
            seen = track[track.any((1, 2))]
        if len(seen):
            area = seen.sum((1, 2))
            x = seen.sum(1) @ (np.arange(width) + 0.5) / area / width
            y = seen.sum(2) @ (np.arange(height) + 0.5) / area / height
            places[index] = x.mean(), y.mean()
    return places


def draw_batch(
    source: ClipSource,
    indices: Sequence[int],
    rng: np.random.Generator,
    *,
    expressions: int,
    frames: int,
    config: FrameConfig,
    language_side: int,
    mask_side: int,
    mirror: bool,
    for_language: bool = True,
    for_masks: bool = True,
) -> Batch:
    """Load clips, choose expressions and frames, resize and stack.

    With `frames` of 1 one random frame of each clip is chosen; with more, the frames of the language
    model and random others are taken, in temporal order. What is not wanted (`for_language`,
    `for_masks`) is left empty, since resizing costs time.
    """
    import torch

    from reference_model.frame_pixels import normalised_frames

    clips = [source.clip(index) for index in indices]
    clips = [clip.mirrored() if mirror and rng.random() < 0.5 else clip for clip in clips]
    shown = [language_frame_indices(len(clip.frames_THWC), config) for clip in clips]
    chosen = [
        _mask_frames(rng, len(clip.frames_THWC), seen, frames)
        for clip, seen in zip(clips, shown, strict=True)
    ]
    pick = [_some(rng, clip.expressions, expressions) for clip in clips]
    seen = list(zip(clips, shown, strict=True)) if for_language else []
    masked = list(zip(clips, chosen, strict=True)) if for_masks else []
    return Batch(
        _stacked(
            [normalised_frames(clip.frames_THWC[one], language_side, config.resize) for clip, one in seen]
        ),
        _stacked(
            [normalised_frames(clip.frames_THWC[one], mask_side, config.resize) for clip, one in masked]
        ),
        [torch.from_numpy(clip.masks_NTHW[:, frames].astype(np.float32)) for clip, frames in masked],
        [torch.from_numpy(clip.masks_NTHW[:, frames].astype(np.float32)) for clip, frames in seen],
        clips,
        pick,
        [slot for slot, frame in enumerate(chosen[0]) if frame in shown[0]],
    )


def _stacked(frames: Sequence[Tensor]) -> Tensor:
    import torch

    return torch.stack(list(frames)) if frames else torch.zeros(0)


def _mask_frames(rng: np.random.Generator, length: int, shown: Sequence[int], frames: int) -> list[int]:
    if frames == 1:
        return [int(rng.integers(length))]
    others = [frame for frame in range(length) if frame not in shown]
    extra = rng.permutation(others)[: max(0, frames - len(shown))]
    return sorted([*shown, *(int(frame) for frame in extra)])


def _some(
    rng: np.random.Generator, expressions: Sequence[TrainingExpression], count: int
) -> list[TrainingExpression]:
    order = rng.permutation(len(expressions))[:count]
    return [expressions[index] for index in sorted(order)]


def _mirrored_text(text: str) -> str:
    return " ".join(MIRRORED.get(word, word) for word in text.split(" "))


class Epochs:
    """Endless clip positions in random order, each once per round; a position can be saved and restored."""

    def __init__(self, count: int, rng: np.random.Generator) -> None:
        self._count = count
        self._rng = rng
        self._waiting: list[int] = []

    def take(self, count: int) -> list[int]:
        """The next `count` positions."""
        while len(self._waiting) < count:
            self._waiting += self._rng.permutation(self._count).tolist()
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    def state(self) -> list[int]:
        """What `restore` needs, beside the state of the generator."""
        return list(self._waiting)

    def restore(self, waiting: Sequence[int]) -> None:
        """Go on where `state` was taken."""
        self._waiting = list(waiting)


class SyntheticClips:
    """The synthetic set: clips are rendered when first asked for and kept in memory (0.6 MB each).

    Args:
        count: use the first so many clips; `None` means the whole split.
    """

    def __init__(self, split: str, count: int | None = None) -> None:
        from benchmark.datasets.synthetic import SPLIT_SIZES

        self._split = split
        self._count = SPLIT_SIZES[split] if count is None else count
        self._kept: dict[int, tuple[NDArray[np.uint8], NDArray[np.uint8], Any]] = {}

    def __len__(self) -> int:
        return self._count

    def clip(self, index: int) -> TrainingClip:
        if index not in self._kept:
            self._kept[index] = self._render(index)
        frames, labels, facts = self._kept[index]
        looks, expressions = facts
        objects = np.arange(len(looks), dtype=np.uint8)
        return TrainingClip(frames, labels[None] == objects[:, None, None, None], expressions, looks)

    def _render(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Any]:
        from benchmark.datasets.synthetic import clip

        one = clip(self._split, index)
        # Visible masks never overlap, so one label a pixel holds them all.
        labels = np.where(one.masks.any(0), one.masks.argmax(0), NOTHING).astype(np.uint8)
        looks = tuple(
            {"colour": look.colour, "shape": look.shape, "texture": look.texture, "size": look.size}
            for look in one.objects
        )
        expressions = tuple(
            TrainingExpression(said.text, said.actors, said.targets, said.tags) for said in one.expressions
        )
        return one.frames, labels, (looks, expressions)


class DatasetClips:
    """Any dataset of the referee, read on demand; it does not know how its objects look."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._videos = [video for video in dataset.videos if video.expressions]

    def __len__(self) -> int:
        return len(self._videos)

    def clip(self, index: int) -> TrainingClip:
        video = self._videos[index]
        said = video.expressions
        ids = sorted({one for expression in said for one in (*expression.actor_ids, *expression.target_ids)})
        number = {annotation: position for position, annotation in enumerate(ids)}
        masks = np.stack([decode_track(self._dataset.truth(video, [annotation])) for annotation in ids])
        expressions = tuple(
            TrainingExpression(
                one.text,
                tuple(number[annotation] for annotation in one.actor_ids),
                tuple(number[annotation] for annotation in one.target_ids) if one.is_interaction else (),
                one.tags,
            )
            for one in said
        )
        return TrainingClip(self._dataset.frames(video).stack(), masks, expressions)


def open_source(config: DataConfig, data_root: Path | None = None, rendered_only: bool = True) -> ClipSource:
    """The clips that a recipe trains on.

    Args:
        rendered_only: the recipe knows no clips but the rendered ones, where it asks for them; without, a
            folder in the released layout may stand in for them.

    Raises:
        DatasetError: when the dataset cannot be read.
        UsageError: when a folder is given for clips that are rendered.
    """
    if config.dataset == "interrvos-synthetic" and (rendered_only or data_root is None):
        if data_root is not None:
            raise UsageError(
                "the clips of this recipe are rendered, not read from a folder",
                where="--data-root",
                found=str(data_root),
                fix="leave it out, or take a recipe that reads a dataset, such as reviosa_1b_tiny",
            )
        return SyntheticClips(config.split, config.clips)
    from benchmark.datasets import open_dataset

    return DatasetClips(open_dataset(config.dataset, data_root, config.split))
