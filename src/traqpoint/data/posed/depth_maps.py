"""Depth maps of RGB-D cameras: cleaned of what cannot be trusted, and brought into the colour camera."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from traqpoint.geometry.depth import sample_depth
from traqpoint.geometry.pixels import inside, pixel_grid
from traqpoint.geometry.warp import carry_depth

MAX_JUMP = 0.05
"""Relative difference of depths two pixels apart that is an edge; a floor 5 m away, seen from 1.5 m, has 0.013."""
EDGE_PX = 2
"""Pixels beside an edge that may belong to either side: colour and depth are registered no better."""


def reject_edges(depth: Tensor, max_jump: float = MAX_JUMP, margin: int = EDGE_PX) -> Tensor:
    """Depth (H, W) with NaN where a 3x3 neighbourhood differs by more than `max_jump`, and up to `margin` px beside.

    The border of a hole is no edge: the other side is not known.
    """
    known = torch.isfinite(depth)
    far = F.max_pool2d(depth.masked_fill(~known, -torch.inf)[None, None], 3, 1, 1)
    near = -F.max_pool2d(-depth.masked_fill(~known, torch.inf)[None, None], 3, 1, 1)
    edge = (far > near * (1 + max_jump)).float()
    edge = F.max_pool2d(edge, 2 * margin + 1, 1, margin)[0, 0] > 0
    return depth.masked_fill(edge, torch.nan)


def look_through(depth: Tensor, depth_K: Tensor, color_K: Tensor) -> Tensor:
    """Depth (H, W) of a camera with depth_K as one of the same size, place and direction with color_K sees it.

    depth_K, color_K: (3, 3). NaN beyond the depth map's border.
    """
    xy = pixel_grid(*depth.shape)
    depth_from_color = depth_K @ torch.linalg.inv(color_K)
    there = xy * depth_from_color.diagonal()[:2] + depth_from_color[:2, 2]
    return sample_depth(depth[None], there[None]).reshape(depth.shape)


def move(depth: Tensor, depth_K: Tensor, color_K: Tensor, color_from_depth: Tensor) -> Tensor:
    """Depth (H, W) of one camera as one of the same size elsewhere sees it: each pixel lands in one, the nearest wins.

    depth_K, color_K: (3, 3). color_from_depth: (4, 4). NaN where nothing lands.
    """
    height, width = depth.shape
    xy = pixel_grid(height, width)
    landed, z = carry_depth(xy[None], depth.reshape(1, -1), depth_K[None], color_K[None], color_from_depth[None])
    seen = inside(landed[0], width, height)
    x, y = landed[0][seen].long().unbind(-1)
    nearest = torch.full((height * width,), torch.inf)
    nearest.scatter_reduce_(0, y * width + x, z[0][seen], "amin")
    return nearest.masked_fill(torch.isinf(nearest), torch.nan).reshape(depth.shape)
