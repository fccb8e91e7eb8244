"""The pixel convention in code. COLMAP's corner convention inside, integer centres at some doors."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Array = TypeVar("Array", Tensor, np.ndarray)


def opencv_from_colmap(xy: Array) -> Array:
    """Pixels (..., 2) with the first centre at (0.5, 0.5) -> pixels with the first centre at (0, 0)."""
    return xy - 0.5


def colmap_from_opencv(xy: Array) -> Array:
    """Pixels (..., 2) with the first centre at (0, 0) -> pixels with the first centre at (0.5, 0.5)."""
    return xy + 0.5


def colmap_K_from_opencv(K: Array) -> Array:
    """Calibration matrices (..., 3, 3) for integer pixel centres -> for centres at 0.5 (principal point + 0.5)."""
    out = K.clone() if isinstance(K, Tensor) else K.copy()
    out[..., :2, 2] += 0.5
    return out


def opencv_K_from_colmap(K: Array) -> Array:
    """Inverse of colmap_K_from_opencv."""
    out = K.clone() if isinstance(K, Tensor) else K.copy()
    out[..., :2, 2] -= 0.5
    return out


def pixel_grid(height: int, width: int, stride: int = 1, device: torch.device | str = "cpu") -> Tensor:
    """Centres of all stride×stride cells of an image, row by row: (ceil(H/s) * ceil(W/s), 2) float32 pixels."""
    y = (torch.arange(0, height, stride, device=device) + stride / 2).clamp(max=height - 0.5)
    x = (torch.arange(0, width, stride, device=device) + stride / 2).clamp(max=width - 0.5)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2).float()


def inside(xy: Tensor, width: int, height: int, margin: float = 0.0) -> Tensor:
    """(...,) bool: ``margin <= x < W - margin`` and the same for y. NaN is outside."""
    x, y = xy.unbind(-1)
    return (x >= margin) & (y >= margin) & (x < width - margin) & (y < height - margin)
