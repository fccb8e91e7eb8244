"""Re-detection reward (ours): would the target's policy, asked near the projection, choose the very same place?
(docs/method.md §4)"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from traqpoint.policy.distribution import IMPOSSIBLE
from traqpoint.policy.frame import FrameMaps
from traqpoint.policy.reward_config import RedetectionConfig
from traqpoint.policy.terms import MapTerm

RADIUS = 3.0
"""The localization kernel is cut at this many standard deviations."""
SPAN = 60.0
"""Nats between two levels of `redetection_map`: exp(-60) is still a normal float32."""


class Redetection(RedetectionConfig, MapTerm):
    """M(y), the expected closeness of the target policy's choice in a window around the projection y."""

    def prepare(self, frame: FrameMaps) -> Tensor:
        return redetection_map(frame.policy, self.window_px, self.sigma_px)


def redetection_map(logits: Tensor, window_px: int, sigma: float) -> Tensor:
    """For each pixel y of a frame, the expected closeness of the policy's choice in a window centred there.

    M(y) = Σ_{z ∈ W(y)} π(z | W(y)) · exp(−|z − y|² / 2σ²), W(y) the window of side window_px. logits: (B, H, W) with
    impossible pixels restricted. Returns (B, H, W) in [0, 1], 0 where a window has no possible pixel, differentiable:
    two filters per frame serve every projection into it. A percentile in a window (rank reward) is satisfied by any
    smooth covariant map; this is satisfied by sharp ones only.

    A trained policy spans more than exp can hold between two corners of a frame. Windows are therefore served by
    levels, the frame's maximum first and then SPAN lower each: the first one that a window's sum is not too small for.
    """
    radius = max(1, round(RADIUS * sigma))
    offsets = torch.arange(-radius, radius + 1, device=logits.device, dtype=logits.dtype)
    kernel = torch.exp(-offsets.square() / (2 * sigma**2))
    top = logits.detach().amax((1, 2), keepdim=True)
    out = torch.zeros_like(logits)
    waiting = torch.ones_like(logits, dtype=torch.bool)
    for level in range(_levels(logits, top)):
        # Of windows with a pixel above the level nothing is asked: they were served before.
        weight = torch.exp((logits - top + level * SPAN).clamp(max=0))
        near, total = _filtered(weight, kernel), _summed(weight, window_px)
        served = waiting & (total >= math.exp(-SPAN))
        out = torch.where(served, near / total.clamp(min=math.exp(-SPAN)), out)
        waiting = waiting & ~served
    return out


@torch.no_grad()
def _levels(logits: Tensor, top: Tensor) -> int:
    """How many levels reach down to the lowest possible pixel."""
    below = torch.where(logits > IMPOSSIBLE / 2, top - logits, torch.zeros_like(logits))
    return 1 + int(below.amax() / SPAN)


def _filtered(x: Tensor, kernel: Tensor) -> Tensor:
    """(B, H, W) * the separable filter kernel (K,)."""
    half = len(kernel) // 2
    x = F.conv2d(x.unsqueeze(1), kernel.view(1, 1, 1, -1), padding=(0, half))
    return F.conv2d(x, kernel.view(1, 1, -1, 1), padding=(half, 0)).squeeze(1)


def _summed(x: Tensor, side: int) -> Tensor:
    """(B, H, W): sums over centred squares."""
    half = side // 2
    x = F.avg_pool2d(x.unsqueeze(1), (1, side), stride=1, padding=(0, half), divisor_override=1)
    return F.avg_pool2d(x, (side, 1), stride=1, padding=(half, 0), divisor_override=1).squeeze(1)
