"""Everything that defines a ReVIOSa model and its training, as frozen dataclasses that go to JSON and back.

One `Recipe` is saved whole beside every checkpoint: the model, the data, the losses, the stages. Sizes
differ between recipes, code does not.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from benchmark.errors import CheckpointError
from reference_model.tuning_config import TuningConfig

Config = TypeVar("Config")


class FramePolicy(enum.StrEnum):
    """Which frames of a clip the language model sees; the prompt is put on the same frames."""

    UNIFORM = "uniform"  # spread evenly from the first frame to the last
    FIRST = "first"  # the first ones, as the official inference does


class Resize(enum.StrEnum):
    """How a frame becomes the square that a model sees; the aspect ratio is not kept."""

    BILINEAR = "bilinear"  # antialiased, on float values
    BICUBIC = "bicubic"  # Pillow's, rounded to whole values (what the released models were trained on)


class AnswerStyle(enum.StrEnum):
    """What the model says before a segmentation token."""

    PAPER = "paper"  # "it is [SEG_ACT] and [SEG_TAR]"
    GROUNDED = "grounded"  # names colour and shape, and where it is, before each token


class TaughtRoles(enum.StrEnum):
    """Whose names and tokens the answers of a stage hold."""

    BOTH = "both"  # the actor and, where there is one, the target
    ACTOR = "actor"  # the actor alone, as a model with a single segmentation token
    NONE = "none"  # everybody in the sentence, from left to right, without tokens and roles


class StageKind(enum.StrEnum):
    """What one stage of training teaches."""

    VISION = "vision"  # the vision tower names what lies under each visual token
    OBJECT_PROMPTS = "object_prompts"  # the mask decoder follows prompts of a teacher that knows the objects
    OBJECT_MEMORY = "object_memory"  # the same through memory propagation; the teacher stays as it is
    LANGUAGE = "language"  # the language model answers, and its tokens match the teacher's prompts
    JOINT = "joint"  # masks through the language model's own tokens, frame by frame
    MEMORY = "memory"  # the same through memory propagation over many frames


class AttentionLayout(enum.StrEnum):
    """How the true masks of the attention mask loss are laid out over expressions and frames."""

    CORRECT = "correct"  # each expression against its own masks, frame by frame
    OFFICIAL = "official"  # frames and expressions of a clip mixed up, as the official code does


class TargetNorm(enum.StrEnum):
    """How the mask losses of actors and targets are averaged and added."""

    CORRECT = "correct"  # one mean over the masks of all roles that there are
    PAPER = "paper"  # mean over actors plus mean over the targets that there are (eq. 7)
    OFFICIAL = "official"  # mean over actors plus mean over one target per expression, blank where none is


class LanguageFamily(enum.StrEnum):
    """Which class of transformers the vision-language side is."""

    INTERNVL = "internvl"
    QWEN2_5_VL = "qwen2_5_vl"


@dataclass(frozen=True, slots=True)
class VisionLanguageConfig:
    """Sizes of the InternVL part: vision tower, pixel shuffle, projector, Qwen2 language model."""

    image_size: int  # frames are resized to a square of this side, aspect ratio not kept
    patch_size: int
    vision_layers: int
    vision_width: int
    vision_heads: int
    layers: int
    width: int
    heads: int
    key_value_heads: int
    mlp_ratio: int = 2
    initializer_range: float = 0.02
    layer_scale: float = 0.1  # initial value of the vision tower's layer scale
    max_positions: int = 4096
    # What pretrained models differ in; `None` means that the sizes above say it.
    vision_feed_forward: int | None = None
    feed_forward: int | None = None
    vision_bias: bool = False  # the vision tower's query, key and value projections have biases
    rope_theta: float | None = None  # base of the rotary position encoding; `None`: that of transformers
    tied: bool = True  # one matrix embeds words and scores them
    vocabulary: int | None = None  # rows of that matrix; `None`: as many as the tokenizer has words
    family: LanguageFamily = LanguageFamily.INTERNVL

    @property
    def tokens_per_side(self) -> int:
        """Visual tokens along one side of a frame, after 2x2 pixel shuffle."""
        return self.image_size // self.patch_size // 2

    @property
    def tokens_per_frame(self) -> int:
        """Visual tokens of one frame."""
        return self.tokens_per_side**2


@dataclass(frozen=True, slots=True)
class MaskDecoderConfig:
    """Sizes of the SAM2 part and the rules of its memory."""

    image_size: int
    width: int = 256  # a multiple of 64, at least 128
    trunk_width: int = 96
    blocks: tuple[int, int, int, int] = (1, 2, 7, 2)
    window_sizes: tuple[int, int, int, int] = (8, 4, 14, 7)
    feed_forward: int = 2048
    memory_layers: int = 4
    memory_frames: int = 7  # conditioning slot + previous frames
    mask_channels: int = 16
    fuser_ratio: int = 4
    fuser_scale: float = 1e-6  # initial layer scale of the memory fuser
    max_pointers: int = 16
    initializer_range: float = 0.02
    multimask: bool = False  # three candidate masks, the best by predicted IoU (the official choice)
    hide_absent: bool = True  # no mask on frames whose object score is negative (official: off)
    trunk_heads: int | None = None  # heads of the first stage, doubled in each; `None`: 16 channels a head
    global_blocks: tuple[int, ...] | None = None  # blocks without windows; `None`: the last of stage three
    background_side: int = 7  # side of the grid of learnt positions
    pointer_times: bool = True  # object pointers say how long ago they were (SAM2.1; 2.0 has no such weights)
    absent_memory: bool = True  # memory of frames without the object is marked (SAM2.1; not in 2.0)


@dataclass(frozen=True, slots=True)
class TokenNames:
    """Special tokens; the released checkpoints call the two roles [SEG] and [SEG_OBJ]."""

    actor: str = "[SEG_ACT]"
    target: str = "[SEG_TAR]"
    image_start: str = "<img>"
    image_end: str = "</img>"
    image: str = "<IMG_CONTEXT>"
    turn_start: str = "<|im_start|>"
    turn_end: str = "<|im_end|>"
    padding: str = "<pad>"
    unknown: str = "<unk>"


@dataclass(frozen=True, slots=True)
class PromptConfig:
    """The words around an expression."""

    question: str  # holds {expression}
    answer_style: AnswerStyle = AnswerStyle.PAPER
    label_frames: bool = False  # "frame 1 :" before the visual tokens of each frame
    place_cells: int = 5  # a grounded answer names the place on a grid of this many cells a side
    max_question_tokens: int = 256  # a longer expression is cut
    max_answer_tokens: int = 32
    before_frames: str = ""  # what a chat template puts first
    between_frames: str = ""
    stop_text: str | None = None  # ends an answer, too, where the end of a turn is not one token


@dataclass(frozen=True, slots=True)
class FrameConfig:
    """Which frames go where."""

    language_frames: int = 5
    policy: FramePolicy = FramePolicy.FIRST
    prompt_every_frame: bool = False  # the prompt also goes on frames that read memory (official: off)
    encode_chunk: int = 8  # frames of a video whose image features are computed at once
    resize: Resize = Resize.BILINEAR


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The whole architecture."""

    vision_language: VisionLanguageConfig
    mask_decoder: MaskDecoderConfig
    prompts: PromptConfig
    frames: FrameConfig
    tokens: TokenNames = TokenNames()


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weights of the loss terms of one stage; zero switches a term off.

    The paper's equation has no weights; the official code uses 2 for mask CE and 0.5 for dice.
    """

    text: float = 1.0
    mask_ce: float = 2.0
    mask_dice: float = 0.5
    attention: float = 1.0  # attention mask loss (AML)
    regression: float = 0.0  # distance of a token's prompt to the teacher's
    object_score: float = 0.0  # is the object visible in this frame
    vision: float = 0.0  # visual tokens name what lies under them
    motion: float = 0.0  # inside the language model, visual tokens tell how what lies under them moves


@dataclass(frozen=True, slots=True)
class AttentionLossConfig:
    """Which attention rows the attention mask loss reads (the official 1B: layer 22, heads 5 7 10 11)."""

    layer: int
    heads: tuple[int, ...]
    layout: AttentionLayout = AttentionLayout.CORRECT
    by_role: bool = False  # actor mean plus target mean of each clip (official); otherwise one mean over all


@dataclass(frozen=True, slots=True)
class StageConfig:
    """One stage of training."""

    name: str
    kind: StageKind
    steps: int
    clips: int  # clips per step
    expressions: int  # expressions per clip and step
    learning_rate: float
    weights: LossWeights
    frames: int = 1  # frames per clip that masks are computed on
    # Share of the frames that read memory which get the prompt, too; it falls from 1 to this.
    kept_prompts: float = 0.0
    train_vision_language: bool = True
    train_vision_tower: bool = True  # the paper keeps it frozen; a model from nothing cannot
    train_mask_decoder: bool = True
    taught: TaughtRoles = TaughtRoles.BOTH
    warmup_steps: int = 50
    final_rate: float = 0.05  # share of the learning rate that is left at the end
    clip_gradient: float = 1.0


@dataclass(frozen=True, slots=True)
class OptimizerConfig:
    """AdamW; weight decay only on matrices."""

    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.05


@dataclass(frozen=True, slots=True)
class DataConfig:
    """What is trained on."""

    dataset: str
    split: str
    clips: int | None = None  # the first so many; `None` means all
    held_back: int = 32  # clips at the end of the split that measure progress and are not trained on
    mirror: bool = True  # half of the clips are flipped left to right


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How the model is trained."""

    data: DataConfig
    optimizer: OptimizerConfig
    attention_loss: AttentionLossConfig
    stages: tuple[StageConfig, ...]
    log_every: int = 20
    target_norm: TargetNorm = TargetNorm.CORRECT
    tuning: TuningConfig | None = None  # training on pretrained weights, without stages


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model and its training under one name."""

    name: str
    model: ModelConfig
    training: TrainingConfig


def to_json(config: Any) -> str:
    """Readable JSON of a config."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_mapping(kind: type[Config], data: Any, where: str = "") -> Config:
    """A config from parsed JSON, with every field checked by name and type.

    Raises:
        CheckpointError: unknown or missing fields, or a value of another type; names the path to it.
    """
    value: Config = _read(kind, data, where or kind.__name__)
    return value


def _read(kind: Any, data: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, data, where)
    if origin in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(kind) if member is not type(None)]
        return None if data is None else _read(members[0], data, where)
    if origin is tuple:
        members = typing.get_args(kind)
        if not isinstance(data, list | tuple):
            raise _wrong_type(where, "a list", data)
        repeated = len(members) == 2 and members[1] is Ellipsis
        if not repeated and len(members) != len(data):
            raise _wrong_type(where, f"{len(members)} values", data)
        each = [members[0]] * len(data) if repeated else members
        return tuple(
            _read(one, item, f"{where}[{i}]") for i, (one, item) in enumerate(zip(each, data, strict=True))
        )
    if isinstance(kind, type) and issubclass(kind, enum.StrEnum):
        if data not in list(kind):
            raise _wrong_type(where, " or ".join(kind), data)
        return kind(data)
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, kind) or (kind is not bool and isinstance(data, bool)):
        raise _wrong_type(where, kind.__name__, data)
    return data


def _read_dataclass(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, Mapping):
        raise _wrong_type(where, "an object", data)
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(data) - set(fields))
    required = {
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    missing = sorted(required - set(data))
    if unknown or missing:
        raise CheckpointError(
            "configuration does not fit this version",
            where=where,
            expected=f"fields {', '.join(fields)}",
            found=f"unknown {unknown}, missing {missing}",
            fix="use the version that wrote the checkpoint",
        )
    return kind(**{name: _read(hints[name], value, f"{where}.{name}") for name, value in data.items()})


def _wrong_type(where: str, expected: str, data: Any) -> CheckpointError:
    return CheckpointError("wrong value in a configuration", where=where, expected=expected, found=repr(data))
