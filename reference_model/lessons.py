"""What one training step computes in each kind of stage: a batch in, named loss terms out.

Legend of shape suffixes:
    B clips   K frames that masks are computed on   R roles (actor or target of an expression)
    M (frame, role) pairs   H, W source size   C prompt width, or colour channels   N objects
    T frames of a clip   F frames the language model sees   P visual tokens of a frame   X those of all clips
    L tokens   V words   D width of the language model   S side of a resized frame   h, w mask size
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from reference_model.config import (
    AnswerStyle,
    AttentionLayout,
    StageConfig,
    StageKind,
    TargetNorm,
    TaughtRoles,
    TrainingConfig,
)
from reference_model.losses import (
    attention_mask_loss,
    attention_mask_loss_by_role,
    attention_truth,
    dice_loss,
    mask_cross_entropy,
    mask_loss_of_roles,
    object_score_loss,
    official_attention_layout,
    prompt_regression,
    resized_logits,
    text_loss,
)
from reference_model.model import Reviosa, Taught
from reference_model.prompts import NamedObject, RoleAnswer
from reference_model.teacher import (
    LookWords,
    ObjectTeacher,
    VisualProbe,
    cell_labels,
    cell_moves,
    described_objects,
    partial_role_prompts,
    role_prompts,
)
from reference_model.training_data import Batch, TrainingClip, language_frame_indices, named_objects

Roles = list[list[tuple[int, ...]]]
"""For each clip, the objects of each role, by expression, actor before target."""


@dataclass(frozen=True, slots=True)
class RoleAverage:
    """How mask losses are averaged over actors and targets, and which of the roles are targets."""

    norm: TargetNorm
    target_R: Tensor


@dataclass(frozen=True, slots=True)
class Classroom:
    """The model that learns, and the aids that help it."""

    model: Reviosa
    teacher: ObjectTeacher
    probe: VisualProbe
    words: LookWords
    training: TrainingConfig

    def parameters(self, stage: StageConfig) -> list[nn.Parameter]:
        """The weights that a stage trains."""
        model = self.model
        if stage.kind is StageKind.VISION:
            internvl = model.vision_language.internvl.model
            chosen: list[nn.Module] = [internvl.vision_tower, internvl.multi_modal_projector, self.probe]
        elif stage.kind is StageKind.OBJECT_PROMPTS:
            chosen = [self.teacher, *([model.mask_decoder] if stage.train_mask_decoder else [])]
        elif stage.kind is StageKind.OBJECT_MEMORY:
            chosen = [model.mask_decoder]
        elif stage.kind is StageKind.LANGUAGE:
            chosen = [model.vision_language, model.projector, self.probe]
        else:
            chosen = [model.vision_language, model.projector] if stage.train_vision_language else []
            chosen += [model.mask_decoder] if stage.train_mask_decoder else []
        tower = model.vision_language.internvl.model.vision_tower
        frozen = set() if stage.train_vision_tower else set(tower.parameters())
        return [one for module in chosen for one in module.parameters() if one not in frozen]


def loss_terms(
    room: Classroom,
    stage: StageConfig,
    batch: Batch,
    progress: float,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """The loss terms of one step; `progress` is the share of the stage that is done."""
    if stage.kind is StageKind.VISION:
        return {"vision": room.probe.loss(*_probed(room, batch))}
    if stage.kind in (StageKind.OBJECT_PROMPTS, StageKind.OBJECT_MEMORY):
        roles, prompts = _object_prompts(room, stage, batch, rng, generator)
        if stage.kind is StageKind.OBJECT_PROMPTS:
            return _frame_masks(room.model, batch, roles, prompts)
        return _tracked_masks(room.model, stage, batch, roles, prompts, progress, rng)
    batch = _with_roles(batch, stage.taught)
    with torch.set_grad_enabled(stage.train_vision_language and torch.is_grad_enabled()):
        taught, roles = _taught(room, stage, batch)
        prompts = room.model.projector(taught.hidden_RD)
        terms = _language_terms(room, stage, batch, taught, roles, prompts)
    average = RoleAverage(room.training.target_norm, _targets(batch))
    if stage.kind is StageKind.JOINT:
        terms |= _frame_masks(room.model, batch, roles, prompts, average)
    elif stage.kind is StageKind.MEMORY:
        terms |= _tracked_masks(room.model, stage, batch, roles, prompts, progress, rng, average)
    return terms


def _probed(room: Classroom, batch: Batch) -> tuple[Tensor, Tensor]:
    visual = room.model.vision_language.visual_tokens(batch.language_pixels_BFCSS)
    return visual, _labels(room, batch)


def _labels(room: Classroom, batch: Batch) -> Tensor:
    side = room.model.config.vision_language.tokens_per_side
    return torch.stack(
        [
            cell_labels(masks, room.words.describe(clip), side)
            for masks, clip in zip(batch.language_masks, batch.clips, strict=True)
        ]
    )


def _motion_loss(room: Classroom, batch: Batch, taught: Taught) -> Tensor:
    if taught.read.layer_input_BLD is None:
        raise ValueError("motion is read from the layer of the attention loss, which was not asked for")
    side = room.model.config.vision_language.tokens_per_side
    moves, known = zip(*(cell_moves(masks, side) for masks in batch.language_masks), strict=True)
    at_visual = taught.packed.ids_BL == room.model.vision_language.image_token_id
    hidden_XD = taught.read.layer_input_BLD[at_visual]
    return room.probe.motion_loss(hidden_XD, torch.stack(moves).flatten(0, 2), torch.stack(known).flatten())


def probe_accuracy(room: Classroom, batch: Batch) -> list[float]:
    """How often visual tokens name colour, shape, texture and size right."""
    return room.probe.accuracy(*_probed(room, batch))


def _object_prompts(
    room: Classroom,
    stage: StageConfig,
    batch: Batch,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> tuple[Roles, Tensor]:
    roles = [_drawn_roles(rng, clip, stage.expressions) for clip in batch.clips]
    return roles, partial_role_prompts(room.teacher, _described(room, batch), roles, generator)


def _drawn_roles(rng: np.random.Generator, clip: TrainingClip, count: int) -> list[tuple[int, ...]]:
    """Single objects, and now and then the objects of a role that has several."""
    unions = [role for one in clip.expressions for role in one.roles if len(role) > 1]
    objects = len(clip.masks_NTHW)
    return [
        unions[rng.integers(len(unions))] if unions and rng.random() < 0.3 else (int(rng.integers(objects)),)
        for _ in range(count)
    ]


def _described(room: Classroom, batch: Batch) -> list[tuple[Tensor, Tensor]]:
    frames = room.model.config.frames
    return [
        described_objects(clip, room.words, language_frame_indices(len(clip.frames_THWC), frames))
        for clip in batch.clips
    ]


def _with_roles(batch: Batch, taught: TaughtRoles) -> Batch:
    """The batch as a stage teaches it: without targets, where those are not taught."""
    if taught is TaughtRoles.BOTH:
        return batch
    everybody = taught is TaughtRoles.NONE
    chosen = [
        [
            dataclasses.replace(one, actors=one.actors + (one.targets if everybody else ()), targets=())
            for one in expressions
        ]
        for expressions in batch.expressions
    ]
    return dataclasses.replace(batch, expressions=chosen)


def _taught(room: Classroom, stage: StageConfig, batch: Batch) -> tuple[Taught, Roles]:
    marked = stage.taught is not TaughtRoles.NONE
    answers = [
        [
            dataclasses.replace(known_answer(room.model, clip, one.actors, one.targets), marked=marked)
            for one in chosen
        ]
        for clip, chosen in zip(batch.clips, batch.expressions, strict=True)
    ]
    texts = [[one.text for one in chosen] for chosen in batch.expressions]
    wanted = stage.weights.attention or stage.weights.motion
    layer = room.training.attention_loss.layer if wanted else None
    roles = [[role for one in chosen for role in one.roles] for chosen in batch.expressions]
    return room.model.teach(batch.language_pixels_BFCSS, texts, answers, layer), roles


def known_answer(
    model: Reviosa, clip: TrainingClip, actors: Sequence[int], targets: Sequence[int]
) -> RoleAnswer:
    """The answer that training teaches for these objects."""
    if model.config.prompts.answer_style is AnswerStyle.PAPER:
        # Only how many roles there are is said, so that nothing needs to be known of the objects.
        someone = NamedObject("", "", 0.0, 0.0)
        return RoleAnswer((someone,), (someone,) if targets else ())
    shown = language_frame_indices(len(clip.frames_THWC), model.config.frames)
    objects = named_objects(clip, shown)
    return RoleAnswer(tuple(objects[i] for i in actors), tuple(objects[i] for i in targets))


def _language_terms(
    room: Classroom, stage: StageConfig, batch: Batch, taught: Taught, roles: Roles, prompts_RC: Tensor
) -> dict[str, Tensor]:
    terms, weights = {}, stage.weights
    if weights.text:
        terms["text"] = text_loss(taught.next_logits_LV, taught.next_ids_L)
    if weights.regression:
        with torch.no_grad():
            wanted = role_prompts(room.teacher, _described(room, batch), roles)
        terms["regression"] = prompt_regression(prompts_RC, wanted)
    if weights.attention:
        config = room.training.attention_loss
        attention = room.model.visual_attention(taught, config.layer, config.heads)
        side = room.model.config.vision_language.tokens_per_side
        truth = attention_truths(batch, side, config.layout)
        if config.by_role:
            terms["attention"] = attention_mask_loss_by_role(
                attention, truth, _clip_of_role(roles), _targets(batch)
            )
        else:
            terms["attention"] = attention_mask_loss(attention, truth)
    if weights.vision:
        terms["vision"] = room.probe.loss(taught.visual_BFPD, _labels(room, batch))
    if weights.motion:
        terms["motion"] = _motion_loss(room, batch, taught)
    return terms


def attention_truths(batch: Batch, side: int, layout: AttentionLayout) -> Tensor:
    """What each role token should attend to (R, X), by clip, then expression, actor before target."""
    truth = []
    for masks, chosen in zip(batch.language_masks, batch.expressions, strict=True):
        actors = _attention_grids(masks, [one.actors for one in chosen], side)
        targets = _attention_grids(masks, [one.targets for one in chosen], side)
        if layout is AttentionLayout.OFFICIAL:
            actors = official_attention_layout(actors, masks.shape[1])
            targets = official_attention_layout(targets, masks.shape[1])
        for number, one in enumerate(chosen):
            truth += [actors[number], targets[number]] if one.targets else [actors[number]]
    return torch.stack(truth)


def _attention_grids(masks_NFHW: Tensor, objects: Sequence[tuple[int, ...]], side: int) -> Tensor:
    """Masks (E, X) of the objects of each expression on the grid of visual tokens; blank where none."""
    nothing = torch.zeros_like(masks_NFHW[0])
    unions = [masks_NFHW[list(one)].amax(0) if one else nothing for one in objects]
    return torch.stack([attention_truth(one, side) for one in unions])


def _targets(batch: Batch) -> Tensor:
    """Which roles (R,) are targets."""
    return torch.tensor(
        [part > 0 for chosen in batch.expressions for one in chosen for part in range(len(one.roles))]
    )


def _frame_masks(
    model: Reviosa, batch: Batch, roles: Roles, prompts_RC: Tensor, average: RoleAverage | None = None
) -> dict[str, Tensor]:
    frames = batch.mask_pixels_BKCSS.shape[1]
    levels = model.mask_decoder.encode(batch.mask_pixels_BKCSS.flatten(0, 1))
    clip_R = _clip_of_role(roles)
    frame_RK = clip_R[:, None] * frames + torch.arange(frames)
    prompts = prompts_RC[:, None].expand(-1, frames, -1).flatten(0, 1)
    decoded = model.mask_decoder.segment_frames(levels, frame_RK.flatten(), prompts)
    truth_MHW = _role_truth(batch.masks, roles).flatten(0, 1)
    return _mask_terms(decoded.logits_Mhw, decoded.object_score_M, truth_MHW, average)


def _tracked_masks(
    model: Reviosa,
    stage: StageConfig,
    batch: Batch,
    roles: Roles,
    prompts_RC: Tensor,
    progress: float,
    rng: np.random.Generator,
    average: RoleAverage | None = None,
) -> dict[str, Tensor]:
    shape = batch.mask_pixels_BKCSS.shape
    levels = model.mask_decoder.encode(batch.mask_pixels_BKCSS.flatten(0, 1))
    clips = [level.unflatten(0, shape[:2]) for level in levels]
    # Memory is learnt while prompts on the frames that read it become fewer, over half of the stage.
    share = max(stage.kept_prompts, 1 - 2 * progress)
    helped = [frame for frame in range(shape[1]) if rng.random() < share]
    tracked = model.mask_decoder.track(
        lambda frames: [level[:, list(frames)] for level in clips],
        shape[1],
        _clip_of_role(roles),
        prompts_RC,
        batch.conditioning,
        also_prompted=[frame for frame in helped if frame not in batch.conditioning],
    )
    truth_MHW = _role_truth(batch.masks, roles).flatten(0, 1)
    return _mask_terms(
        tracked.logits_NThw.flatten(0, 1), tracked.object_score_NT.flatten(), truth_MHW, average
    )


def _mask_terms(
    logits_Mhw: Tensor, scores_M: Tensor, truth_MHW: Tensor, average: RoleAverage | None
) -> dict[str, Tensor]:
    """The terms of all masks, role after role; without `average` all masks are alike."""
    logits = resized_logits(logits_Mhw, *truth_MHW.shape[1:])
    norm = TargetNorm.CORRECT if average is None else average.norm
    target_M = torch.zeros(len(truth_MHW), dtype=torch.bool)
    if average is not None:
        target_M = average.target_R.repeat_interleave(len(truth_MHW) // len(average.target_R))
    return {
        "mask_ce": mask_loss_of_roles(mask_cross_entropy, logits, truth_MHW, target_M, norm),
        "mask_dice": mask_loss_of_roles(dice_loss, logits, truth_MHW, target_M, norm),
        "object_score": object_score_loss(scores_M, truth_MHW),
    }


def _clip_of_role(roles: Roles) -> Tensor:
    return torch.tensor([clip for clip, chosen in enumerate(roles) for _ in chosen])


def _role_truth(masks: list[Tensor], roles: Roles) -> Tensor:
    """Union (R, K, H, W) of the objects of each role."""
    return torch.stack(
        [one[list(role)].amax(0) for one, chosen in zip(masks, roles, strict=True) for role in chosen]
    )
