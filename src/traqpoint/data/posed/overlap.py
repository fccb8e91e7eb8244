"""How much two posed frames see of each other, measured on coarse depth maps before any image is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from traqpoint.geometry.depth import sample_depth
from traqpoint.geometry.pixels import pixel_grid
from traqpoint.geometry.transforms import invert_rigid, scaling
from traqpoint.geometry.warp import warp_depth
from traqpoint.types import Frame, PointState

COARSE_PX = 40
"""Longer side of the coarse maps: on real recordings the overlap is within 0.02 of that of the full ones."""
COARSE_TOLERANCE = 0.1
"""Relative depth difference within one surface: from one coarse pixel to the next, slanted ones are steep."""

LEAST_KNOWN = 0.1
"""Share of the source's pixels whose fate must be known for an overlap to be told at all."""


@dataclass(frozen=True)
class CoarseView:
    """A frame without its picture. depth (h, w) z-depth, NaN unknown; K (3, 3) for that size; cam_from_world (4, 4)."""

    depth: Tensor
    K: Tensor
    cam_from_world: Tensor


def coarse_view(depth: Tensor, K: Tensor, cam_from_world: Tensor) -> CoarseView:
    """Reduce a full depth map (H, W) and its K; single depths are picked, nothing is averaged."""
    height, width = depth.shape
    scale = min(1.0, COARSE_PX / max(height, width))
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    xy = pixel_grid(h, w) * torch.tensor([width / w, height / h])
    small = sample_depth(depth[None], xy[None]).reshape(h, w)
    return CoarseView(small, scaling(w / width, h / height) @ K.float(), cam_from_world)


def overlap(source: CoarseView, target: CoarseView) -> float:
    """Share of the source's pixels that the target sees, among those whose fate is known; 0 if hardly any is."""
    h, w = source.depth.shape
    target_from_source = target.cam_from_world @ invert_rigid(source.cam_from_world)
    warped = warp_depth(
        pixel_grid(h, w)[None],
        source.depth[None],
        source.K[None],
        target.K[None],
        target_from_source.float()[None],
        target.depth[None],
        COARSE_TOLERANCE,
    )
    known = int((warped.state != PointState.UNKNOWN).sum())
    return int(warped.visible.sum()) / known if known >= LEAST_KNOWN * h * w else 0.0


def see_the_same(frames: Sequence[Frame]) -> bool:
    """Whether, by their depth and poses, any of these frames is seen by the next one, or the first one by any."""
    views = [coarse_view(frame.depth, frame.K, frame.cam_from_world) for frame in frames if frame.depth is not None]
    pairs = [*pairwise(views), *((views[0], view) for view in views[2:])]
    return any(overlap(source, target) > 0 for source, target in pairs)
