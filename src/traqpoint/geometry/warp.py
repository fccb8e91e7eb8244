"""From any ground truth to one answer: WarpedPoints(xy, state)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from traqpoint.geometry.depth import sample_depth
from traqpoint.geometry.homography import apply_homography
from traqpoint.geometry.pixels import inside
from traqpoint.geometry.sampling import sample
from traqpoint.geometry.transforms import homogeneous, invert_rigid
from traqpoint.types import Device, PointState, WarpedPoints, map_tensors

RELATIVE_DEPTH_TOLERANCE = 0.05
"""A point is the surface that the target sees if their depths agree to this share (released code: 0.2)."""
MIN_DEPTH = 1e-6
"""Nearer than this, in the scene's unit, a point is behind the camera."""


def carry_depth(
    xy: Tensor, z: Tensor, source_K: Tensor, target_K: Tensor, target_from_source: Tensor
) -> tuple[Tensor, Tensor]:
    """Pixels xy (B, N, 2) of z-depth z (B, N) -> their pixels in the target (B, N, 2) and their z-depth there (B, N).

    K: (B, 3, 3). target_from_source: (B, 4, 4). The pixels are NaN where the point is behind the target or z unknown.
    """
    rays = homogeneous(xy) @ torch.linalg.inv(source_K).transpose(-1, -2)
    x_target = homogeneous(rays * z.unsqueeze(-1)) @ target_from_source.transpose(-1, -2)
    z_target = x_target[..., 2:3]
    projected = x_target[..., :3] @ target_K.transpose(-1, -2)
    out = torch.where(z_target > MIN_DEPTH, projected[..., :2] / z_target, torch.full_like(xy, torch.nan))
    return out, z_target.squeeze(-1)


def warp_depth(
    xy: Tensor,
    source_depth: Tensor,
    source_K: Tensor,
    target_K: Tensor,
    target_from_source: Tensor,
    target_depth: Tensor,
    tolerance: float = RELATIVE_DEPTH_TOLERANCE,
) -> WarpedPoints:
    """Carry pixels xy (B, N, 2) into the target image through depth and pose.

    source_depth, target_depth: (B, H, W) z-depth, NaN unknown. K: (B, 3, 3). target_from_source: (B, 4, 4).
    UNKNOWN where the depth is missing at either end (neither pass nor fail), OCCLUDED where the target sees a nearer
    surface *or* a farther one (the point is not on the surface it sees).
    """
    height, width = target_depth.shape[-2:]
    z = sample_depth(source_depth, xy)
    out, z_target = carry_depth(xy, z, source_K, target_K, target_from_source)
    seen = sample_depth(target_depth, out)
    state = torch.full(z.shape, int(PointState.VISIBLE), device=xy.device)
    state = torch.where((seen - z_target).abs() > tolerance * z_target, int(PointState.OCCLUDED), state)
    state = torch.where(torch.isnan(seen), int(PointState.UNKNOWN), state)
    state = torch.where(~inside(out, width, height), int(PointState.OUTSIDE), state)
    state = torch.where(~(z_target > MIN_DEPTH), int(PointState.BEHIND), state)
    state = torch.where(torch.isnan(z), int(PointState.UNKNOWN), state)
    return WarpedPoints(out, state)


def warp_homography(xy: Tensor, target_from_source: Tensor, target_valid: Tensor) -> WarpedPoints:
    """Carry pixels xy (B, N, 2) by homographies (B, 3, 3). target_valid (B, H, W) bool: pixels that show the scene."""
    height, width = target_valid.shape[-2:]
    out = apply_homography(target_from_source, xy)
    shown = sample(target_valid.unsqueeze(1).float(), out, (width, height), mode="nearest").squeeze(-1) > 0.5
    state = torch.full(out.shape[:-1], int(PointState.VISIBLE), device=xy.device)
    state = torch.where(inside(out, width, height) & shown, state, int(PointState.OUTSIDE))
    state = torch.where(torch.isnan(out).any(-1), int(PointState.BEHIND), state)
    return WarpedPoints(out, state)


@dataclass(frozen=True)
class HomographyGeometry:
    """Frames of a plane. frame_from_plane: (B, T, 3, 3). mask: (B, T, H, W) bool, pixels that show the plane."""

    frame_from_plane: Tensor
    mask: Tensor

    def warp(self, source: int, target: int, xy: Tensor) -> WarpedPoints:
        H = self.frame_from_plane
        warped = warp_homography(xy, H[:, target] @ torch.linalg.inv(H[:, source]), self.mask[:, target])
        height, width = self.mask.shape[-2:]
        shown = sample(self.mask[:, source].unsqueeze(1).float(), xy, (width, height), mode="nearest").squeeze(-1)
        return replace(warped, state=torch.where(shown > 0.5, warped.state, int(PointState.UNKNOWN)))

    def valid(self, frame: int) -> Tensor:
        return self.mask[:, frame]

    def to(self, device: Device) -> HomographyGeometry:
        return map_tensors(self, lambda x: x.to(device))


@dataclass(frozen=True)
class DepthGeometry:
    """Posed frames with depth. depth: (B, T, H, W) z-depth, NaN unknown. K: (B, T, 3, 3).
    cam_from_world: (B, T, 4, 4). tolerance: see RELATIVE_DEPTH_TOLERANCE; exact depth allows less."""

    depth: Tensor
    K: Tensor
    cam_from_world: Tensor
    tolerance: float = RELATIVE_DEPTH_TOLERANCE

    def warp(self, source: int, target: int, xy: Tensor) -> WarpedPoints:
        target_from_source = self.cam_from_world[:, target] @ invert_rigid(self.cam_from_world[:, source])
        return warp_depth(
            xy,
            self.depth[:, source],
            self.K[:, source],
            self.K[:, target],
            target_from_source,
            self.depth[:, target],
            self.tolerance,
        )

    def valid(self, frame: int) -> Tensor:
        return torch.isfinite(self.depth[:, frame])

    def to(self, device: Device) -> DepthGeometry:
        return map_tensors(self, lambda x: x.to(device))
