"""The texts of training: questions, postfixes and answers, put together to one conversation per clip.

The sentences are facts about the training data: a model that is to be compared with the released ones has to
be taught with these very words. Source: cvlab-kaist/InterRVOS at 14c261e,
`ReVIOSa/model/datasets/InterRVOS_Dataset.py` (SEG_QUESTIONS, SEG_QUESTIONS_POSTFIX, ANSWER_LIST,
ANSWER_LIST_UNIDIRECTIONAL).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.errors import DatasetError
from reference_model.config import TokenNames
from reference_model.prompts import clean_expression
from reference_model.tuning_config import ChatTemplate

_STEMS: tuple[tuple[str, str], ...] = (
    ("Can you segment the {expression} in this image", "?"),
    ("Please segment {expression} in this image", "."),
    ("What is {expression} in this image? Please respond with segmentation mask", "."),
    ("What is {expression} in this image? Please output segmentation mask", "."),
    ("Could you provide a segmentation mask for the {expression} in this image", "?"),
    ("Please identify and segment the {expression} in this image", "."),
    ("Where is the {expression} in this picture? Please respond with a segmentation mask", "."),
    ("Can you highlight the {expression} in this image with a segmentation mask", "?"),
)
QUESTIONS: tuple[str, ...] = tuple(stem + mark for stem, end in _STEMS for mark in (end, ""))
"""Each with and without its final mark; drawn evenly."""

_BOTH = " If both a subject and an object are present, "
POSTFIXES: tuple[str, ...] = tuple(
    _BOTH + request
    for request in (
        "please provide separate segmentation masks for each.",
        "return individual segmentation masks for the subject and the object.",
        "kindly provide two distinct segmentation masks: one for the subject and one for the object.",
        "please segment them separately and output both masks.",
        "ensure that each is segmented independently and their masks are returned separately.",
        "please distinguish between them and generate separate masks accordingly.",
        "generate and return individual masks for each of them.",
    )
)
"""One of them follows every question about InterRVOS, also where there is no object; never at test."""

ANSWERS: tuple[str, ...] = (
    "It is {tokens}.",
    "Sure, {tokens}.",
    "Sure, it is {tokens}.",
    "Sure, the segmentation result is {tokens}.",
    "{tokens}.",
)

Encode = Callable[[str], list[int]]


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and its answer, in words."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids of a piece of a conversation, and which of them are taught."""

    ids: tuple[int, ...]
    taught: tuple[bool, ...]


def expression_turn(
    expression: str,
    has_target: bool,
    postfix: bool,
    names: TokenNames,
    rng: np.random.Generator,
    where: str = "",
) -> Turn:
    """A question about an expression and its answer, drawn from the official sentences.

    Full stops and question marks inside the expression are dropped and it is lower-cased, so an expression
    that is a question itself gets an answer like any other (the official code asks it and answers nothing).

    Raises:
        DatasetError: when nothing of the expression is left.
    """
    words = clean_expression(expression)
    if not words:
        raise DatasetError("the expression is empty", where=where, found=repr(expression))
    question = QUESTIONS[rng.integers(len(QUESTIONS))].replace("{expression}", words)
    asked = POSTFIXES[rng.integers(len(POSTFIXES))]  # drawn in any case, so that ablations see one data order
    tokens = f"{names.actor} and {names.target}" if has_target else names.actor
    answer = ANSWERS[rng.integers(len(ANSWERS))].replace("{tokens}", tokens)
    return Turn(question + (asked if postfix else ""), answer)


def turn_tokens(turn: Turn, opened: bool, chat: ChatTemplate, encode: Encode) -> Tokens:
    """One turn in tokens: question, answer and end of the answer, separator.

    Question, answer and separator are encoded apart, as the official code does.

    Args:
        opened: the turn begins with the frames of a clip, and its opening stands before them.
    """
    question = encode(("" if opened else chat.user) + turn.question + chat.assistant)
    answer = encode(turn.answer + chat.end)
    after = encode(chat.separator) if chat.separator else []
    ids = (*question, *answer, *after)
    return Tokens(ids, (*[False] * len(question), *[True] * len(answer), *[False] * len(after)))


def shortened(expression: str, most: int, encode: Encode, decode: Callable[[Sequence[int]], str]) -> str:
    """An expression of at most so many tokens: what is beyond them is left out."""
    ids = encode(expression)
    return expression if len(ids) <= most else decode(ids[:most])
