"""Losses at sampled points of a mask, most of them where the mask is undecided.

Legend of shape suffixes:
    M masks   H, W mask size   P points
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

OVERSAMPLED = 3.0  # candidates per point
UNDECIDED = 0.75  # share of the points that are the least decided of the candidates


def sampled_points(logits_MHW: Tensor, truth_MHW: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """Logits and truth (M, 1, P) at points that are drawn anew for every mask, from torch's generator.

    Source: PointRend (Kirillov et al., 2020), section 3.1, with the numbers of the official ReVIOSa code
    (cvlab-kaist/InterRVOS at 14c261e, `reviosa.py`: 12,544 points, oversampling 3, share 0.75).
    """
    count, device = len(logits_MHW), logits_MHW.device
    undecided = int(UNDECIDED * points)
    with torch.no_grad():
        candidates = torch.rand(count, int(OVERSAMPLED * points), 2, device=device)
        order = _at(logits_MHW, candidates).abs().topk(undecided, dim=1, largest=False).indices
        chosen = candidates.gather(1, order[..., None].expand(-1, -1, 2))
        rest = torch.rand(count, points - undecided, 2, device=device)
        places = torch.cat([chosen, rest], 1)
        truth = _at(truth_MHW, places)
    return _at(logits_MHW, places)[:, None], truth[:, None]


def _at(values_MHW: Tensor, places_MP2: Tensor) -> Tensor:
    """Bilinear values (M, P) at places in [0, 1), the corners of the mask being 0 and 1."""
    grid = 2 * places_MP2[:, :, None] - 1
    return F.grid_sample(values_MHW[:, None], grid, align_corners=False)[:, 0, :, 0]
