"""The one detector: logits -> NMS mask -> threshold -> top-k -> sub-pixel."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Detections(NamedTuple):
    """Keypoints of one image, best first: xy (N, 2) pixels, scores (N,) in (0, 1)."""

    xy: Tensor
    scores: Tensor


def nms_mask(logits: Tensor, radius: int) -> Tensor:
    """(B, 1, H, W) bool: pixels that are the maximum of their (2r+1)² window; of equal ones, the first row by row.

    A flat window has no maximum.
    """
    size = 2 * radius + 1
    # Two one-dimensional passes cost a third of a square one.
    highest = F.max_pool2d(logits, (1, size), stride=1, padding=(0, radius))
    highest = F.max_pool2d(highest, (size, 1), stride=1, padding=(radius, 0))
    mask = logits == highest
    b, _, y, x = mask.nonzero(as_tuple=True)
    dy, dx = torch.meshgrid(*2 * [torch.arange(-radius, radius + 1, device=logits.device)], indexing="ij")
    dy, dx = dy.reshape(-1, 1), dx.reshape(-1, 1)
    height, width = logits.shape[-2:]
    ny, nx = (y + dy).clamp(0, height - 1), (x + dx).clamp(0, width - 1)
    earlier = ny * width + nx < y * width + x
    twin = (mask[b, 0, ny, nx] & earlier).any(0)
    flat = (logits[b, 0, ny, nx] == logits[b, 0, y, x]).all(0)
    keep = ~(twin | flat)
    out = torch.zeros_like(mask)
    out[b[keep], 0, y[keep], x[keep]] = True
    return out


def refine(logits: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Sub-pixel maxima of one map logits (H, W) near integer pixels y, x (N,): xy (N, 2), at most 0.75 px away.

    The vertex of the quadratic through the 3×3 neighbourhood (central differences); the pixel's centre where that
    has no maximum.
    """
    padded = F.pad(logits[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]

    def at(dy: int, dx: int) -> Tensor:
        return padded[y + 1 + dy, x + 1 + dx]

    centre = at(0, 0)
    gx, gy = (at(0, 1) - at(0, -1)) / 2, (at(1, 0) - at(-1, 0)) / 2
    xx, yy = at(0, 1) + at(0, -1) - 2 * centre, at(1, 0) + at(-1, 0) - 2 * centre
    cross = (at(1, 1) + at(-1, -1) - at(1, -1) - at(-1, 1)) / 4
    determinant = xx * yy - cross * cross
    concave = (xx < 0) & (determinant > 1e-3 * xx * yy)
    safe = torch.where(concave, determinant, torch.ones_like(determinant))
    offset = torch.stack([cross * gy - yy * gx, cross * gx - xx * gy], dim=-1) / safe.unsqueeze(-1)
    offset = torch.where(concave.unsqueeze(-1), offset, torch.zeros_like(offset)).clamp(-0.75, 0.75)
    return torch.stack([x, y], dim=-1) + 0.5 + offset


def detect(
    logits: Tensor,
    max_keypoints: int,
    nms_radius: int = 2,
    threshold: float = 0.0,
    valid: Tensor | None = None,
) -> list[Detections]:
    """Keypoints of each image of a batch.

    logits: (B, 1, H, W), raw. threshold: smallest sigmoid(logit). valid: (B, H, W) bool, where keypoints may lie.
    Fewer maxima than `max_keypoints` give fewer keypoints: what NMS removed stays removed.
    """
    logits = logits.float()
    mask = nms_mask(logits, nms_radius)[:, 0]
    if valid is not None:
        mask = mask & valid
    out = []
    for i in range(len(logits)):
        y, x = mask[i].nonzero(as_tuple=True)
        values = logits[i, 0, y, x]
        if threshold > 0:
            above = values.sigmoid() >= threshold
            y, x, values = y[above], x[above], values[above]
        # A stable sort: equal scores keep their row-by-row order, on every device.
        order = values.sort(descending=True, stable=True).indices[:max_keypoints]
        out.append(Detections(refine(logits[i, 0], y[order], x[order]), values[order].sigmoid()))
    return out
