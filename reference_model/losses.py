"""The loss terms. Each is a plain function of tensors; the weights are in the recipe.

Legend of shape suffixes:
    M mask slots (role x frame)   H, W size of the truth   h, w size of the decoder's output
    R rows (special tokens)   A attention heads   X visual tokens of all frames   L tokens   V words
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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


def text_loss(logits_LV: Tensor, next_ids_L: Tensor) -> Tensor:
    """Mean cross entropy of the answer tokens."""
    return F.cross_entropy(logits_LV, next_ids_L)


def attention_truth(masks_FHW: Tensor, side: int) -> Tensor:
    """What a token should attend to: its role's mask on the grid of visual tokens, flat (X,).

    Nearest sampling at cell centres, frame after frame and row after row: the order of the visual
    tokens in the prompt. (The official code mixes up frames and expressions in this layout.)
    """
    return F.interpolate(masks_FHW[:, None], (side, side), mode="nearest-exact").flatten()


def attention_mask_loss(attention_RAX: Tensor, truth_RX: Tensor) -> Tensor:
    """AML: binary cross entropy between softmax attention over the whole sequence and the mask.

    Mean over rows, heads and visual tokens. Source: paper, section 4.3, eq. 6.
    """
    truth = truth_RX[:, None].expand_as(attention_RAX)
    return F.binary_cross_entropy(attention_RAX.float().clamp(0, 1), truth.float())


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
