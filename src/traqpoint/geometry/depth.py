"""Reading z-depth maps without inventing surfaces. NaN is unknown; zero is never a depth."""

from __future__ import annotations

import torch
from torch import Tensor

from traqpoint.geometry.pixels import inside


def sample_depth(depth: Tensor, xy: Tensor, max_jump: float = 0.05) -> Tensor:
    """z-depth (B, N) at pixels xy (B, N, 2) of maps depth (B, H, W); NaN where unknown.

    Inverse depth is interpolated, because it is affine in the pixel on a plane. Where one of the four neighbours is
    unknown, or they differ by more than `max_jump` (relative) so that an edge runs between them, the nearest pixel's
    depth is returned unblended.
    """
    B, H, W = depth.shape
    column, row = (xy - 0.5).unbind(-1)
    x0 = column.nan_to_num(0).floor().long().clamp(0, W - 1)
    y0 = row.nan_to_num(0).floor().long().clamp(0, H - 1)
    x1, y1 = (x0 + 1).clamp(max=W - 1), (y0 + 1).clamp(max=H - 1)
    batch = torch.arange(B, device=depth.device).unsqueeze(1)
    corners = torch.stack([depth[batch, y, x] for y in (y0, y1) for x in (x0, x1)], dim=-1)
    corners = torch.where(corners > 0, corners, torch.full_like(corners, torch.nan))
    smooth = corners.amax(-1) <= corners.amin(-1) * (1 + max_jump)  # False if any is NaN
    wx = (column - x0).clamp(0, 1)
    wy = (row - y0).clamp(0, 1)
    weights = torch.stack([(1 - wx) * (1 - wy), wx * (1 - wy), (1 - wx) * wy, wx * wy], dim=-1)
    blended = 1 / (weights / corners).sum(-1)
    nearest = corners.gather(-1, weights.nan_to_num(0).argmax(-1, keepdim=True)).squeeze(-1)
    out = torch.where(smooth, blended, nearest)
    return torch.where(inside(xy, W, H), out, torch.full_like(out, torch.nan))
