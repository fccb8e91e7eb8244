"""Ground truth of a sparse reconstruction: the triangulated points are the only surface that is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from traqpoint.geometry.pixels import inside, pixel_grid
from traqpoint.geometry.transforms import invert_rigid
from traqpoint.geometry.warp import carry_depth
from traqpoint.types import Device, PointState, WarpedPoints, map_tensors


def nearest_observation(xy: Tensor, radius: float, height: int, width: int) -> Tensor:
    """Which of the points xy (N, 2) px is nearest to each pixel's centre: (H, W) int64, -1 beyond `radius` px."""
    reach = int(radius) + 1
    side = 2 * reach + 1
    offsets = pixel_grid(side, side, device=xy.device) - 0.5 - reach
    centres = xy.floor().unsqueeze(1) + offsets + 0.5
    distance = (centres - xy.unsqueeze(1)).norm(dim=-1)
    near = (distance <= radius) & inside(centres, width, height)
    point, _ = near.nonzero(as_tuple=True)
    column, row = centres[near].long().unbind(-1)
    # Distance and point in one number: its minimum is the nearest point, whatever the order of execution.
    key = (distance[near] * 1024).long() * len(xy) + point
    none = torch.iinfo(torch.int64).max
    nearest = torch.full((height * width,), none, device=xy.device)
    nearest = nearest.scatter_reduce(0, row * width + column, key, "amin").reshape(height, width)
    return torch.where(nearest == none, -1, nearest % max(1, len(xy)))


@dataclass(frozen=True)
class SparseGeometry:
    """Posed frames that observe triangulated points; P points per sequence.

    point: (B, T, H, W) int64, the point observed near each pixel, -1 for none. depth: (B, T, H, W) that point's z-depth
    in the frame, NaN for none. observed: (B, T, P) bool, the points that have an observation in the frame.
    K: (B, T, 3, 3). cam_from_world: (B, T, 4, 4).

    A pixel near an observation is carried by the depth of the observation's point. It is VISIBLE where the target
    observes the same point. Where the target does not, nothing is known: the point may be hidden, or not have been
    matched.
    """

    point: Tensor
    depth: Tensor
    observed: Tensor
    K: Tensor
    cam_from_world: Tensor

    def warp(self, source: int, target: int, xy: Tensor) -> WarpedPoints:
        height, width = self.point.shape[-2:]
        column, row = xy.nan_to_num(-1).floor().long().unbind(-1)
        index = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        point = self.point[:, source].flatten(1).gather(1, index)
        known = (point >= 0) & inside(xy, width, height)
        z = torch.where(known, self.depth[:, source].flatten(1).gather(1, index), torch.nan)
        target_from_source = self.cam_from_world[:, target] @ invert_rigid(self.cam_from_world[:, source])
        out, _ = carry_depth(xy, z, self.K[:, source], self.K[:, target], target_from_source)

        matched = self.observed[:, target].gather(1, point.clamp(min=0))
        state = torch.where(matched, int(PointState.VISIBLE), int(PointState.UNKNOWN))
        state = torch.where(~inside(out, width, height), int(PointState.OUTSIDE), state)
        state = torch.where(torch.isnan(out).any(-1), int(PointState.BEHIND), state)
        state = torch.where(~known, int(PointState.UNKNOWN), state)
        return WarpedPoints(out, state)

    def valid(self, frame: int) -> Tensor:
        return self.point[:, frame] >= 0

    def to(self, device: Device) -> SparseGeometry:
        return map_tensors(self, lambda x: x.to(device))
