"""Two-view geometry without depth."""

from __future__ import annotations

import torch
from torch import Tensor

from traqpoint.geometry.transforms import homogeneous


def skew(t: Tensor) -> Tensor:
    """(..., 3) -> the matrix (..., 3, 3) with ``skew(t) @ x == cross(t, x)``."""
    x, y, z = t.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).reshape(*t.shape[:-1], 3, 3)


def essential_from_pose(target_from_source: Tensor) -> Tensor:
    """(..., 4, 4) -> E (..., 3, 3) with ``x_targetᵀ E x_source = 0`` for rays of the same point."""
    return skew(target_from_source[..., :3, 3]) @ target_from_source[..., :3, :3]


def fundamental_from_pose(target_from_source: Tensor, source_K: Tensor, target_K: Tensor) -> Tensor:
    """F (..., 3, 3) with ``x_targetᵀ F x_source = 0`` for pixels of the same point."""
    E = essential_from_pose(target_from_source)
    return torch.linalg.inv(target_K).transpose(-1, -2) @ E @ torch.linalg.inv(source_K)


def sampson_distance(F: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """First-order geometric distance (..., N) in pixels of matches source, target (..., N, 2) to F (..., 3, 3)."""
    a, b = homogeneous(source), homogeneous(target)
    line_b = a @ F.transpose(-1, -2)
    line_a = b @ F
    residual = (b * line_b).sum(-1)
    gradient = line_a[..., :2].square().sum(-1) + line_b[..., :2].square().sum(-1)
    return residual.abs() / gradient.sqrt().clamp(min=1e-12)


def angle_between(R_a: Tensor, R_b: Tensor) -> Tensor:
    """Rotation angle (...,) in degrees between rotation matrices (..., 3, 3), exact also near 0 and 180."""
    relative = R_a.transpose(-1, -2) @ R_b
    sine = torch.linalg.matrix_norm(relative - relative.transpose(-1, -2)) / 8**0.5
    cosine = (relative.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    return torch.rad2deg(torch.atan2(sine, cosine))
