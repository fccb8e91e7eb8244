"""Rectified stereo pairs: one disparity map becomes geometry that carries points both ways and knows occlusion."""

from __future__ import annotations

import torch
from torch import Tensor

from traqpoint.errors import GeometryError
from traqpoint.geometry.warp import DepthGeometry


def stereo_geometry(left_disparity: Tensor) -> DepthGeometry:
    """Geometry of frames 0 (left) and 1 (right), B = 1, from the left view's disparity in pixels.

    left_disparity: (H, W), x_right = x_left - disparity; NaN, infinite or not positive is unknown. Disparity is the
    inverse depth of a unit camera whose right twin stands one unit to the side, so depth that differs by 5 % means
    another surface (see RELATIVE_DEPTH_TOLERANCE). A point is OCCLUDED where a nearer one lands on the same place of
    the other view, and right pixels that no known left surface reaches are UNKNOWN.
    Raises GeometryError if the map is not (H, W) or holds no disparity at all.
    """
    if left_disparity.ndim != 2:
        raise GeometryError(f"a disparity map must be (H, W), got {tuple(left_disparity.shape)}")
    known = torch.isfinite(left_disparity) & (left_disparity > 0)
    if not bool(known.any()):
        raise GeometryError("the disparity map has no finite positive value")
    left = left_disparity.float().masked_fill(~known, torch.nan)
    cam_from_world = torch.eye(4, device=left.device).repeat(1, 2, 1, 1)
    cam_from_world[0, 1, 0, 3] = -1
    depth = 1 / torch.stack([left, right_disparity(left)])
    return DepthGeometry(depth[None], torch.eye(3, device=left.device).repeat(1, 2, 1, 1), cam_from_world)


def right_disparity(left: Tensor) -> Tensor:
    """The right view's disparity (H, W) from the left view's; NaN where no known surface is seen.

    Neighbours in a row whose disparities differ by less than a pixel are one surface: it is drawn between the two
    places where they land, and the largest disparity, which is the nearest surface, wins each pixel.
    """
    height, width = left.shape
    here, there = left[:, :-1], left[:, 1:]
    step = there - here
    begin = torch.arange(width - 1, device=left.device) - here
    length = 1 - step
    row = torch.arange(height, device=left.device).unsqueeze(1).expand_as(begin)
    nearest = torch.full((height * width,), -torch.inf, device=left.device)
    # A stretch is shorter than two pixels, so it holds at most two pixel centres.
    for offset in (0, 1):
        column = begin.ceil() + offset
        share = (column - begin) / length
        drawn = (step.abs() < 1) & (share <= 1) & (column >= 0) & (column < width)  # False if any is NaN
        index = row[drawn] * width + column[drawn].long()
        nearest.scatter_reduce_(0, index, (here + share * step)[drawn], "amax")
    return nearest.masked_fill(torch.isinf(nearest), torch.nan).reshape(height, width)
