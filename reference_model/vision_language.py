"""The InternVL part: frames and words in, hidden states and answers out.

All expressions of one clip are read in one pass: the frames come first, and every expression attends to
the frames and to itself, never to another expression. That equals one conversation per expression (the
position numbers restart) at a fraction of the cost, in training and in generation.

Legend of shape suffixes:
    B clips   F frames   P visual tokens of a frame   L tokens   D width   S side of a frame   N expressions
    R rows that are read (special tokens)   H heads   C colour channels
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from transformers import InternVLConfig, InternVLForConditionalGeneration, InternVLVisionConfig, Qwen2Config

from reference_model.attention_rows import SeenLayer, attention_rows, watched
from reference_model.config import VisionLanguageConfig

PADDING_SEGMENT = -1
FRAMES_SEGMENT = 0


@dataclass(frozen=True, slots=True)
class Packed:
    """Token rows of several clips; each holds its frames, then its expressions one after the other.

    Attributes:
        ids_BL: token ids.
        segment_BL: 0 for the frames, 1, 2, ... for the expressions, -1 for padding.
        position_BL: position numbers; each expression goes on where the frames end.
        plain: every row is one conversation, numbered from 0 to its end, padding included: each token reads
            all before it, and no mask needs to be written out.
    """

    ids_BL: Tensor
    segment_BL: Tensor
    position_BL: Tensor
    plain: bool = False

    def to(self, device: torch.device) -> Packed:
        """The same on a device."""
        parts = (self.ids_BL, self.segment_BL, self.position_BL)
        return Packed(*(part.to(device) for part in parts), plain=self.plain)

    def attention_mask(self) -> Tensor:
        """Boolean (B, 1, L, L): row i may read column j."""
        row, column = self.segment_BL[:, :, None], self.segment_BL[:, None, :]
        length = self.ids_BL.shape[1]
        index = torch.arange(length, device=self.ids_BL.device)
        causal = index[:, None] >= index[None, :]
        allowed = causal & ((column == FRAMES_SEGMENT) | (column == row)) & (column != PADDING_SEGMENT)
        # Padding reads itself: a row without any column would be NaN.
        return (allowed | torch.eye(length, dtype=torch.bool, device=index.device))[:, None]


def pack(frames: Sequence[int], clips: Sequence[Sequence[Sequence[int]]], padding_id: int) -> Packed:
    """Pack the token ids of expressions behind the (shared) token ids of the frames."""
    rows = []
    for segments in clips:
        ids, segment, position = list(frames), [FRAMES_SEGMENT] * len(frames), list(range(len(frames)))
        for number, tokens in enumerate(segments):
            ids += tokens
            segment += [number + 1] * len(tokens)
            position += range(len(frames), len(frames) + len(tokens))
        rows.append((ids, segment, position))
    length = max(len(ids) for ids, _, _ in rows)

    def padded(part: int, filler: int) -> Tensor:
        return torch.tensor([row[part] + [filler] * (length - len(row[part])) for row in rows])

    return Packed(padded(0, padding_id), padded(1, PADDING_SEGMENT), padded(2, 0))


def build_internvl(
    config: VisionLanguageConfig, vocabulary: int, image_token_id: int, padding_id: int
) -> InternVLForConditionalGeneration:
    """An InternVL with a Qwen2 language model of these sizes with random weights."""
    vision = InternVLVisionConfig(
        hidden_size=config.vision_width,
        num_hidden_layers=config.vision_layers,
        num_attention_heads=config.vision_heads,
        intermediate_size=config.vision_feed_forward or config.vision_width * config.mlp_ratio,
        attention_bias=config.vision_bias,
        image_size=[config.image_size] * 2,
        patch_size=[config.patch_size] * 2,
        initializer_range=config.initializer_range,
        layer_scale_init_value=config.layer_scale,
    )
    rope = {"rope_type": "default", "rope_theta": config.rope_theta}
    text = Qwen2Config(
        vocab_size=config.vocabulary or vocabulary,
        hidden_size=config.width,
        intermediate_size=config.feed_forward or config.width * config.mlp_ratio,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.key_value_heads,
        initializer_range=config.initializer_range,
        max_position_embeddings=config.max_positions,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=padding_id,
        tie_word_embeddings=config.tied,
        **({} if config.rope_theta is None else {"rope_parameters": rope}),
    )
    whole = InternVLConfig(
        vision_config=vision.to_dict(),
        text_config=text.to_dict(),
        image_token_id=image_token_id,
        image_seq_length=config.tokens_per_frame,
        tie_word_embeddings=config.tied,
    )
    return InternVLForConditionalGeneration(whole)


def checkpoint_layers(model: nn.Module) -> None:
    """Switch activation checkpointing of a transformers model on, under its new name or its old one."""
    known = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
    enable = next(getattr(model, name) for name in known if hasattr(model, name))
    enable({"use_reentrant": False})


@dataclass(frozen=True, slots=True)
class Read:
    """What one pass gives.

    Attributes:
        hidden_BLD: last hidden states, after the final norm.
        seen: what the layer of the attention loss worked with, if it was asked for.
    """

    hidden_BLD: Tensor
    seen: SeenLayer | None

    @property
    def layer_input_BLD(self) -> Tensor | None:
        """Hidden states that go into that layer."""
        return None if self.seen is None else self.seen.input_BLD


class PackedReader(nn.Module, ABC):
    """The vision-language side as the rest of the model uses it; one final class per family of transformers.

    Attributes:
        image_token_id: id of the token that stands for a visual token.
        padding_id: id of padding.
    """

    image_token_id: int
    padding_id: int

    @property
    @abstractmethod
    def native(self) -> nn.Module:
        """The class of transformers, whose names a folder of weights has."""

    @property
    @abstractmethod
    def connector(self) -> nn.Module:
        """What turns patches of a frame into visual tokens (`mlp1` in the original code)."""

    @abstractmethod
    def visual_tokens(self, pixels_BFCSS: Tensor) -> Tensor:
        """Visual tokens (B, F, P, D) of frames, normalised by ImageNet mean and deviation."""

    @abstractmethod
    def places(self, ids_BL: Tensor, position_BL: Tensor, shown: int = 0) -> Tensor:
        """Position numbers as the language model wants them.

        Args:
            position_BL: numbers of the tokens, one after the other.
            shown: visual tokens that were read before these tokens.
        """

    @property
    def language_model(self) -> nn.Module:
        """The decoder layers, without the head."""
        layers: nn.Module = self.native.model.language_model
        return layers

    @property
    def embeddings(self) -> nn.Module:
        """What turns token ids into vectors."""
        table: nn.Module = self.native.get_input_embeddings()
        return table

    @property
    def head(self) -> nn.Module:
        """What scores the next token."""
        head: nn.Module = self.native.lm_head
        return head

    def checkpoint_activations(self) -> None:
        """Compute the inside of each decoder layer again in the backward pass instead of keeping it."""
        checkpoint_layers(self.language_model)

    def read(self, packed: Packed, visual_BFPD: Tensor, attention_layer: int | None = None) -> Read:
        """Hidden states of packed clips; `attention_layer` asks for what that layer worked with, too."""
        layers = [] if attention_layer is None else [self._layers()[attention_layer]]
        with watched(layers) as seen:
            hidden_BLD = self._pass(packed, visual_BFPD)
        return Read(hidden_BLD, seen[0] if seen else None)

    def read_layers(self, packed: Packed, visual_BFPD: Tensor) -> list[Read]:
        """One `Read` per layer, first to last, from a single pass: rows of every layer can be asked for."""
        with watched(self._layers()) as seen:
            hidden_BLD = self._pass(packed, visual_BFPD)
        return [Read(hidden_BLD, one) for one in seen]

    def _pass(self, packed: Packed, visual_BFPD: Tensor) -> Tensor:
        output = self.language_model(
            inputs_embeds=self.embed(packed.ids_BL, visual_BFPD),
            # Causal order alone is the fused kernel's own; padding comes last and is read by nobody.
            attention_mask=None if packed.plain else packed.attention_mask(),
            position_ids=self.places(packed.ids_BL, packed.position_BL),
            use_cache=False,
        )
        hidden_BLD: Tensor = output.last_hidden_state
        return hidden_BLD

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of the next token."""
        scores: Tensor = self.head(hidden)
        return scores

    def attention_rows(self, read: Read, layer: int, heads: Sequence[int], rows_R2: Tensor) -> Tensor:
        """Softmax attention (R, H, L) of chosen rows of one layer, without eager attention anywhere.

        Args:
            rows_R2: (clip, token) index pairs.
        """
        if read.seen is None or read.seen.attention is not self._layers()[layer].self_attn:
            raise ValueError("read() was not asked for this layer")
        return attention_rows(read.seen, heads, rows_R2)

    def embed(self, ids_BL: Tensor, visual_BFPD: Tensor) -> Tensor:
        """Vectors (B, L, D) of tokens, with the visual tokens in their places."""
        words = self.embeddings(ids_BL)
        here = (ids_BL == self.image_token_id)[..., None]
        return words.masked_scatter(here, visual_BFPD.to(words.dtype))

    def _layers(self) -> Sequence[nn.Module]:
        layers: Sequence[nn.Module] = self.language_model.layers
        return layers


@final
class VisionLanguage(PackedReader):
    """InternVL: reads packed clips. It answers questions in `generation.py`."""

    def __init__(
        self, config: VisionLanguageConfig, vocabulary: int, image_token_id: int, padding_id: int
    ) -> None:
        super().__init__()
        self.config = config
        self.image_token_id = image_token_id
        self.padding_id = padding_id
        self.internvl = build_internvl(config, vocabulary, image_token_id, padding_id)

    @property
    def native(self) -> nn.Module:
        model: nn.Module = self.internvl
        return model

    @property
    def connector(self) -> nn.Module:
        connector: nn.Module = self.internvl.model.multi_modal_projector
        return connector

    def visual_tokens(self, pixels_BFCSS: Tensor) -> Tensor:
        batch, frames = pixels_BFCSS.shape[:2]
        vision = self.internvl.model.config
        output = self.internvl.model.get_image_features(
            pixels_BFCSS.flatten(0, 1),
            vision_feature_layer=vision.vision_feature_layer,
            vision_feature_select_strategy=vision.vision_feature_select_strategy,
            return_dict=True,
        )
        tokens: Tensor = output.pooler_output
        return tokens.unflatten(0, (batch, frames))

    def places(self, ids_BL: Tensor, position_BL: Tensor, shown: int = 0) -> Tensor:
        return position_BL
