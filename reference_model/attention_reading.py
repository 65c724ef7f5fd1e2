"""What the role tokens of an answer attended to: every layer and head, read from the model's own words.

The model first answers as it always does. What it wrote is then read once more in one pass, in which
only the rows of its role tokens are computed beside the fused attention; the two give the same hidden
states (a test holds generation and reading together), so these are the rows of the real generation.

Legend of shape suffixes:
    Y layers   H heads   X visual tokens of all shown frames   L tokens   R rows (role tokens)
    F frames the language model sees   P visual tokens of a frame   D width   B clips (one)
    T frames of the clip   N objects   H, W source size   C colour channels
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.frames import FrameArray
from benchmark.types import Role
from reference_model.losses import attention_truth
from reference_model.model import Reviosa
from reference_model.predict import Answer, Predictor
from reference_model.training_data import TrainingClip
from reference_model.validate import measured_roles
from reference_model.vision_language import Packed, pack

EXPRESSIONS_AT_ONCE = 8  # bounds memory: the rows of all their tokens are held in every layer


@dataclass(frozen=True, slots=True)
class TokenAttention:
    """One role token that the model wrote, and where it looked.

    Attributes:
        clip: position of the clip among those analysed.
        expression: position of the expression in its clip.
        said: what the model wrote.
        vision_YH: share of the attention that falls on visual tokens.
        text_YH: share that falls on all other tokens; the two add up to one.
        mask_YH: share that falls on the visual tokens inside the truth of the role; `None` where the
            truth covers no cell of the shown frames, or the role has no truth.
        covered: share of the visual tokens that the truth covers: what attention spread evenly over
            the frames would put there; `None` as above.
        j_and_f: J&F of the role's track, 0 to 1; `None` when the role has no truth.
        maps_YHX: the attention to each visual token; `None` when it was not kept.
        truth_X: the truth on the grid of visual tokens, as the attention mask loss sees it.
    """

    clip: int
    expression: int
    text: str
    role: Role
    said: str
    vision_YH: NDArray[np.float32]
    text_YH: NDArray[np.float32]
    mask_YH: NDArray[np.float32] | None
    covered: float | None
    j_and_f: float | None
    maps_YHX: NDArray[np.float32] | None
    truth_X: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class WrittenRow:
    """Attention of one role token to visual tokens (Y, H, X), and to all others together (Y, H)."""

    expression: int
    role: Role
    vision_YHX: NDArray[np.float32]
    text_YH: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ClipAttention:
    """One clip as the analysis saw it.

    Attributes:
        shown: positions of the frames that the language model saw.
        tokens: the role tokens that were written, by expression, actor before target.
        expected: how many role tokens the truth asks for, by role.
        missing: how many of them were not written, by role.
    """

    shown: tuple[int, ...]
    tokens: tuple[TokenAttention, ...]
    expected: dict[Role, int]
    missing: dict[Role, int]


def read_clip(predictor: Predictor, clip: TrainingClip, number: int) -> ClipAttention:
    """Ask every expression of a clip and read the attention of the role tokens in the answers."""
    predictor.open_video(FrameArray(np.array(clip.frames_THWC)))
    answers = predictor.answer([one.text for one in clip.expressions])
    visual = predictor.visual_tokens()
    predictor.close_video()
    tokens: list[TokenAttention] = []
    for start in range(0, len(answers), EXPRESSIONS_AT_ONCE):
        chunk = range(start, min(start + EXPRESSIONS_AT_ONCE, len(answers)))
        asked = [(clip.expressions[one].text, answers[one].written) for one in chunk]
        for row in written_rows(predictor.model, visual, asked):
            expression = start + row.expression
            tokens.append(_token(predictor.model, clip, number, expression, answers[expression], row))
    written = {(one.expression, one.role) for one in tokens}
    return ClipAttention(
        shown=answers[0].frames_used,
        tokens=tuple(tokens),
        expected={role: len(_asking(clip, role)) for role in Role},
        missing={role: sum((one, role) not in written for one in _asking(clip, role)) for role in Role},
    )


def without_maps(read: ClipAttention) -> ClipAttention:
    """The same without the attention to single visual tokens, which is most of its size."""
    return replace(read, tokens=tuple(replace(one, maps_YHX=None) for one in read.tokens))


def _asking(clip: TrainingClip, role: Role) -> list[int]:
    """Positions of the expressions that have this role."""
    return [index for index, one in enumerate(clip.expressions) if role is Role.ACTOR or one.targets]


@torch.inference_mode()
def written_rows(
    model: Reviosa, visual_1FPD: Tensor, asked: Sequence[tuple[str, Sequence[int]]]
) -> list[WrittenRow]:
    """Attention of the first token of each role in each answer.

    Args:
        visual_1FPD: the visual tokens that the answers were given on.
        asked: expressions, and the token ids the model wrote to each.

    Returns:
        Rows by expression, actor before target; none for tokens that were not written.
    """
    language = model.vision_language
    prefix = model.frames_ids(visual_1FPD.shape[1])
    segments: list[list[int]] = []
    found: list[tuple[int, Role, int]] = []
    start = len(prefix)
    for number, (expression, written) in enumerate(asked):
        question = model.question_ids(expression)
        for role, token in zip(Role, model.role_ids, strict=True):
            if token in written:
                found.append((number, role, start + len(question) + list(written).index(token)))
        segments.append([*question, *written])
        start += len(segments[-1])
    if not found:
        return []
    device = visual_1FPD.device
    packed = pack(prefix, [segments], model.padding_id)
    packed = Packed(*(part.to(device) for part in (packed.ids_BL, packed.segment_BL, packed.position_BL)))
    rows_R2 = torch.tensor([(0, position) for _, _, position in found], device=device)
    at_visual_L = packed.ids_BL[0] == language.image_token_id
    heads = range(model.config.vision_language.heads)
    vision, text = [], []
    for layer, read in enumerate(language.read_layers(packed, visual_1FPD)):
        rows_RHL = language.attention_rows(read, layer, heads, rows_R2)
        vision.append(rows_RHL[..., at_visual_L].cpu())
        text.append(rows_RHL[..., ~at_visual_L].sum(-1).cpu())
    vision_RYHX, text_RYH = torch.stack(vision, 1).numpy(), torch.stack(text, 1).numpy()
    return [
        WrittenRow(number, role, vision_RYHX[row], text_RYH[row])
        for row, (number, role, _) in enumerate(found)
    ]


def _token(
    model: Reviosa, clip: TrainingClip, number: int, expression: int, answer: Answer, row: WrittenRow
) -> TokenAttention:
    said = clip.expressions[expression]
    objects = said.actors if row.role is Role.ACTOR else said.targets
    masks = torch.from_numpy(clip.masks_NTHW[list(objects)][:, list(answer.frames_used)].any(0))
    truth_X = attention_truth(masks.float(), model.config.vision_language.tokens_per_side).numpy() > 0
    scores = {one.role: one.score for one in measured_roles(clip, said, answer)}
    score = scores.get(row.role)
    inside = bool(truth_X.any())
    return TokenAttention(
        clip=number,
        expression=expression,
        text=said.text,
        role=row.role,
        said=answer.text,
        vision_YH=row.vision_YHX.sum(-1),
        text_YH=row.text_YH,
        mask_YH=row.vision_YHX[..., truth_X].sum(-1) if inside else None,
        covered=float(truth_X.mean()) if inside else None,
        j_and_f=None if score is None else (score.j + score.f) / 2,
        maps_YHX=row.vision_YHX,
        truth_X=truth_X,
    )
