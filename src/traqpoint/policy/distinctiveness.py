"""Distinctiveness reward (paper): is the point's descriptor matched uniquely in the target frame?
(docs/method.md §4)"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from traqpoint.policy.frame import FrameMaps, Points
from traqpoint.policy.reward_config import DistinctivenessConfig
from traqpoint.policy.terms import Term
from traqpoint.types import WarpedPoints


class Distinctiveness(DistinctivenessConfig, Term):
    """max(0, (ceiling − d1/d2) / ceiling), d2 the distance to the nearest negative. It varies slowly: see `stride`."""

    def __call__(self, source: Points, target: FrameMaps, warped: WarpedPoints, judged: Tensor) -> Tensor:
        found = target.described(warped.xy).nan_to_num(0)
        if self.negatives == "samples":
            similarity = source.descriptors @ found.transpose(1, 2)
            itself = torch.eye(found.shape[1], dtype=torch.bool, device=found.device)
            similarity.masked_fill_(itself | ~judged.unsqueeze(1), -torch.inf)
        else:
            similarity = source.descriptors @ target.grid(self.stride).descriptors.transpose(1, 2)
            exclude_near(similarity, warped.xy, self.stride, target.shape, self.negative_radius_px)
        return distinctiveness_reward(distance_ratio(source.descriptors, found, similarity), self.ratio_ceiling)


def exclude_near(similarity: Tensor, xy: Tensor, stride: int, shape: tuple[int, int], radius: float) -> Tensor:
    """Set the similarity (B, N, M) of points xy (B, N, 2) to negatives within `radius` px of them to -inf, in place.

    The negatives are the centres of the stride × stride cells of an image of `shape` (H, W), row by row: only the few
    cells around a point are touched. NaN positions exclude nothing.
    """
    rows, columns = -(-shape[0] // stride), -(-shape[1] // stride)
    reach = math.ceil(radius / stride)
    steps = torch.arange(-reach, reach + 1, device=xy.device)
    place = xy.nan_to_num(-1e6)
    column = ((place[..., 0] / stride).floor().long().unsqueeze(-1) + steps).clamp(0, columns - 1)
    row = ((place[..., 1] / stride).floor().long().unsqueeze(-1) + steps).clamp(0, rows - 1)
    # The last cells may be cut: their centres are, as in pixel_grid, half a pixel inside the image at most.
    x = (column * stride + stride / 2).clamp(max=shape[1] - 0.5)
    y = (row * stride + stride / 2).clamp(max=shape[0] - 0.5)
    across, down = (x - place[..., :1]).square(), (y - place[..., 1:]).square()
    near = (down.unsqueeze(-1) + across.unsqueeze(-2) <= radius**2).flatten(2)
    index = (row.unsqueeze(-1) * columns + column.unsqueeze(-2)).flatten(2)
    # Clamped cells appear twice, with the same verdict.
    values = similarity.gather(2, index).masked_fill_(near, -torch.inf)
    return similarity.scatter_(2, index, values)


def distance_ratio(reference: Tensor, found: Tensor, similarity: Tensor) -> Tensor:
    """d1 / d2 of points in one target frame.

    reference: (B, N, D) unit descriptors of the points in the reference frame. found: (B, N, D), at their projections.
    similarity: (B, N, M), cosines of `reference` to the negatives, -inf where one is none. d1 is the distance of a
    point to its projection, d2 to the nearest negative. Returns (B, N); 0 if there is no negative.
    """
    # One floor for both: descriptors that are all the same have the ratio 1, not that of two rounding errors.
    d1 = (2 - 2 * (reference * found).sum(-1)).clamp(min=1e-5).sqrt()
    d2 = (2 - 2 * similarity.amax(-1)).clamp(min=1e-5).sqrt()
    return d1 / d2


def distinctiveness_reward(ratio: Tensor, ceiling: float) -> Tensor:
    """R_dist = max(0, (ceiling − ratio) / ceiling), in [0, 1]."""
    return ((ceiling - ratio) / ceiling).clamp(min=0)
