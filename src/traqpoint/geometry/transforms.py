"""Rigid transforms (4×4, named target_from_source) and pixel transforms (3×3)."""

from __future__ import annotations

import torch
from torch import Tensor

from traqpoint.errors import GeometryError


def homogeneous(x: Tensor) -> Tensor:
    """(..., n) -> (..., n + 1) with a trailing one."""
    return torch.cat([x, torch.ones_like(x[..., :1])], dim=-1)


def rigid(R: Tensor, t: Tensor) -> Tensor:
    """R (..., 3, 3), t (..., 3) -> (..., 4, 4)."""
    top = torch.cat([R, t.unsqueeze(-1)], dim=-1)
    bottom = top.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*top.shape[:-2], 1, 4)
    return torch.cat([top, bottom], dim=-2)


def invert_rigid(target_from_source: Tensor) -> Tensor:
    """(..., 4, 4) -> source_from_target, without a general inverse."""
    R_t = target_from_source[..., :3, :3].transpose(-1, -2)
    t = target_from_source[..., :3, 3]
    return rigid(R_t, -(R_t @ t.unsqueeze(-1)).squeeze(-1))


def check_rigid(pose: Tensor, name: str, tolerance: float = 1e-3) -> Tensor:
    """Return `pose` (..., 4, 4) if it is a finite rotation and translation.

    Raises GeometryError naming `name` for NaN, a reflection, a scale or a wrong last row.
    """
    if pose.shape[-2:] != (4, 4):
        raise GeometryError(f"{name}: a pose is a 4x4 matrix, got shape {tuple(pose.shape)}")
    if not bool(torch.isfinite(pose).all()):
        raise GeometryError(f"{name}: the pose holds NaN or infinity")
    R = pose[..., :3, :3]
    identity = torch.eye(3, dtype=pose.dtype, device=pose.device)
    error = (R @ R.transpose(-1, -2) - identity).abs().max()
    if error > tolerance or bool((torch.linalg.det(R) < 0).any()):
        raise GeometryError(f"{name}: the upper left 3x3 block is not a rotation (R Rᵀ differs from I by {error:.2g})")
    if (pose[..., 3, :] - pose.new_tensor([0.0, 0.0, 0.0, 1.0])).abs().max() > tolerance:
        raise GeometryError(f"{name}: the last row of a pose must be 0 0 0 1")
    return pose


def rotation_from_quaternion(wxyz: Tensor) -> Tensor:
    """Quaternions (..., 4), scalar first, any norm > 0 -> rotation matrices (..., 3, 3)."""
    w, x, y, z = torch.nn.functional.normalize(wxyz, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).reshape(*w.shape, 3, 3)


def quaternion_from_rotation(R: Tensor) -> Tensor:
    """Matrices (..., 3, 3) -> unit quaternions (..., 4), scalar first and >= 0, of the nearest rotations.

    Bar-Itzhack's eigenvector method (2000): also right for angles near 180 degrees, and for files of six digits.
    """
    K = R.new_zeros(*R.shape[:-2], 4, 4)
    trace = R.diagonal(dim1=-2, dim2=-1).sum(-1)
    identity = torch.eye(3, dtype=R.dtype, device=R.device)
    K[..., 0, 0] = trace
    K[..., 1:, 1:] = R + R.transpose(-1, -2) - trace[..., None, None] * identity
    for axis, (i, j) in enumerate(((2, 1), (0, 2), (1, 0)), start=1):
        K[..., 0, axis] = K[..., axis, 0] = R[..., i, j] - R[..., j, i]
    wxyz = torch.linalg.eigh(K).eigenvectors[..., -1]
    return torch.where(wxyz[..., :1] < 0, -wxyz, wxyz)


def look_at(eye: Tensor, target: Tensor, down: Tensor | None = None) -> Tensor:
    """cam_from_world (..., 4, 4) of a camera at `eye` (..., 3) that looks at `target` with +y along `down`."""
    if down is None:
        down = eye.new_tensor([0.0, 1.0, 0.0]).expand_as(eye)
    z = torch.nn.functional.normalize(target - eye, dim=-1)
    x = torch.nn.functional.normalize(torch.linalg.cross(down, z), dim=-1)
    y = torch.linalg.cross(z, x)
    R = torch.stack([x, y, z], dim=-2)
    return rigid(R, -(R @ eye.unsqueeze(-1)).squeeze(-1))


def scaling(sx: float, sy: float) -> Tensor:
    """Pixel transform (3, 3) of a resize: ``xy * s``."""
    return torch.diag(torch.tensor([sx, sy, 1.0]))


def translation(dx: float, dy: float) -> Tensor:
    """Pixel transform (3, 3) of a shift; a crop at `corner` is ``translation(-corner)``."""
    out = torch.eye(3)
    out[0, 2], out[1, 2] = dx, dy
    return out


def horizontal_flip(width: float) -> Tensor:
    """Pixel transform (3, 3) ``x -> W - x``."""
    return torch.tensor([[-1.0, 0.0, width], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
