"""What a fine-tuning is fed with: clips of several datasets and text-only conversations in one order.

Every random choice about a sample (its place in the order, frames, expressions, sentences) follows from the
seed and from the number of the sample alone. So a run that is resumed, or shared by more processes, sees
what a run that never stopped, or that ran alone, would have seen; nothing of it needs to be stored.

Legend of shape suffixes:
    E expressions of a clip   F frames   S side of a resized frame   C colour channels   h, w mask size
    H, W source size
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets import Dataset, open_dataset
from benchmark.errors import DatasetError, RefereeError, UsageError
from benchmark.masks import decode
from benchmark.types import Expression, Video
from reference_model.config import TokenNames
from reference_model.conversations import Turn, expression_turn
from reference_model.tuning_config import MixPart, TuningConfig

TEXT_ONLY = "text"
"""Name of the part of a mix that holds conversations without a clip."""

SPEAKERS = {"human": 0, "user": 0, "gpt": 1, "assistant": 1}


@dataclass(frozen=True, slots=True)
class Sample:
    """One clip with its questions, or a conversation without a clip.

    Attributes:
        name: what it is and where it comes from, for reports.
        turns: questions and answers; one per expression.
        language_FSSC, mask_FSSC: the frames at the two sizes, uint8; `None` without a clip.
        actors_EFhw, targets_EFhw: truth at the size of the decoder's masks; a blank where there is no target.
        has_target_E: which expressions have a target that is taught.
        notes: what was done to it that whoever trains should know.
    """

    name: str
    turns: tuple[Turn, ...]
    language_FSSC: NDArray[np.uint8] | None = None
    mask_FSSC: NDArray[np.uint8] | None = None
    actors_EFhw: NDArray[np.bool_] | None = None
    targets_EFhw: NDArray[np.bool_] | None = None
    has_target_E: tuple[bool, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A sample that could not be read, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sides of the squares that frames and masks are resized to."""

    language: int
    mask: int
    truth: int


@dataclass(frozen=True, slots=True)
class Feed:
    """What decides how a clip becomes a sample.

    Attributes:
        shorten: cuts an expression that is too long for a question.
    """

    config: TuningConfig
    sizes: Sizes
    names: TokenNames
    shorten: Callable[[str], str]


class TextConversations:
    """Conversations without a clip, one JSON object a line: `{"conversations": [{"from", "value"}, ...]}`.

    Raises:
        DatasetError: for a file that is missing or holds anything else, with the line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError("text samples cannot be read", where=str(path), found=str(error)) from error
        self._turns = [
            self._read(line, f"{path}:{number + 1}") for number, line in enumerate(lines) if line.strip()
        ]
        if not self._turns:
            raise DatasetError("there are no text samples", where=str(path), found="an empty file")

    def __len__(self) -> int:
        return len(self._turns)

    def sample(self, index: int) -> Sample:
        """One conversation."""
        return Sample(f"text: {self.path.name}, conversation {index + 1}", self._turns[index])

    @staticmethod
    def _read(line: str, where: str) -> tuple[Turn, ...]:
        wrong = DatasetError(
            "not a conversation",
            where=where,
            expected='{"conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": "!"}]}',
            found=line[:80],
        )
        try:
            said = [(SPEAKERS[one["from"]], str(one["value"])) for one in json.loads(line)["conversations"]]
        except (ValueError, KeyError, TypeError) as error:
            raise wrong from error
        if not said or [speaker for speaker, _ in said] != [0, 1] * (len(said) // 2):
            raise wrong
        return tuple(Turn(said[n][1], said[n + 1][1]) for n in range(0, len(said), 2))


class ClipPart:
    """The clips of one dataset that have something to say."""

    def __init__(self, part: MixPart, dataset: Dataset, held_back: int = 0) -> None:
        self.part = part
        self.dataset = dataset
        asked = [index for index, video in enumerate(dataset.videos) if video.expressions]
        self.held_back = min(held_back, len(asked))
        self._videos = asked[: len(asked) - self.held_back]

    def __len__(self) -> int:
        return len(self._videos)

    @property
    def has_targets(self) -> bool:
        """Whether any expression has a target."""
        videos = (self.dataset.videos[index] for index in self._videos)
        return any(said.is_interaction for video in videos for said in video.expressions)

    def name(self, index: int) -> str:
        """What a report calls a clip."""
        video = self.dataset.videos[self._videos[index]]
        return f"{self.part.dataset} {self.part.split}: video {video.video_id}"

    def sample(self, index: int, feed: Feed, rng: np.random.Generator) -> Sample:
        """Some expressions and frames of a clip, drawn with a generator.

        Raises:
            DatasetError: when a frame or a mask cannot be read, or a frame has another size than the masks.
        """
        video, config, sizes = self.dataset.videos[self._videos[index]], feed.config, feed.sizes
        said = drawn_expressions(video.expressions, config.expressions, self.part.interactions_first, rng)
        frames = drawn_frames(len(video.frame_names), config.frames, rng)
        where = self.name(index)
        with_target = [config.target_token and one.is_interaction for one in said]
        turns = tuple(
            expression_turn(
                feed.shorten(one.text),
                target,
                config.target_token and self.part.postfix,
                feed.names,
                rng,
                f"{where}, expression {one.expression_id}",
            )
            for one, target in zip(said, with_target, strict=True)
        )
        size = self.dataset.frame_size(video)
        language, mask = self._pixels(video, frames, size, sizes, where)
        actors = [self._truth(video, one.actor_ids, frames, sizes.truth) for one in said]
        targets = [
            self._truth(video, one.target_ids if target else (), frames, sizes.truth)
            for one, target in zip(said, with_target, strict=True)
        ]
        shown = ", ".join(video.frame_names[frame] for frame in frames)
        return Sample(
            f"{where}, frames {shown}",
            turns,
            language,
            mask,
            np.stack(actors),
            np.stack(targets),
            tuple(with_target),
            _notes(said, feed, where),
        )

    def _pixels(
        self, video: Video, frames: Sequence[int], size: tuple[int, int], sizes: Sizes, where: str
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        from PIL import Image

        source = self.dataset.frames(video)
        language: list[NDArray[np.uint8]] = []
        mask: list[NDArray[np.uint8]] = []
        for frame in frames:
            pixels = source.frame(frame)
            if pixels.shape[:2] != size:
                raise DatasetError(
                    "a frame has another size than the masks",
                    where=f"{where}, frame {video.frame_names[frame]}",
                    expected=f"{size[0]}x{size[1]}",
                    found=f"{pixels.shape[0]}x{pixels.shape[1]}",
                )
            picture = Image.fromarray(pixels)
            for side, into in ((sizes.language, language), (sizes.mask, mask)):
                into.append(np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC)))
        return np.stack(language), np.stack(mask)

    def _truth(self, video: Video, ids: Sequence[str], frames: Sequence[int], side: int) -> NDArray[np.bool_]:
        track = self.dataset.truth(video, ids)
        return np.stack(
            [nearest(decode(track.counts[frame], track.height, track.width), side) for frame in frames]
        )


def _notes(said: Sequence[Expression], feed: Feed, where: str) -> tuple[str, ...]:
    cut = {one.expression_id: (one.text, feed.shorten(one.text)) for one in said}
    return tuple(
        f"{where}, expression {name}: {len(text)} characters are too long for a question and cut to "
        f"{len(short)}"
        for name, (text, short) in sorted(cut.items())
        if short != text
    )


def nearest(mask_HW: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """A mask on a square grid; each cell takes the pixel at its upper left corner (as torch's nearest)."""
    height, width = mask_HW.shape
    rows, columns = np.arange(side) * height // side, np.arange(side) * width // side
    return mask_HW[rows[:, None], columns]


def drawn_frames(length: int, count: int, rng: np.random.Generator) -> list[int]:
    """Distinct frames in order; a clip of at most one frame more than are wanted is drawn with repetition.

    Source: cvlab-kaist/InterRVOS at 14c261e, `dataset_map_fn`.
    """
    return sorted(int(one) for one in rng.choice(length, count, replace=length <= count + 1))


def drawn_expressions(
    expressions: Sequence[Expression], count: int, interactions_first: bool, rng: np.random.Generator
) -> list[Expression]:
    """So many expressions of a clip; there are always that many, if need be by repetition.

    With `interactions_first`, a clip of more expressions gives one with a target, then any others (that one
    may come again); a clip of fewer gives all of them, then repetitions; those with a target are asked first.
    Without, all are drawn with repetition. Source: cvlab-kaist/InterRVOS at 14c261e, `InterRVOS_Dataset.py`;
    bytedance/Sa2VA at d01bf3f, `MeVIS_Dataset.py`.
    """
    total = len(expressions)
    if not interactions_first:
        return [expressions[index] for index in rng.choice(total, count, replace=True)]
    if total > count:
        related = [index for index, one in enumerate(expressions) if one.is_interaction]
        first = [related[rng.integers(len(related))]] if related else []
        chosen = [*first, *rng.choice(total, count - len(first), replace=False)]
    else:
        chosen = [*range(total), *rng.choice(total, count - total, replace=True)]
    picked = [expressions[int(index)] for index in chosen]
    return sorted(picked, key=lambda one: not one.is_interaction)


class Mix:
    """All parts in one order that is drawn anew each epoch.

    Raises:
        DatasetError: when there is nothing to train on, or a target token is to be taught and no expression
            has a target.
    """

    def __init__(self, parts: Sequence[ClipPart | TextConversations], feed: Feed, seed: int) -> None:
        self.parts = list(parts)
        self._feed, self._seed = feed, seed
        self._items = [
            (part, index)
            for part in self.parts
            for _ in range(part.part.repeats if isinstance(part, ClipPart) else 1)
            for index in range(len(part))
        ]
        clips = [part for part in self.parts if isinstance(part, ClipPart)]
        if not any(len(part) for part in clips):
            kept = sum(part.held_back for part in clips)
            raise DatasetError(
                "there is no clip with an expression to train on",
                where="--data-root",
                found=f"{kept} clips, which are all held back for validation" if kept else "none",
                fix="give more clips; the recipe says how many are held back (training.data.held_back)"
                if kept
                else "give the folder of a dataset with expressions",
            )
        if feed.config.target_token and not any(part.has_targets for part in clips):
            raise DatasetError(
                "no expression of these datasets has a target, so the target token would never be taught",
                where=", ".join(f"{one.part.dataset} {one.part.split}" for one in clips),
                expected="expressions of caption_type unidirectional with a non-empty object list",
                fix="add interrvos to the mix, or train the recipe's ablation -baseline or +aml",
            )

    @property
    def first_dataset(self) -> Dataset:
        """The dataset whose last clips are held back."""
        return next(part.dataset for part in self.parts if isinstance(part, ClipPart))

    def __len__(self) -> int:
        """Samples of one epoch."""
        return len(self._items)

    def sample(self, position: int) -> Sample | Unreadable:
        """Sample number `position` of the run, counted over all epochs."""
        epoch, place = divmod(position, len(self._items))
        order = np.random.default_rng([self._seed, 0, epoch]).permutation(len(self._items))
        part, index = self._items[order[place]]
        if isinstance(part, TextConversations):
            return part.sample(index)
        rng = np.random.default_rng([self._seed, 1, position])
        try:
            return part.sample(index, self._feed, rng)
        except (RefereeError, OSError) as error:
            return Unreadable(part.name(index), str(error))


def open_parts(
    config: TuningConfig, data_root: Path | None, text: Path | None, held_back: int = 0
) -> list[ClipPart | TextConversations]:
    """The datasets of a mix.

    Args:
        data_root: the folder of a dataset or, with several, the folder that holds all of them.
        text: file of text-only conversations; they are one more part.
        held_back: so many clips at the end of the first part are left for validation.

    Raises:
        UsageError: a dataset that needs a folder has none, or two have the same.
        DatasetError: a dataset or the text file cannot be read.
    """
    parts: list[ClipPart | TextConversations] = []
    found: dict[Path, str] = {}
    for number, one in enumerate(config.mix):
        dataset = open_dataset(one.dataset, data_root, one.split)
        files = getattr(dataset, "split_folder", None)  # clips made in memory have none
        folder = None if files is None else files.folder
        if folder is not None and found.setdefault(folder, one.dataset) != one.dataset:
            raise UsageError(
                "two datasets of the mix would be read from one folder",
                where=f"--data-root {data_root}",
                expected="the folder that holds a folder for each dataset",
                found=f"{found[folder]} and {one.dataset} in {folder}",
            )
        parts.append(ClipPart(one, dataset, held_back if number == 0 else 0))
    if text is not None:
        parts.append(TextConversations(text))
    return parts


def names_of_parts(parts: Sequence[ClipPart | TextConversations], data_root: Path | None) -> list[str]:
    """What a model that was trained on these parts says it has seen, as "dataset:split".

    Clips that were not made by the built-in generator go by the name of the folder they were read from,
    though the recipe asked for the built-in ones.
    """
    return [
        f"{TEXT_ONLY}:{part.path.name}" if isinstance(part, TextConversations) else _read_as(part, data_root)
        for part in parts
    ]


def _read_as(part: ClipPart, data_root: Path | None) -> str:
    dataset = part.dataset
    generated = all(one.video_id.startswith(f"synthetic-{dataset.split}-") for one in dataset.videos)
    if data_root is None or generated or part.part.dataset != "interrvos-synthetic":
        return f"{part.part.dataset}:{dataset.split}"
    folder = data_root.resolve()
    if folder.name == dataset.split:  # the folder of one split was given
        folder = folder.parent
    return f"{folder.name}:{dataset.split}"
