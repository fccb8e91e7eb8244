"""Rank reward (paper): is the projection among the policy's preferred pixels of its surroundings?"""

from __future__ import annotations

import torch
from torch import Tensor

from traqpoint.geometry.sampling import sample


def rank_reward(logits: Tensor, xy: Tensor, window_px: int, floor: float) -> Tensor:
    """R_rank = max(0, (ρ − floor) / (1 − floor)), ρ the share of pixels in a centred window with a lower logit.

    logits: (B, H, W) of the target frame. xy: (B, N, 2) projections. Pixels outside the image are not counted.
    Returns (B, N) in [0, 1]; NaN where the projection is NaN. Has no gradient.
    """
    H, W = logits.shape[1:]
    logits = logits.detach()
    at_point = sample(logits.unsqueeze(1), xy, (W, H)).squeeze(-1)
    steps = torch.arange(window_px, device=logits.device) - window_px // 2
    corner = xy.nan_to_num(0).floor().long()
    column = (corner[..., 0, None, None] + steps).expand(-1, -1, window_px, -1).flatten(2)
    row = (corner[..., 1, None, None] + steps.unsqueeze(1)).expand(-1, -1, -1, window_px).flatten(2)
    counted = (column >= 0) & (column < W) & (row >= 0) & (row < H)
    index = row.clamp(0, H - 1) * W + column.clamp(0, W - 1)
    values = logits.flatten(1).gather(1, index.flatten(1)).reshape(index.shape)
    lower = ((values < at_point.unsqueeze(-1)) & counted).sum(-1) / counted.sum(-1).clamp(min=1)
    reward = ((lower - floor) / (1 - floor)).clamp(min=0)
    return torch.where(torch.isnan(at_point), at_point, reward)
