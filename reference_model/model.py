"""ReVIOSa: a vision-language model whose two tokens prompt SAM2, one for the actor, one for the target.

    frames, expression -> InternVL -> ... [SEG_ACT] ... [SEG_TAR] -> projector -> SAM2 -> two mask tracks

The hidden state at which a token is the *input* (not the one that predicts it) goes through the
projector, shared by both roles, and becomes a prompt of SAM2.

Legend of shape suffixes:
    B clips   F frames   S side   R rows (role tokens)   D width of the language model   C prompt width
    L tokens   V words   A attention heads   P visual tokens of a frame   X visual tokens of all frames
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from benchmark.errors import CheckpointError
from reference_model.attention_rows import indices
from reference_model.config import LanguageFamily, ModelConfig, VisionLanguageConfig
from reference_model.mask_decoder import PromptedMaskDecoder
from reference_model.prompts import (
    RoleAnswer,
    answer_text,
    frames_text,
    question_text,
    special_tokens,
)
from reference_model.vision_language import Packed, PackedReader, Read, VisionLanguage, pack

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True, slots=True)
class Taught:
    """One pass over known answers.

    Attributes:
        packed: the tokens that were read.
        read: hidden states.
        rows_R2: (clip, token) of every role token, by clip, then expression, actor before target.
        next_logits_LV: scores at each position before an answer token.
        next_ids_L: the answer tokens.
        visual_BFPD: the visual tokens that went in.
    """

    packed: Packed
    read: Read
    rows_R2: Tensor
    next_logits_LV: Tensor
    next_ids_L: Tensor
    visual_BFPD: Tensor

    @property
    def hidden_RD(self) -> Tensor:
        """Last hidden states at the role tokens."""
        clip, token = self.rows_R2.unbind(1)
        return self.read.hidden_BLD[clip, token]


def build_reader(
    config: VisionLanguageConfig, vocabulary: int, image_token_id: int, padding_id: int
) -> PackedReader:
    """The vision-language side of a family with random weights."""
    if config.family is LanguageFamily.QWEN2_5_VL:
        from reference_model.qwen_vision_language import QwenVisionLanguage

        return QwenVisionLanguage(config, vocabulary, image_token_id, padding_id)
    return VisionLanguage(config, vocabulary, image_token_id, padding_id)


class Reviosa(nn.Module):
    """The whole model.

    Raises:
        CheckpointError: when the tokenizer lacks one of the special tokens.
    """

    def __init__(self, config: ModelConfig, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = tokenizer
        names = config.tokens
        vocabulary = tokenizer.get_vocab()
        absent = [token for token in special_tokens(names) if token not in vocabulary]
        if absent:
            raise CheckpointError(
                "the tokenizer lacks special tokens of this model",
                expected=", ".join(special_tokens(names)),
                found=f"missing {', '.join(absent)}",
                fix="set the token names in the configuration, or add the tokens to the tokenizer",
            )
        self.actor_id, self.target_id = vocabulary[names.actor], vocabulary[names.target]
        self.end_id, self.padding_id = vocabulary[names.turn_end], vocabulary[names.padding]
        self.vision_language = build_reader(
            config.vision_language, len(tokenizer), vocabulary[names.image], self.padding_id
        )
        width, prompt = config.vision_language.width, config.mask_decoder.width
        self.projector = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, prompt))
        self.mask_decoder = PromptedMaskDecoder(config.mask_decoder)
        self._ids: dict[str, list[int]] = {}

    def frames_ids(self, frames: int) -> list[int]:
        """Token ids that stand for this many frames."""
        per_frame = self.config.vision_language.tokens_per_frame
        return self.encode(frames_text(self.config.prompts, self.config.tokens, frames, per_frame))

    def question_ids(self, expression: str, cut: bool = True, keep_marks: bool = False) -> list[int]:
        """Token ids of the question about an expression; a very long expression is cut if `cut` says so.

        The end of the question is kept: it is what tells the model to answer.
        """
        ids = self.encode(question_text(self.config.prompts, expression, keep_marks))
        most = self.config.prompts.max_question_tokens
        if len(ids) <= most or not cut:
            return ids
        tail = len(self.encode(self.config.prompts.question.split("{expression}")[-1]))
        return ids[: most - tail] + ids[len(ids) - tail :]

    def answer_ids(self, answer: RoleAnswer) -> list[int]:
        """Token ids of a known answer, with the end of the turn."""
        return self.encode(answer_text(self.config.prompts, self.config.tokens, answer))

    def says_end(self, ids: Sequence[int]) -> bool:
        """Whether an answer ends here by its text, for a template whose end is not one token.

        As in the released code line breaks don't count, and the text must end exactly there.
        """
        stop = self.config.prompts.stop_text
        if stop is None:
            return False
        # No token is without a letter of the text that ends it, but for line breaks.
        text = self.tokenizer.decode(list(ids[-4 * len(stop) :]))
        return text.replace("\r", "").replace("\n", "").endswith(stop)

    def teach(
        self,
        pixels_BFCSS: Tensor,
        expressions: Sequence[Sequence[str]],
        answers: Sequence[Sequence[RoleAnswer]],
        attention_layer: int | None = None,
    ) -> Taught:
        """Read expressions together with their known answers."""
        frames = self.frames_ids(pixels_BFCSS.shape[1])
        clips, rows, before, after = [], [], [], []
        for clip, (texts, said) in enumerate(zip(expressions, answers, strict=True)):
            segments, start = [], len(frames)
            for text, answer in zip(texts, said, strict=True):
                question, reply = self.question_ids(text), self.answer_ids(answer)
                segments.append(question + reply)
                first = start + len(question)
                before += [(clip, first + k - 1) for k in range(len(reply))]
                after += reply
                rows += [(clip, first + k) for k, one in enumerate(reply) if one in self.role_ids]
                start += len(segments[-1])
            clips.append(segments)
        device = pixels_BFCSS.device
        packed = pack(frames, clips, self.padding_id)
        packed = packed.to(device)
        visual = self.vision_language.visual_tokens(pixels_BFCSS)
        read = self.vision_language.read(packed, visual, attention_layer)
        clip_index, token = torch.tensor(before, device=device).unbind(1)
        logits = self.vision_language.logits(read.hidden_BLD[clip_index, token])
        rows_R2 = torch.tensor(rows, dtype=torch.long, device=device).reshape(-1, 2)
        return Taught(packed, read, rows_R2, logits, torch.tensor(after, device=device), visual)

    def visual_attention(self, taught: Taught, layer: int, heads: Sequence[int]) -> Tensor:
        """Attention (R, A, X) of the role tokens to the visual tokens, in the order of the prompt."""
        rows = self.vision_language.attention_rows(taught.read, layer, heads, taught.rows_R2)
        frames = taught.visual_BFPD.shape[1]
        return rows.index_select(-1, indices(self._visual_columns(frames), rows.device))

    def _visual_columns(self, frames: int) -> tuple[int, ...]:
        """Positions of the visual tokens in a prompt, which begins with the frames."""
        image = self.vision_language.image_token_id
        return tuple(place for place, one in enumerate(self.frames_ids(frames)) if one == image)

    @property
    def role_ids(self) -> tuple[int, int]:
        """Ids of the actor token and the target token."""
        return self.actor_id, self.target_id

    def encode(self, text: str) -> list[int]:
        """Token ids of a piece of text, without tokens at its ends."""
        if text not in self._ids:
            if len(self._ids) > 50_000:
                self._ids.clear()
            self._ids[text] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return self._ids[text]


def parameter_count(model: nn.Module) -> int:
    """Number of weights."""
    return sum(parameter.numel() for parameter in model.parameters())
