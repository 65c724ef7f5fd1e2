"""Everything that defines a fine-tuning on pretrained weights: data, texts, LoRA, schedule.

`config.TrainingConfig.tuning` holds one of these where a recipe begins with pretrained halves, or trains
small models by the very same code. Recipes without it train in stages (`tiny`).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class TurnLayout(enum.StrEnum):
    """What a question can read of the other questions about the same clip."""

    CONVERSATION = "conversation"  # all turns before it, as the official code trains
    INDEPENDENT = "independent"  # nothing: each reads the frames and itself, as at test


class Precision(enum.StrEnum):
    """Numbers that matrix products are computed in; trained weights are float32 in either case."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"  # autocast; frozen weights are stored so, too


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """Low-rank matrices beside every linear layer of the language model but the head."""

    rank: int = 128
    alpha: int = 256
    dropout: float = 0.05

    @property
    def scale(self) -> float:
        """What their product is multiplied with."""
        return self.alpha / self.rank


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """The words around a turn. The end of an answer is taught; the separator behind it is not."""

    user: str
    assistant: str
    end: str
    separator: str = "\n"


@dataclass(frozen=True, slots=True)
class MixPart:
    """One dataset of the mix."""

    dataset: str
    split: str = "train"
    repeats: int = 1  # how often each clip comes in one epoch
    postfix: bool = False  # questions ask for separate masks of subject and object
    interactions_first: bool = False  # one expression with a target comes first, where the clip has one


@dataclass(frozen=True, slots=True)
class TuningWeights:
    """Weights of the loss terms. The paper's equation has none; these are the official code's."""

    text: float = 1.0
    mask_ce: float = 2.0
    mask_dice: float = 0.5
    attention: float = 1.0  # zero switches the attention mask loss off


@dataclass(frozen=True, slots=True)
class TuningConfig:
    """One fine-tuning.

    Steps do not depend on how many processes share the work: `videos_per_step` are divided among them, and
    what does not fit into `videos_per_pass` is accumulated.
    """

    mix: tuple[MixPart, ...]
    chat: ChatTemplate
    pretrained: bool  # whether the recipe needs the weights of the two halves
    target_token: bool = True  # answers hold the target token; without it there is one token for all
    lora: LoraConfig = LoraConfig()
    weights: TuningWeights = TuningWeights()
    turns: TurnLayout = TurnLayout.CONVERSATION
    precision: Precision = Precision.BFLOAT16
    checkpoint_activations: bool = True
    frames: int = 4  # per clip, drawn at random, each decoded by itself
    expressions: int = 5  # per clip
    epochs: int = 10
    videos_per_step: int = 32
    videos_per_pass: int = 2
    learning_rate: float = 4e-5
    warmup_share: float = 0.05
    warmup_start: float = 1e-5  # share of the learning rate in the first step
    clip_gradient: float = 1.0
    points: int | None = 12_544  # sampled in each mask for the mask losses; `None`: every pixel
    most_tokens: int = 8192  # of one conversation
    most_skipped: int = 50  # samples that may be left out (unreadable, not finite, spikes) before it stops
    spike: float = 10.0  # a loss above this many times the median of the last ones is a spike
