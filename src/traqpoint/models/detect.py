"""The one detector: logits -> NMS mask -> threshold -> top-k -> sub-pixel."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Keypoints(NamedTuple):
    """Of one image, best first: xy (N, 2) pixels, scores (N,) in (0, 1)."""

    xy: Tensor
    scores: Tensor


def sliding_max(x: Tensor, radius: int, dim: int) -> Tensor:
    """Maximum over a centred window of 2r+1 entries along `dim`, the border repeated.

    By doubling: windows of 1, 2, 4 … entries, then two that overlap. Elementwise maxima run at memory speed, where
    max_pool2d with stride 1 takes ten times as long on CPUs.
    """
    length, size = x.shape[dim], 2 * radius + 1
    first, last = x.narrow(dim, 0, 1), x.narrow(dim, length - 1, 1)
    out, span = torch.cat([*[first] * radius, x, *[last] * radius], dim), 1
    while 2 * span <= size:
        out, span = _max_shifted(out, span, dim), 2 * span
    return _max_shifted(out, size - span, dim) if span < size else out


def _max_shifted(x: Tensor, shift: int, dim: int) -> Tensor:
    length = x.shape[dim] - shift
    return torch.maximum(x.narrow(dim, 0, length), x.narrow(dim, shift, length))


def nms_mask(logits: Tensor, radius: int, prominence: float = 0.0) -> Tensor:
    """(B, 1, H, W) bool: pixels that are the maximum of their (2r+1)² window; of equal ones, the first row by row.

    The maximum must exceed the window's minimum by more than `prominence`: a flat window has none.
    """
    highest = sliding_max(sliding_max(logits, radius, 3), radius, 2)
    lowest = -sliding_max(sliding_max(-logits, radius, 3), radius, 2)
    mask = (logits == highest) & (highest - lowest > prominence)
    height, width = logits.shape[-2:]
    b, _, y, x = mask.nonzero(as_tuple=True)
    # Ties are rare: only candidates that share their value with another one are looked at closely.
    _, inverse, counts = logits[b, 0, y, x].unique(return_inverse=True, return_counts=True)
    tied = counts[inverse] > 1
    b, y, x = b[tied], y[tied], x[tied]
    dy, dx = torch.meshgrid(*2 * [torch.arange(-radius, radius + 1, device=logits.device)], indexing="ij")
    rows = (y + dy.reshape(-1, 1)).clamp(0, height - 1)
    columns = (x + dx.reshape(-1, 1)).clamp(0, width - 1)
    # A tie inside one window is a twin: both are that window's maximum.
    twin = (mask[b, 0, rows, columns] & (rows * width + columns < y * width + x)).any(0)
    out = mask.clone()
    out[b[twin], 0, y[twin], x[twin]] = False
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
    prominence: float = 0.0,
    valid: Tensor | None = None,
) -> list[Keypoints]:
    """Keypoints of each image of a batch.

    logits: (B, 1, H, W), raw. threshold: smallest sigmoid(logit). prominence: see nms_mask. valid: (B, H, W) bool,
    where keypoints may lie.
    Fewer maxima than `max_keypoints` give fewer keypoints: what NMS removed stays removed.
    """
    logits = logits.float()
    mask = nms_mask(logits, nms_radius, prominence)[:, 0]
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
        out.append(Keypoints(refine(logits[i, 0], y[order], x[order]), values[order].sigmoid()))
    return out
