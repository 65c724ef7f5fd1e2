"""The words around a video: frames, question, answer; and the tokenizer of the tiny model.

A prompt is: for each frame `<img>`, its visual tokens, `</img>`; then the question with the expression;
then the answer, which the model writes itself at inference. The two answer styles:

    paper      it is [SEG_ACT] and [SEG_TAR]                      (no target: it is [SEG_ACT])
    grounded   red disc x2 y4 [SEG_ACT] blue square x3 y1 [SEG_TAR]

The grounded style lets a small model say what it means before it says where: naming comes as text, which
a language model learns well, and the token that follows only has to carry it on. It is not the paper's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reference_model.config import AnswerStyle, PromptConfig, TokenNames

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MOST_FRAME_LABELS = 16


@dataclass(frozen=True, slots=True)
class NamedObject:
    """What a grounded answer says of one object: how it looks, and where its middle is (0 to 1)."""

    colour: str
    shape: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class RoleAnswer:
    """The objects of the two roles, as an answer names them; no target for other expressions.

    `marked` is off for an answer that names objects only and holds no segmentation token.
    """

    actors: tuple[NamedObject, ...]
    targets: tuple[NamedObject, ...] = ()
    marked: bool = True


def clean_expression(expression: str, keep_marks: bool = False) -> str:
    """An expression as it is put into the question: lower case, without full stops and question marks.

    Args:
        keep_marks: question marks stay, as in the released inference.
    """
    return re.sub("[.]" if keep_marks else "[.?]", "", expression).lower().strip()


def frames_text(config: PromptConfig, tokens: TokenNames, frames: int, tokens_per_frame: int) -> str:
    """The part of a prompt that stands for the frames."""
    one = tokens.image_start + tokens.image * tokens_per_frame + tokens.image_end
    if not config.label_frames:
        return config.before_frames + config.between_frames.join([one] * frames)
    return " ".join(f"frame{number + 1} {one}" for number in range(frames))


def question_text(config: PromptConfig, expression: str, keep_marks: bool = False) -> str:
    """The question about one expression."""
    return config.question.replace("{expression}", clean_expression(expression, keep_marks))


def answer_text(config: PromptConfig, tokens: TokenNames, answer: RoleAnswer) -> str:
    """The answer that training teaches, up to and including the end of the turn."""
    if not answer.marked:
        return f"{_names(config, answer.actors + answer.targets)} {tokens.turn_end}"
    if config.answer_style is AnswerStyle.PAPER:
        words = f"it is {tokens.actor}" + (f" and {tokens.target}" if answer.targets else "")
        return f"{words} {tokens.turn_end}"
    words = f"{_names(config, answer.actors)} {tokens.actor}"
    if answer.targets:
        words += f" {_names(config, answer.targets)} {tokens.target}"
    return f"{words} {tokens.turn_end}"


def _names(config: PromptConfig, objects: Sequence[NamedObject]) -> str:
    # From left to right, so that one set of objects has one name.
    ordered = sorted(objects, key=lambda one: (one.x, one.y))
    names = (f"{one.colour} {one.shape} {place_words(config, one.x, one.y)}" for one in ordered)
    return " and ".join(name.strip() for name in names)


def place_words(config: PromptConfig, x: float, y: float) -> str:
    """Two words for a place: column and row of a grid over the frame; none where places are not said."""
    if not config.place_cells:
        return ""
    last = config.place_cells - 1
    column, row = (min(last, max(0, int(value * config.place_cells))) for value in (x, y))
    return f"x{column} y{row}"


def build_word_tokenizer(
    words: Iterable[str], config: PromptConfig, tokens: TokenNames
) -> PreTrainedTokenizerFast:
    """A tokenizer with one id per word, for a model that is trained from nothing.

    Words outside the list become the unknown token; upper case is folded.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = special_tokens(tokens)
    own = re.sub(r"\{expression\}", " ", config.question).lower()
    pieces = {word.lower() for word in words} | {"it", "is", "and"}
    pieces |= set(re.findall(r"\w+|[^\w\s]", own)) - {word.lower() for word in special}
    pieces |= {f"frame{number + 1}" for number in range(MOST_FRAME_LABELS)}
    pieces |= {f"{axis}{cell}" for axis in "xy" for cell in range(config.place_cells)}
    pieces = {part for piece in pieces for part in re.findall(r"\w+|[^\w\s]+", piece)}
    vocabulary = {word: index for index, word in enumerate([*special, *sorted(pieces)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=tokens.unknown))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=tokens.padding, unk_token=tokens.unknown
    )
    fast.add_special_tokens({"additional_special_tokens": special[2:]}, replace_extra_special_tokens=False)
    return fast


def special_tokens(tokens: TokenNames) -> list[str]:
    """All special tokens; padding and unknown first."""
    return [
        tokens.padding,
        tokens.unknown,
        tokens.image_start,
        tokens.image_end,
        tokens.image,
        tokens.turn_start,
        tokens.turn_end,
        tokens.actor,
        tokens.target,
    ]
