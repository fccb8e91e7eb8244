"""Distinctiveness reward (paper): is the point's descriptor matched uniquely in the target frame?"""

from __future__ import annotations

import torch
from torch import Tensor


def distance_ratio(
    reference: Tensor, found: Tensor, others: Tensor, xy: Tensor, xy_others: Tensor, radius: float
) -> Tensor:
    """d1 / d2 of points in one target frame.

    reference: (B, N, D) unit descriptors of the points in the reference frame. found: (B, N, D), at their projections
    xy (B, N, 2). others: (B, M, D) descriptors elsewhere in the target frame, at xy_others (B, M, 2).
    d1 is the distance of a point to its projection, d2 to the nearest other descriptor that lies farther than `radius`
    px from it. Returns (B, N); 0 if nothing lies outside the radius.
    """
    d1 = (2 - 2 * (reference * found).sum(-1)).clamp(min=0).sqrt()
    similarity = reference @ others.transpose(1, 2)
    near = torch.cdist(xy, xy_others) <= radius
    nearest = similarity.masked_fill_(near, -torch.inf).amax(-1)
    d2 = (2 - 2 * nearest).clamp(min=1e-12).sqrt()
    return d1 / d2


def distinctiveness_reward(ratio: Tensor, ceiling: float) -> Tensor:
    """R_dist = max(0, (ceiling − ratio) / ceiling), in [0, 1]."""
    return ((ceiling - ratio) / ceiling).clamp(min=0)
