"""What one pass of a fine-tuning computes: a batch of conversations in, loss terms out.

Legend of shape suffixes:
    B clips   E expressions of a clip   F frames   R role tokens   M (role token, frame) pairs
    D width of the language model   h, w mask size   X visual tokens of all frames   A attention heads
    L tokens   N taught tokens   V words   S side of a resized frame   C colour channels, or prompt width
"""

from __future__ import annotations

from dataclasses import asdict

import torch
from torch import Tensor, nn

from reference_model.config import AttentionLayout, TrainingConfig
from reference_model.conversation_batches import ConversationBatch, normalised
from reference_model.losses import (
    attention_mask_loss,
    attention_mask_loss_by_role,
    attention_truth,
    dice_loss,
    mask_cross_entropy,
    mask_loss_of_roles,
    official_attention_layout,
    text_loss,
    total_loss,
)
from reference_model.model import Reviosa, Taught
from reference_model.point_sampling import sampled_points
from reference_model.tuning_config import Precision


class TuningModel(nn.Module):
    """The model with its losses: the module that is shared among processes.

    `forward` gives the terms of `TuningWeights` under their names, and their weighted sum as "loss".
    """

    def __init__(self, model: Reviosa, training: TrainingConfig) -> None:
        super().__init__()
        if training.tuning is None:
            raise ValueError("the recipe has no fine-tuning")
        self.model = model
        self.training_config = training
        self.tuning = training.tuning

    def forward(self, batch: ConversationBatch) -> dict[str, Tensor]:
        """Loss terms of one pass."""
        weights = {name: value for name, value in asdict(self.tuning.weights).items() if value}
        narrow = self.tuning.precision is Precision.BFLOAT16
        with torch.autocast(batch.language_BFSSC.device.type, torch.bfloat16, enabled=narrow):
            taught = self.read(batch)
            prompts = self.model.projector(taught.hidden_RD)
            logits_Mhw, truth_Mhw, target_M = self._masks(batch, prompts)
            attention = None
            if "attention" in weights:
                loss = self.training_config.attention_loss
                attention = self.model.visual_attention(taught, loss.layer, loss.heads)
        # Sums over many pixels, and a cross entropy of probabilities, need float32.
        with torch.autocast(logits_Mhw.device.type, enabled=False):
            terms = self._mask_terms(logits_Mhw.float(), truth_Mhw, target_M)
            if attention is not None:
                terms["attention"] = self._attention_term(batch, attention.float())
            terms = {name: batch.clips_count * term for name, term in terms.items()}
            # Without any word to teach, too, the head takes part: all processes use the same weights.
            logits = taught.next_logits_LV.float()
            terms["text"] = text_loss(logits, taught.next_ids_L) if len(batch.next_N) else logits.sum()
            terms = {name: terms[name] for name in weights if name in terms}
            total = total_loss(terms, weights)
        return {"loss": total} | {name: term.detach() for name, term in terms.items()}

    def read(self, batch: ConversationBatch) -> Taught:
        """One pass of the language model over the conversations."""
        language = self.model.vision_language
        clips, frames = batch.language_BFSSC.shape[:2]
        pixels = normalised(batch.language_BFSSC.flatten(0, 1)).unflatten(0, (clips, frames))
        visual = language.visual_tokens(pixels)
        layer = self.training_config.attention_loss.layer if self.tuning.weights.attention else None
        read = language.read(batch.packed, visual, layer)
        row, token = batch.before_N2.unbind(1)
        logits = language.logits(read.hidden_BLD[row, token])
        return Taught(batch.packed, read, batch.rows_R2, logits, batch.next_N, visual)

    def _masks(self, batch: ConversationBatch, prompts_RC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mask logits, their truth, and which are targets: M pairs, role token after role token."""
        decoder = self.model.mask_decoder
        frames = batch.mask_BFSSC.shape[1]
        levels = decoder.encode(normalised(batch.mask_BFSSC.flatten(0, 1)))
        frame_RF = batch.clip_R[:, None] * frames + torch.arange(frames, device=batch.clip_R.device)
        prompts_MC = prompts_RC[:, None].expand(-1, frames, -1).flatten(0, 1)
        decoded = decoder.segment_frames(levels, frame_RF.flatten(), prompts_MC)
        truth_RFhw = _of_roles(batch, batch.actors_BEFhw, batch.targets_BEFhw)
        return (
            decoded.logits_Mhw,
            truth_RFhw.flatten(0, 1).float(),
            batch.target_R.repeat_interleave(frames),
        )

    def _mask_terms(self, logits_Mhw: Tensor, truth_Mhw: Tensor, target_M: Tensor) -> dict[str, Tensor]:
        norm, points = self.training_config.target_norm, self.tuning.points
        if points is not None:
            logits_Mhw, truth_Mhw = sampled_points(logits_Mhw, truth_Mhw, points)
        return {
            "mask_ce": mask_loss_of_roles(mask_cross_entropy, logits_Mhw, truth_Mhw, target_M, norm),
            "mask_dice": mask_loss_of_roles(dice_loss, logits_Mhw, truth_Mhw, target_M, norm),
        }

    def _attention_term(self, batch: ConversationBatch, attention_RAX: Tensor) -> Tensor:
        config = self.training_config.attention_loss
        side = self.model.config.vision_language.tokens_per_side
        actors, targets = (
            _attention_grids(one, side, config.layout) for one in (batch.actors_BEFhw, batch.targets_BEFhw)
        )
        truth_RX = _of_roles(batch, actors, targets)
        if config.by_role:
            return attention_mask_loss_by_role(attention_RAX, truth_RX, batch.clip_R, batch.target_R)
        return attention_mask_loss(attention_RAX, truth_RX)


def _of_roles(batch: ConversationBatch, actors_BE: Tensor, targets_BE: Tensor) -> Tensor:
    """The values of each role token's own role and expression."""
    clip, expression = batch.clip_R, batch.expression_R
    both = torch.stack([actors_BE[clip, expression], targets_BE[clip, expression]])
    return both[batch.target_R.long(), torch.arange(len(clip), device=clip.device)]


def _attention_grids(masks_BEFhw: Tensor, side: int, layout: AttentionLayout) -> Tensor:
    """What each expression's role should attend to (B, E, X)."""
    clips, expressions, frames = masks_BEFhw.shape[:3]
    grids = attention_truth(masks_BEFhw.flatten(0, 2).float(), side).view(clips, expressions, -1)
    if layout is AttentionLayout.OFFICIAL:
        return torch.stack([official_attention_layout(one, frames) for one in grids])
    return grids
