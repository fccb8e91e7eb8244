"""Re-detection reward (ours): would the target's policy, asked near the projection, choose the very same place?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

RADIUS = 3.0
"""The localization kernel is cut at this many standard deviations."""


def redetection_map(logits: Tensor, window_px: int, sigma: float) -> Tensor:
    """For each pixel y of a frame, the expected closeness of the policy's choice in a window centred there.

    M(y) = Σ_{z ∈ W(y)} π(z | W(y)) · exp(−|z − y|² / 2σ²), W(y) the window of side window_px. logits: (B, H, W) with
    impossible pixels restricted. Returns (B, H, W) in [0, 1], differentiable: two filters per frame serve every
    projection into it. A percentile in a window (rank reward) is satisfied by any smooth covariant map; this is
    satisfied by sharp ones only. Windows whose best logit lies more than 65 below the frame's best have M = 0.
    """
    weight = torch.exp(logits - logits.detach().amax((1, 2), keepdim=True)).unsqueeze(1)
    radius = max(1, round(RADIUS * sigma))
    offsets = torch.arange(-radius, radius + 1, device=logits.device, dtype=logits.dtype)
    kernel = torch.exp(-offsets.square() / (2 * sigma**2))
    near = F.conv2d(weight, kernel.view(1, 1, 1, -1), padding=(0, radius))
    near = F.conv2d(near, kernel.view(1, 1, -1, 1), padding=(radius, 0))
    half = window_px // 2
    total = F.avg_pool2d(weight, (1, window_px), stride=1, padding=(0, half), divisor_override=1)
    total = F.avg_pool2d(total, (window_px, 1), stride=1, padding=(half, 0), divisor_override=1)
    return (near / (total + 1e-30)).squeeze(1)
