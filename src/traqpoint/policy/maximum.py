"""Maximum: how near is the target's closest local maximum to where the point truly is? (docs/method.md §4)"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from traqpoint.policy.distribution import IMPOSSIBLE
from traqpoint.policy.frame import FrameMaps
from traqpoint.policy.redetection import RADIUS
from traqpoint.policy.reward_config import MaximumConfig
from traqpoint.policy.terms import MapTerm

MAXIMUM_RADIUS = 2
"""A local maximum is the largest of its (2r+1)² window: the detector's own non-maximum suppression."""


class Maximum(MaximumConfig, MapTerm):
    """exp(−d² / 2σ²), d the distance from the projection to the nearest local maximum."""

    def prepare(self, frame: FrameMaps) -> Tensor:
        return maximum_map(frame.policy, self.sigma_px)


def maximum_map(logits: Tensor, sigma: float) -> Tensor:
    """For each pixel y, exp(−d² / 2σ²) with d the distance to the nearest local maximum of the map.

    logits: (B, H, W) with impossible pixels restricted; these are no maxima. Returns (B, H, W) in [0, 1], 0 beyond
    RADIUS · σ. Has no gradient. Every maximum counts, however low: it is where a detector would look.
    """
    logits = logits.detach()
    highest = F.max_pool2d(logits.unsqueeze(1), 2 * MAXIMUM_RADIUS + 1, 1, MAXIMUM_RADIUS).squeeze(1)
    peak = ((logits == highest) & (logits > IMPOSSIBLE / 2)).to(logits.dtype)
    radius = max(1, round(RADIUS * sigma))
    H, W = logits.shape[1:]
    padded = F.pad(peak, (radius, radius, radius, radius))
    out = torch.zeros_like(logits)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            shifted = padded[:, radius + dy : radius + dy + H, radius + dx : radius + dx + W]
            out = torch.maximum(out, math.exp(-(dy * dy + dx * dx) / (2 * sigma**2)) * shifted)
    return out
