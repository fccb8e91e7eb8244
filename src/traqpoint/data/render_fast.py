"""Homographies of photographs in 8 bits by OpenCV: on a CPU a fraction of what the same in float32 tensors takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from traqpoint import optional

LEVELS = 4
"""Halvings of a photo that are kept, itself included."""


def pyramid(photo: Tensor) -> list[np.ndarray]:
    """uint8 (3, h, w) -> uint8 (h, w, 3), and halved again and again: each pixel the mean of four."""
    cv2 = optional.load("cv2")
    out = [np.ascontiguousarray(photo.permute(1, 2, 0).cpu().numpy())]
    while len(out) < LEVELS and min(out[-1].shape[:2]) >= 4:
        height, width = (side // 2 for side in out[-1].shape[:2])
        even = out[-1][: 2 * height, : 2 * width]
        out.append(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA))
    return out


def render(levels: Sequence[np.ndarray], frame_from_photo: Tensor, side: int) -> tuple[list[np.ndarray], Tensor]:
    """A photo's pyramid and (T, 3, 3) -> T frames uint8 (side, side, 3), and where they show it: (T, side, side) bool.

    Frames that shrink the photo read a coarser level of it, so that they do not alias.
    """
    cv2 = optional.load("cv2")
    shrink = frame_from_photo[:, :2, :2].det().abs().rsqrt()
    chosen = shrink.log2().add(0.3).floor().clamp(0, len(levels) - 1).long().tolist()
    centres = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    frames, masks = [], []
    for level, matrix in zip(chosen, frame_from_photo.double().numpy(), strict=True):
        source = levels[level]
        frame_from_level = np.linalg.inv(centres) @ matrix @ np.diag([2.0**level, 2.0**level, 1]) @ centres
        size = (side, side)
        frames.append(cv2.warpPerspective(source, frame_from_level, size, borderMode=cv2.BORDER_REFLECT_101))
        masks.append(_shown(matrix, (levels[0].shape[1], levels[0].shape[0]), side))
    return frames, torch.from_numpy(np.stack(masks))


def _shown(frame_from_photo: np.ndarray, size: tuple[int, int], side: int) -> np.ndarray:
    """(side, side) bool: frame pixels whose centres lie in the photo of `size` (W, H), a pixel off its border, and in
    front of the horizon. The border's four lines, carried into the frame, are linear in its pixels: no division."""
    x = np.arange(side, dtype=np.float32)[None] + 0.5
    y = np.arange(side, dtype=np.float32)[:, None] + 0.5
    u, v, w = np.linalg.inv(frame_from_photo)
    limits = (w, u - w, (size[0] - 1) * w - u, v - w, (size[1] - 1) * w - v)
    out = np.ones((side, side), bool)
    for a, b, c in limits:
        out &= a * x + (b * y + c) > 0
    return out
