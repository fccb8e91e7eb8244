"""Where a lens moves the points of the image plane, in units of the focal length from the optical axis, and back."""

from __future__ import annotations

import torch
from torch import Tensor

COEFFICIENTS = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
"""Order of OpenCV's calibrations: radial k, tangential p. A fisheye has k1 to k4, of the angle to the axis."""
ITERATIONS = 100
"""At most, of Newton's method; ten are usual, many only at the edge of what a lens shows."""


def distort(xy: Tensor, lens: Tensor, fisheye: bool = False) -> Tensor:
    """Points (..., 2) of a pinhole camera -> where a lens with COEFFICIENTS (8,) shows them."""
    p1, p2 = lens[2], lens[3]
    x, y = xy.unbind(-1)
    r2 = x * x + y * y
    radial, _ = _radial(r2, lens, fisheye)
    dx = 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    dy = p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return torch.stack([x * radial + dx, y * radial + dy], dim=-1)


def straighten(distorted: Tensor, lens: Tensor, fisheye: bool = False) -> Tensor:
    """Inverse of `distort`; NaN where the lens shows nothing: beyond the radius at which it folds back.

    Newton's method on the 2x2 system; a fixed-point iteration diverges for wide fields of view.
    """
    xy = distorted
    for _ in range(ITERATIONS):
        residual = distort(xy, lens, fisheye) - distorted
        xx, off, yy = _jacobian(xy, lens, fisheye)
        a, b = residual.unbind(-1)
        step = torch.stack([yy * a - off * b, xx * b - off * a], dim=-1) / (xx * yy - off * off).unsqueeze(-1)
        xy = xy - step
        if not bool((step.abs() > 8 * torch.finfo(xy.dtype).eps * (1 + xy.abs())).any()):
            break
    residual = (distort(xy, lens, fisheye) - distorted).norm(dim=-1)
    xx, off, yy = _jacobian(xy, lens, fisheye)
    found = residual <= 1e3 * torch.finfo(xy.dtype).eps * (1 + distorted.norm(dim=-1))
    # Both eigenvalues are positive up to the fold; beyond it lie roots that no ray of light takes.
    found &= (xx * yy - off * off > 0) & (xx + yy > 0)
    return torch.where(found.unsqueeze(-1), xy, torch.nan)


def _radial(r2: Tensor, lens: Tensor, fisheye: bool) -> tuple[Tensor, Tensor]:
    """Factor on the distance from the axis at squared distance `r2`, and twice its derivative by `r2`."""
    k1, k2, _, _, k3, k4, k5, k6 = lens.unbind(-1)
    if fisheye:
        r2 = r2.clamp(min=1e-12)
        r = r2.sqrt()
        angle = r.atan()
        t = angle * angle
        bent = angle * (1 + t * (k1 + t * (k2 + t * (k3 + t * k4))))
        slope = (1 + t * (3 * k1 + t * (5 * k2 + t * (7 * k3 + t * 9 * k4)))) / (1 + r2)
        return bent / r, (slope - bent / r) / r2
    over = 1 + k1 * r2 + k2 * r2 * r2 + k3 * r2 * r2 * r2
    under = 1 + k4 * r2 + k5 * r2 * r2 + k6 * r2 * r2 * r2
    radial = over / under
    slope = (k1 + r2 * (2 * k2 + 3 * k3 * r2)) - radial * (k4 + r2 * (2 * k5 + 3 * k6 * r2))
    return radial, 2 * slope / under


def _jacobian(xy: Tensor, lens: Tensor, fisheye: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Derivative of `distort`, a symmetric 2x2 matrix: xx, xy = yx, yy."""
    p1, p2 = lens[2], lens[3]
    x, y = xy.unbind(-1)
    radial, slope = _radial(x * x + y * y, lens, fisheye)
    xx = radial + slope * x * x + 2 * p1 * y + 6 * p2 * x
    yy = radial + slope * y * y + 6 * p1 * y + 2 * p2 * x
    return xx, slope * x * y + 2 * p1 * x + 2 * p2 * y, yy
