"""AdamW with weight decay on matrices only, and the learning rate of each step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from reference_model.config import OptimizerConfig, StageConfig


def build_optimizer(
    parameters: Sequence[nn.Parameter], stage: StageConfig, config: OptimizerConfig
) -> torch.optim.AdamW:
    """The optimizer of one stage."""
    groups = [
        {"params": [one for one in parameters if one.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [one for one in parameters if one.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=stage.learning_rate, betas=config.betas)


def learning_rate(step: int, stage: StageConfig) -> float:
    """Rate of step 0, 1, ...: linear warm-up, then linear decay to a share of the peak at the last step."""
    warm = min(1.0, (step + 1) / max(1, stage.warmup_steps))
    return stage.learning_rate * warm * (1 - (1 - stage.final_rate) * step / max(1, stage.steps))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give all groups one rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
