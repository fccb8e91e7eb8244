"""Applying and checking plane-to-plane maps."""

from __future__ import annotations

import torch
from torch import Tensor

from traqpoint.errors import GeometryError
from traqpoint.geometry.transforms import homogeneous


def apply_homography(target_from_source: Tensor, xy: Tensor) -> Tensor:
    """H (..., 3, 3) on pixels (..., N, 2) -> (..., N, 2); NaN where the point lies on or behind the horizon."""
    x = homogeneous(xy) @ target_from_source.transpose(-1, -2)
    w = x[..., 2:]
    return torch.where(w > 1e-8, x[..., :2] / w, torch.full_like(x[..., :2], torch.nan))


def homography_from_points(source: Tensor, target: Tensor) -> Tensor:
    """The homography through four point pairs each: source, target (..., 4, 2) -> target_from_source (..., 3, 3).

    Raises GeometryError if three of the points are collinear.
    """
    x, y = source.unbind(-1)
    u, v = target.unbind(-1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    rows_u = torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], dim=-1)
    rows_v = torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], dim=-1)
    try:
        h = torch.linalg.solve(torch.cat([rows_u, rows_v], dim=-2), torch.cat([u, v], dim=-1))
    except RuntimeError as error:
        raise GeometryError("no homography through these four points: three of them are collinear") from error
    return homogeneous(h).reshape(*source.shape[:-2], 3, 3)


def check_homography(H: Tensor, name: str) -> Tensor:
    """Return H (..., 3, 3) if it is finite and invertible, else raise GeometryError naming `name`."""
    if H.shape[-2:] != (3, 3):
        raise GeometryError(f"{name}: a homography is a 3x3 matrix, got shape {tuple(H.shape)}")
    if not bool(torch.isfinite(H).all()):
        raise GeometryError(f"{name}: the homography holds NaN or infinity")
    normed = H / torch.linalg.matrix_norm(H)[..., None, None]
    # Not "< 1e-15": a matrix of zeros gives NaN here.
    if not bool((torch.linalg.det(normed.double()).abs() >= 1e-15).all()):
        raise GeometryError(f"{name}: the homography is singular")
    return H
