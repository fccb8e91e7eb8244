"""The one detector: logits -> NMS mask -> threshold -> top-k -> sub-pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from traqpoint import optional


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


def window_max(x: Tensor, radius: int) -> Tensor:
    """Maximum over the (2r+1)² window of each pixel of maps (B, 1, H, W), as far as it lies inside."""
    if x.device.type != "cpu" or x.dtype != torch.float32:
        return sliding_max(sliding_max(x, radius, 3), radius, 2)
    kernel = np.ones(2 * (2 * radius + 1,), np.uint8)
    dilate = optional.load("cv2").dilate  # a fifth of the time of doubling
    return torch.stack([torch.from_numpy(dilate(plane[0].numpy(), kernel)) for plane in x]).unsqueeze(1)


def _set(mask: Tensor) -> Tensor:
    """Indices into the flattened mask where it is true: (N,) int64."""
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))  # a quarter of the time
    return mask.flatten().nonzero()[:, 0]


class Maxima(NamedTuple):
    """Pixels that are the maximum of their window, image by image and row by row."""

    image: Tensor
    """(N,) which of the batch."""
    y: Tensor
    """(N,)"""
    x: Tensor
    """(N,)"""

    def where(self, kept: Tensor) -> Maxima:
        """kept: (N,) bool."""
        return Maxima(*(part[kept] for part in self))


def maxima(logits: Tensor, radius: int, prominence: float = 0.0) -> Maxima:
    """Of logits (B, 1, H, W): the maxima of their (2r+1)² windows; of equal ones, the first row by row.

    A maximum must exceed its window's minimum by more than `prominence`: a flat window has none.
    """
    logits = logits.detach()
    height, width = logits.shape[-2:]
    mask = logits == window_max(logits, radius)
    place = _set(mask)
    values = logits.flatten()[place]
    prominent = values + window_max(-logits, radius).flatten()[place] > prominence
    mask.view(-1)[place[~prominent]] = False
    place, values = place[prominent], values[prominent]
    found = Maxima(place // (height * width), place // width % height, place % width)
    # Ties are rare: only candidates that share their value with another one are looked at closely.
    ordered, order = values.sort()
    same = ordered[1:] == ordered[:-1]
    tied = torch.cat([order[1:][same], order[:-1][same]])
    if not len(tied):
        return found
    twin = torch.zeros_like(place, dtype=torch.bool)
    twin[tied] = _follows_a_twin(mask, found.where(tied), radius)
    return found.where(~twin)


def _follows_a_twin(mask: Tensor, found: Maxima, radius: int) -> Tensor:
    """(N,) bool: an earlier pixel of its window is a maximum, too; inside one window, that is one of the same value."""
    height, width = mask.shape[-2:]
    b, y, x = found
    dy, dx = torch.meshgrid(*2 * [torch.arange(-radius, radius + 1, device=mask.device)], indexing="ij")
    rows = (y + dy.reshape(-1, 1)).clamp(0, height - 1)
    columns = (x + dx.reshape(-1, 1)).clamp(0, width - 1)
    return (mask[b, 0, rows, columns] & (rows * width + columns < y * width + x)).any(0)


def refine(logits: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Sub-pixel maxima of one map logits (H, W) near integer pixels y, x (N,): xy (N, 2), see `vertex`."""
    padded = F.pad(logits[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    width = padded.shape[1]
    steps = torch.tensor([dy * width + dx for dy in range(3) for dx in range(3)], device=y.device)
    around = padded.flatten()[y * width + x + steps.view(-1, 1)]  # one gather costs what each of nine would
    return torch.stack([x, y], dim=-1) + 0.5 + vertex(lambda dy, dx: around[3 * dy + dx + 4])


def vertex(at: Callable[[int, int], Tensor]) -> Tensor:
    """Where the quadratic through a 3×3 neighbourhood (central differences) has its maximum: x and y (..., 2) off the
    centre, at most 0.75 px; 0 where it has none.

    at: (dy, dx) -> the values (...,) there.
    """
    centre = at(0, 0)
    gx, gy = (at(0, 1) - at(0, -1)) / 2, (at(1, 0) - at(-1, 0)) / 2
    xx, yy = at(0, 1) + at(0, -1) - 2 * centre, at(1, 0) + at(-1, 0) - 2 * centre
    cross = (at(1, 1) + at(-1, -1) - at(1, -1) - at(-1, 1)) / 4
    determinant = xx * yy - cross * cross
    concave = (xx < 0) & (determinant > 1e-3 * xx * yy)
    safe = torch.where(concave, determinant, torch.ones_like(determinant))
    offset = torch.stack([cross * gy - yy * gx, cross * gx - xx * gy], dim=-1) / safe.unsqueeze(-1)
    return torch.where(concave.unsqueeze(-1), offset, torch.zeros_like(offset)).clamp(-0.75, 0.75)


class Peaks(NamedTuple):
    """Of one image, best first: y, x (N,) pixel indices, logits (N,)."""

    y: Tensor
    x: Tensor
    logits: Tensor


def peaks(
    logits: Tensor,
    max_keypoints: int,
    nms_radius: int = 2,
    threshold: float = 0.0,
    prominence: float = 0.0,
    valid: Tensor | None = None,
) -> list[Peaks]:
    """The best pixels of each image of a batch.

    logits: (B, 1, H, W), raw. threshold: smallest sigmoid(logit). prominence: see maxima. valid: (B, H, W) bool,
    where keypoints may lie.
    Fewer maxima than `max_keypoints` give fewer keypoints: what NMS removed stays removed.
    """
    found = maxima(logits, nms_radius, prominence)
    if valid is not None:
        found = found.where(valid[found.image, found.y, found.x])
    values = logits[found.image, 0, found.y, found.x]
    if threshold > 0:
        above = values.sigmoid() >= threshold
        found, values = found.where(above), values[above]
    out = []
    for i in range(len(logits)):
        own = slice(None) if len(logits) == 1 else found.image == i
        y, x, scores = found.y[own], found.x[own], values[own]
        # A stable sort: equal scores keep their row-by-row order, on every device.
        order = scores.sort(descending=True, stable=True).indices[:max_keypoints]
        out.append(Peaks(y[order], x[order], scores[order]))
    return out


def detect(
    logits: Tensor,
    max_keypoints: int,
    nms_radius: int = 2,
    threshold: float = 0.0,
    prominence: float = 0.0,
    valid: Tensor | None = None,
) -> list[Keypoints]:
    """The `peaks` of each image of a batch as keypoints."""
    logits = logits.float()
    found = peaks(logits, max_keypoints, nms_radius, threshold, prominence, valid)
    return [Keypoints(refine(logits[i, 0], y, x), values.sigmoid()) for i, (y, x, values) in enumerate(found)]
