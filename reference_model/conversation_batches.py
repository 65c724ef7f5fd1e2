"""Samples put together to one pass: packed tokens, frames, and the truth of every role token.

Legend of shape suffixes:
    B clips   L tokens   N taught tokens   R role tokens   E expressions of a clip   F frames
    S side of a resized frame   C colour channels   h, w mask size   M frames of all clips
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmark.errors import DatasetError
from reference_model.conversations import shortened, turn_tokens
from reference_model.dataset_mix import Sample, Sizes
from reference_model.frame_pixels import IMAGE_DEVIATION, IMAGE_MEAN
from reference_model.model import Reviosa
from reference_model.tuning_config import TuningConfig, TurnLayout
from reference_model.vision_language import FRAMES_SEGMENT, PADDING_SEGMENT, Packed


@dataclass(frozen=True)
class ConversationBatch:
    """One pass.

    Attributes:
        names: of the samples, for reports.
        packed: one row per sample; clips first, then conversations without a clip.
        before_N2: (row, token) before each taught token; `next_N` are their ids.
        rows_R2: (row, token) of the role tokens, by clip, then expression, actor before target.
        clip_R: the clip of each role token; `expression_R`, `target_R` likewise.
        language_BFSSC, mask_BFSSC: uint8 frames of the clips.
        actors_BEFhw, targets_BEFhw: truth; blank where there is no target.
        clips_count: 1.0, or 0.0 where the only clip is a blank one that must not count.
    """

    names: tuple[str, ...]
    packed: Packed
    before_N2: Tensor
    next_N: Tensor
    rows_R2: Tensor
    clip_R: Tensor
    expression_R: Tensor
    target_R: Tensor
    language_BFSSC: Tensor
    mask_BFSSC: Tensor
    actors_BEFhw: Tensor
    targets_BEFhw: Tensor
    clips_count: float = 1.0

    def to(self, device: torch.device) -> ConversationBatch:
        """The same on a device."""
        moved = {
            field.name: getattr(self, field.name).to(device, non_blocking=True)
            for field in dataclasses.fields(self)
            if isinstance(getattr(self, field.name), Tensor)
        }
        return dataclasses.replace(self, packed=self.packed.to(device), **moved)

    @property
    def tokens(self) -> int:
        """Tokens that are read, padding apart."""
        return int((self.packed.segment_BL != PADDING_SEGMENT).sum())


@dataclass(frozen=True, slots=True)
class _Row:
    ids: list[int]
    segment: list[int]
    position: list[int]
    taught: list[bool]


def sizes_of(model: Reviosa) -> Sizes:
    """The squares that frames and masks of this model have."""
    side = model.config.mask_decoder.image_size
    return Sizes(model.config.vision_language.image_size, side, side // 4)


def blank_sample(config: TuningConfig, sizes: Sizes) -> Sample:
    """A black clip without a question: with it every pass has a clip and uses the same weights."""
    frames, truth = config.frames, (1, config.frames, sizes.truth, sizes.truth)
    return Sample(
        "blank clip",
        (),
        np.zeros((frames, sizes.language, sizes.language, 3), np.uint8),
        np.zeros((frames, sizes.mask, sizes.mask, 3), np.uint8),
        np.zeros(truth, bool),
        np.zeros(truth, bool),
        (False,),
    )


def make_batch(samples: Sequence[Sample], model: Reviosa, config: TuningConfig) -> ConversationBatch:
    """Put samples together.

    Raises:
        DatasetError: when a conversation is longer than the model may read.
    """
    shown = [sample for sample in samples if sample.language_FSSC is not None]
    silent = [sample for sample in samples if sample.language_FSSC is None]
    all_text = not shown
    if all_text:
        shown = [blank_sample(config, sizes_of(model))]
    samples = [*shown, *silent]
    rows = [_row(sample, model, config) for sample in samples]
    length = max(len(row.ids) for row in rows)
    before, after, roles, clip_R, expression_R, target_R = [], [], [], [], [], []
    for number, (sample, row) in enumerate(zip(samples, rows, strict=True)):
        taught = [place for place, one in enumerate(row.taught) if one]
        before += [(number, place - 1) for place in taught]
        after += [row.ids[place] for place in taught]
        if sample.language_FSSC is None:
            continue
        found = [place for place in taught if row.ids[place] in model.role_ids]
        if not sample.turns:  # the blank clip is asked nothing; its last token stands for an answer
            found = [len(row.ids) - 1]
        expression = -1
        for place in found:
            target = row.ids[place] == model.target_id
            expression += not target
            roles.append((number, place))
            clip_R.append(number)
            expression_R.append(expression)
            target_R.append(target)
    return ConversationBatch(
        tuple(sample.name for sample in samples),
        _packed(rows, length, model.padding_id, config.turns is TurnLayout.CONVERSATION),
        torch.tensor(before, dtype=torch.long).reshape(-1, 2),
        torch.tensor(after, dtype=torch.long),
        torch.tensor(roles, dtype=torch.long).reshape(-1, 2),
        torch.tensor(clip_R),
        torch.tensor(expression_R),
        torch.tensor(target_R),
        _stack([sample.language_FSSC for sample in shown]),
        _stack([sample.mask_FSSC for sample in shown]),
        _stack([sample.actors_EFhw for sample in shown]),
        _stack([sample.targets_EFhw for sample in shown]),
        0.0 if all_text else 1.0,
    )


def _row(sample: Sample, model: Reviosa, config: TuningConfig) -> _Row:
    encode = model.encode
    has_clip = sample.language_FSSC is not None
    # A copy: the model keeps the list of token ids it hands out.
    ids = list(model.frames_ids(len(sample.language_FSSC))) if sample.language_FSSC is not None else []
    segment, position = [FRAMES_SEGMENT] * len(ids), list(range(len(ids)))
    taught = [False] * len(ids)
    frames = len(ids)
    independent = config.turns is TurnLayout.INDEPENDENT and has_clip
    for number, turn in enumerate(sample.turns):
        # An independent question goes on where the frames end, and reads nothing but them and itself.
        opened = has_clip and (number == 0 or independent)
        tokens = turn_tokens(turn, opened, config.chat, encode)
        start = frames if independent else len(ids)
        ids += tokens.ids
        taught += tokens.taught
        segment += [number + 1 if independent else 1] * len(tokens.ids)
        position += range(start, start + len(tokens.ids))
    if len(ids) > config.most_tokens:
        raise DatasetError(
            "the conversation is longer than the model may read",
            where=sample.name,
            expected=f"at most {config.most_tokens} tokens",
            found=str(len(ids)),
            fix="ask for fewer expressions or frames, or shorten the text",
        )
    return _Row(ids, segment, position, taught)


def _packed(rows: Sequence[_Row], length: int, padding_id: int, plain: bool) -> Packed:
    def padded(values: list[int], filler: int) -> list[int]:
        return values + [filler] * (length - len(values))

    position = [list(range(length)) if plain else padded(row.position, 0) for row in rows]
    return Packed(
        torch.tensor([padded(row.ids, padding_id) for row in rows]),
        torch.tensor([padded(row.segment, PADDING_SEGMENT) for row in rows]),
        torch.tensor(position),
        plain,
    )


def _stack(arrays: Sequence[np.ndarray | None]) -> Tensor:
    return torch.from_numpy(np.stack([one for one in arrays if one is not None]))


def shorten_expression(expression: str, model: Reviosa) -> str:
    """An expression cut to as many tokens as a question of this model may have."""
    most = model.config.prompts.max_question_tokens
    return shortened(expression, most, model.encode, model.tokenizer.decode)


def normalised(frames_MSSC: Tensor) -> Tensor:
    """uint8 frames (M, S, S, C) as floats (M, C, S, S) with ImageNet mean and deviation."""
    pixels = frames_MSSC.permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor(IMAGE_MEAN, device=pixels.device).view(3, 1, 1)
    return (pixels - mean) / torch.tensor(IMAGE_DEVIATION, device=pixels.device).view(3, 1, 1)
