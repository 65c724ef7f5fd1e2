"""Greedy answers to questions about one video; what all questions share is read once.

Legend of shape suffixes:
    F frames   P visual tokens of a frame   D width   L tokens
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from reference_model.vision_language import PackedReader


@dataclass(frozen=True, slots=True)
class Prefix:
    """The frames of a video as the language model remembers them.

    Attributes:
        cache: keys and values of every layer, of one row.
        length: tokens in it.
        shown: visual tokens among them.
    """

    cache: Any
    length: int
    device: torch.device
    shown: int = 0


@dataclass(frozen=True, slots=True)
class Ends:
    """What ends an answer.

    Attributes:
        tokens: ids that end it and are no part of it.
        says: whether these ids, as text, end it (for a template whose end is not one token).
        most: ids at most.
    """

    tokens: frozenset[int]
    most: int
    says: Callable[[Sequence[int]], bool] | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """One answer.

    Attributes:
        ids: the new token ids, without the token that ended it.
        hidden_LD: last hidden states at which those tokens were the input; one fewer where the text of the
            last token ended the answer.
        cut: nothing ended it, it was cut at the most that it may have.
    """

    ids: list[int]
    hidden_LD: Tensor
    cut: bool


@torch.no_grad()
def read_prefix(language: PackedReader, frames_ids: Sequence[int], visual_1FPD: Tensor) -> Prefix:
    """Read the frames of a video."""
    device = visual_1FPD.device
    ids = torch.tensor([list(frames_ids)], device=device)
    cache = language.language_model(
        inputs_embeds=language.embed(ids, visual_1FPD),
        position_ids=language.places(ids, torch.arange(len(frames_ids), device=device)[None]),
        use_cache=True,
    ).past_key_values
    return Prefix(cache, len(frames_ids), device, list(frames_ids).count(language.image_token_id))


@torch.no_grad()
def write_answers(
    language: PackedReader, prefix: Prefix, questions: Sequence[Sequence[int]], ends: Ends
) -> list[Written]:
    """Answer N questions together; the prefix can be used again."""
    text, count, device = language.language_model, len(questions), prefix.device
    cache = copy.deepcopy(prefix.cache)
    cache.batch_repeat_interleave(count)
    longest = max(len(question) for question in questions)
    padded = [[language.padding_id] * (longest - len(question)) + list(question) for question in questions]
    ids = torch.tensor(padded, device=device)
    lengths = torch.tensor([len(question) for question in questions], device=device)
    inside = torch.arange(longest, device=device) >= longest - lengths[:, None]
    mask = torch.cat([torch.ones(count, prefix.length, dtype=torch.bool, device=device), inside], 1)
    position = prefix.length + (inside.long().cumsum(1) - 1).clamp(min=0)
    answers: list[list[int]] = [[] for _ in questions]
    hidden: list[list[Tensor]] = [[] for _ in questions]
    ended = [False] * count
    for step in range(ends.most + 1):
        last = text(
            inputs_embeds=language.embeddings(ids),
            attention_mask=mask.long(),
            position_ids=language.places(ids, position, prefix.shown),
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
        if step:
            for row in range(count):
                if not ended[row]:
                    hidden[row].append(last[row])
        if step == ends.most:
            break
        chosen = language.logits(last).argmax(-1)
        for row, one in enumerate(chosen.tolist()):
            if ended[row]:
                continue
            if one in ends.tokens:
                ended[row] = True
                continue
            answers[row].append(one)
            ended[row] = ends.says is not None and ends.says(answers[row])
        if all(ended):
            break
        ids, position = chosen[:, None], position[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(count, 1)], 1)
    width = last.shape[-1]
    return [
        Written(one, torch.stack(states) if states else last.new_zeros(0, width), not over)
        for one, states, over in zip(answers, hidden, ended, strict=True)
    ]
