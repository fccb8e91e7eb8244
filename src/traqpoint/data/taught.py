"""Points that teachers have described in a photograph, carried into the frames that are made of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from traqpoint.geometry.homography import apply_homography
from traqpoint.geometry.pixels import inside
from traqpoint.types import DescribedPoints, TaughtPoints

MARGIN_PX = 3.0
"""No point is seen this near to a frame's border: half of what its descriptor stands on would be missing."""


def carry_points(
    points: Sequence[DescribedPoints], frame_from_photo: Tensor, masks: Tensor, count: int, generator: torch.Generator
) -> TaughtPoints:
    """`count` of each photo's points, drawn among those that two frames see.

    points: B photos'. frame_from_photo: (B, T, 3, 3). masks: (B, T, H, W) bool, pixels that show the photo.
    """
    B, T, height, width = masks.shape
    xy = torch.zeros(B, T, count, 2)
    seen = torch.zeros(B, T, count, dtype=torch.bool)
    targets = torch.zeros(B, count, points[0].descriptors.shape[1], dtype=points[0].descriptors.dtype)
    for b, photo in enumerate(points):
        places = apply_homography(frame_from_photo[b], photo.xy.expand(T, -1, -1))
        visible = inside(places, width, height, MARGIN_PX)
        pixel = places.nan_to_num(0).clamp(0, max(width, height)).long()
        row, column = pixel[..., 1].clamp(max=height - 1), pixel[..., 0].clamp(max=width - 1)
        visible &= masks[b].flatten(1).gather(1, row * width + column)
        shared = (visible.sum(0) >= 2).nonzero().squeeze(1)
        chosen = shared[torch.randperm(len(shared), generator=generator)[:count]]
        n = len(chosen)
        seen[b, :, :n] = visible[:, chosen]
        xy[b, :, :n] = places[:, chosen].masked_fill(~visible[:, chosen, None], 0)
        targets[b, :n] = photo.descriptors[chosen]
    return TaughtPoints(xy, seen, targets)
