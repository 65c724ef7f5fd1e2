"""How a model is asked: every choice that inference makes, under one name each, and two whole sets of them.

`official` is the released pipeline, step by step; `default` is what this project recommends. Each field
says what the released code does; any of them can be changed alone (`--set name=value`).

Source of `official`: cvlab-kaist/InterRVOS at 14c261e, `ReVIOSa/model/hf/models/modeling_reviosa_chat.py`
(`predict_forward`) and `sam2.py` beside it, `ReVIOSa/model/evaluation/dataset/refVOS.py`.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.errors import UsageError
from reference_model.config import FramePolicy, ModelConfig

OFFICIAL_ANSWER_TOKENS = 2048


class InferenceMode(enum.StrEnum):
    """Whole sets of choices."""

    OFFICIAL = "official"
    DEFAULT = "default"


class Propagation(enum.StrEnum):
    """In which order the frames between prompted frames are reached, and so what they remember."""

    FORWARD = "forward"  # from the first frame to the last
    BOTH_WAYS = "both-ways"  # each frame from the nearest prompted frame, forwards or backwards


@dataclass(frozen=True, slots=True)
class InferenceOptions:
    """All choices of inference. The comment says what the released code does where it differs."""

    language_frames: int  # frames that the language model sees; prompts are put on the same frames
    frame_policy: FramePolicy = FramePolicy.UNIFORM  # official: the first ones
    prompt_every_frame: bool = False  # the prompt also goes on frames that read memory
    propagation: Propagation = Propagation.BOTH_WAYS  # official: forward
    one_session: bool = True  # all roles and expressions are followed at once; official: one by one
    shared_prefix: bool = True  # expressions share the frames, which are read once; official: no
    rounded_pixels: bool = False  # SAM2's mean and deviation are rounded to bfloat16; official: yes
    rounded_memory: bool = False  # memory is kept in bfloat16 whatever the model computes in; official: yes
    two_steps: bool = False  # masks grow to SAM2's input size, then to the frame's; official: yes
    hide_absent: bool = False  # no mask where the object score says that the object is not there
    keep_question_marks: bool = False  # official: only full stops are taken out of an expression
    cut_questions: bool = True  # a very long expression is cut; official: never
    answer_tokens: int = 64  # an answer is cut after so many; official: 2048
    drop_last_token: bool = False  # the last token of an answer that was cut never counts; official: yes
    padding_ends: bool = False  # the padding token ends an answer, too; official: yes, where a token does
    encode_chunk: int = 8  # frames of SAM2 in one pass of the image encoder; official: 1
    features_kept: int = 64  # frames whose image features stay in memory (one_session only)
    objects_at_once: int = 32  # more objects than these are followed in turns


def options_for(mode: InferenceMode | str, model: ModelConfig) -> InferenceOptions:
    """The choices of a mode for a model.

    Raises:
        UsageError: when there is no such mode.
    """
    if mode not in list(InferenceMode):
        raise UsageError("unknown mode of inference", expected=" or ".join(InferenceMode), found=repr(mode))
    return official_options(model) if mode == InferenceMode.OFFICIAL else default_options(model)


def official_options(model: ModelConfig) -> InferenceOptions:
    """The released pipeline. A model of ours that was trained otherwise is asked this way all the same."""
    return InferenceOptions(
        language_frames=model.frames.language_frames,
        frame_policy=FramePolicy.FIRST,
        propagation=Propagation.FORWARD,
        one_session=False,
        shared_prefix=False,
        rounded_pixels=True,
        rounded_memory=True,
        two_steps=True,
        keep_question_marks=True,
        cut_questions=False,
        answer_tokens=OFFICIAL_ANSWER_TOKENS,
        drop_last_token=True,
        padding_ends=model.prompts.stop_text is None,
        encode_chunk=1,
        features_kept=1,
    )


def default_options(model: ModelConfig) -> InferenceOptions:
    """What is recommended: uniform frames, everything of a video once, expressions together.

    A model that was trained with the prompt on every frame keeps it, and reads memory forwards only.
    """
    every = model.frames.prompt_every_frame
    return InferenceOptions(
        language_frames=model.frames.language_frames,
        prompt_every_frame=every,
        propagation=Propagation.FORWARD if every else Propagation.BOTH_WAYS,
        hide_absent=model.mask_decoder.hide_absent,
        answer_tokens=model.prompts.max_answer_tokens,
        encode_chunk=model.frames.encode_chunk,
        features_kept=8 * model.frames.encode_chunk,
    )


def with_changes(options: InferenceOptions, changes: Sequence[str]) -> InferenceOptions:
    """Options with some of them set by text, as in `propagation=forward`.

    Raises:
        UsageError: for an unknown name or a value that is none of this option.
    """
    fields = {field.name for field in dataclasses.fields(options)}
    wanted: dict[str, Any] = {}
    for text in changes:
        name, separator, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not separator or name not in fields:
            raise UsageError(
                "unknown option of inference",
                where=f"--set {text}",
                expected=f"NAME=VALUE with a name of {', '.join(sorted(fields))}",
            )
        wanted[name] = _read(value.strip(), getattr(options, name), text)
    return dataclasses.replace(options, **wanted)


def _read(value: str, now: Any, text: str) -> Any:
    """A value of the type that the option has now."""
    if isinstance(now, bool):
        words = {"true": True, "yes": True, "false": False, "no": False}
        if value.lower() in words:
            return words[value.lower()]
        raise UsageError("not a truth value", where=f"--set {text}", expected="true or false")
    if isinstance(now, enum.StrEnum):
        if value in list(type(now)):
            return type(now)(value)
        raise UsageError("unknown value", where=f"--set {text}", expected=" or ".join(type(now)))
    if not value.isdecimal() or int(value) < 1:
        raise UsageError("not a whole number above 0", where=f"--set {text}")
    return int(value)
