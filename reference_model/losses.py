"""The loss terms. Each is a plain function of tensors; the weights are in the recipe.

Legend of shape suffixes:
    M mask slots (role x frame)   H, W size of the truth   h, w size of the decoder's output
    R rows (special tokens)   A attention heads   X visual tokens of all frames   L tokens   V words
    E expressions of one clip   F frames   C width of a prompt
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from reference_model.config import TargetNorm

MaskLoss = Callable[[Tensor, Tensor], Tensor]
"""Mean over masks of a loss of logits (M, H, W) against truth (M, H, W)."""


def resized_logits(logits_Mhw: Tensor, height: int, width: int) -> Tensor:
    """Mask logits at another size, bilinear, corners not aligned (as SAM2 does)."""
    return F.interpolate(logits_Mhw[:, None], (height, width), mode="bilinear", align_corners=False)[:, 0]


def mask_cross_entropy(logits_MHW: Tensor, truth_MHW: Tensor) -> Tensor:
    """Mean binary cross entropy over all pixels of all masks."""
    return F.binary_cross_entropy_with_logits(logits_MHW, truth_MHW)


def dice_loss(logits_MHW: Tensor, truth_MHW: Tensor) -> Tensor:
    """Mean over masks of 1 - (2 sum(pg) + 1) / (sum(p) + sum(g) + 1).

    Source: naive dice of the official code (interaction-aware RVOS, losses as coded), eps 1.
    """
    probability = logits_MHW.sigmoid()
    overlap = (probability * truth_MHW).sum((-1, -2))
    total = probability.sum((-1, -2)) + truth_MHW.sum((-1, -2))
    return (1 - (2 * overlap + 1) / (total + 1)).mean()


def mask_loss_of_roles(
    loss: MaskLoss, logits_MHW: Tensor, truth_MHW: Tensor, target_M: Tensor, norm: TargetNorm
) -> Tensor:
    """A mask loss over actors and targets, averaged and added as `norm` says.

    The official code keeps a slot for the target of every expression, and where there is none it puts
    zero logits and an empty truth into it. So with a share v of expressions that have a target, the target
    term is v times its mean, plus (1 - v) times the loss of such a blank: a constant that teaches nothing,
    while the targets' gradients are scaled by v. Without any target there is no target term.

    Args:
        target_M: which masks are targets; every expression has the same number of actor masks (frames).
    """
    if norm is TargetNorm.CORRECT:
        return loss(logits_MHW, truth_MHW)
    actors = loss(logits_MHW[~target_M], truth_MHW[~target_M])
    if not target_M.any():
        return actors
    targets = loss(logits_MHW[target_M], truth_MHW[target_M])
    if norm is TargetNorm.PAPER:
        return actors + targets
    share = target_M.sum() / (~target_M).sum()
    blank = torch.zeros_like(truth_MHW[:1])
    return actors + share * targets + (1 - share) * loss(blank, blank)


def text_loss(logits_LV: Tensor, next_ids_L: Tensor) -> Tensor:
    """Mean cross entropy of the answer tokens."""
    return F.cross_entropy(logits_LV, next_ids_L)


def attention_truth(masks_FHW: Tensor, side: int) -> Tensor:
    """What a token should attend to: its role's mask on the grid of visual tokens, flat (X,).

    Nearest sampling at cell centres, frame after frame and row after row: the order of the visual
    tokens in the prompt.
    """
    return F.interpolate(masks_FHW[:, None], (side, side), mode="nearest-exact").flatten()


def official_attention_layout(truth_EX: Tensor, frames: int) -> Tensor:
    """The same masks as the official code hands them out: frames and expressions mixed up.

    It stores the masks of a clip by frame, then expression, and reads them by expression, then frame: slot
    (e, j) gets frame (e F + j) // E of expression (e F + j) % E. With five expressions and four frames
    two slots of twenty are right. Released weights were presumably trained like this.
    """
    by_frame = truth_EX.unflatten(1, (frames, -1)).transpose(0, 1)
    return by_frame.reshape(truth_EX.shape)


def attention_mask_loss(attention_RAX: Tensor, truth_RX: Tensor) -> Tensor:
    """AML: binary cross entropy between softmax attention over the whole sequence and the mask.

    Mean over rows, heads and visual tokens. Source: paper, section 4.3, eq. 6.
    """
    truth = truth_RX[:, None].expand_as(attention_RAX)
    return F.binary_cross_entropy(attention_RAX.float().clamp(0, 1), truth.float())


def attention_mask_loss_by_role(
    attention_RAX: Tensor, truth_RX: Tensor, clip_R: Tensor, target_R: Tensor
) -> Tensor:
    """AML as the official code adds it up: actor mean plus target mean in each clip, mean over clips."""
    clips = [clip_R == clip for clip in clip_R.unique()]
    terms = [
        attention_mask_loss(attention_RAX[here & role], truth_RX[here & role])
        for here in clips
        for role in (target_R, ~target_R)
        if bool((here & role).any())
    ]
    return torch.stack(terms).sum() / len(clips)


def prompt_regression(prompts_RC: Tensor, teacher_RC: Tensor) -> Tensor:
    """Squared distance to the teacher's prompts, in units of their spread (1 = no better than the mean)."""
    spread = teacher_RC.var(0, unbiased=False).mean().clamp(min=1e-6) if len(teacher_RC) > 1 else 1.0
    return (prompts_RC - teacher_RC).square().mean() / spread


def object_score_loss(scores_M: Tensor, truth_MHW: Tensor) -> Tensor:
    """Binary cross entropy of "the object has a pixel in this frame"."""
    return F.binary_cross_entropy_with_logits(scores_M, truth_MHW.flatten(1).amax(1).gt(0).to(scores_M))


def total_loss(terms: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """Weighted sum of the terms that are there."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()
