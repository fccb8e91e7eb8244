"""Scenes made by hand, and the slow way to look at a scene: every ray against every piece."""

import torch
from random_inputs import generator

from traqpoint.data.worlds.render import Surfaces
from traqpoint.geometry.transforms import homogeneous, look_at


def smooth_textures(count=3, size=64):
    """Slow waves: what is left of a colour difference is then geometry, not filtering."""
    t = (torch.arange(size) + 0.5) / size * torch.pi
    weights = torch.rand(count, 3, 3, 1, 1, generator=generator()) - 0.5
    across, down = torch.cos(t).expand(size, size), torch.cos(t)[:, None].expand(size, size)
    return 0.5 + 0.6 * (weights * torch.stack([across, down, across * down])).sum(2)


def surfaces_of(quads):
    """One scene of (origin, a, b, texture), each a surface of its own."""
    o, a, b = (torch.tensor([[q[i] for q in quads]], dtype=torch.float64) for i in range(3))
    n = len(quads)
    uv = torch.eye(2, 3, dtype=torch.float64).repeat(1, n, 1, 1)
    shade = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).repeat(1, n, 1)
    texture = torch.tensor([[q[3] for q in quads]])
    return Surfaces(
        o, a, b, torch.zeros(1, n, dtype=torch.bool), torch.arange(n)[None], texture, uv, shade, torch.ones(1, 2, 3)
    )


def camera(eye, target, width, height, focal):
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]], dtype=torch.float64)
    return K, look_at(torch.tensor(eye, dtype=torch.float64), torch.tensor(target, dtype=torch.float64))


def cast(surfaces, K, cam_from_world, xy):
    """First hit along the pixels' rays by brute force in world space, float64: z-depth (N,), NaN for none."""
    R, t = cam_from_world[:3, :3], cam_from_world[:3, 3]
    eye = -R.T @ t
    rays = homogeneous(xy.double()) @ torch.linalg.inv(K).T @ R
    best = torch.full((len(xy),), torch.inf, dtype=torch.float64)
    for o, a, b, triangle in zip(surfaces.origin, surfaces.a, surfaces.b, surfaces.triangle, strict=True):
        normal = torch.linalg.cross(a, b)
        if not normal.any():
            continue
        z = (normal @ (o - eye)) / (rays @ normal)
        local = (eye + z[:, None] * rays - o) @ torch.linalg.pinv(torch.stack([a, b], dim=1)).T
        inside = (local >= 0).all(1) & ((local.sum(1) <= 1) if triangle else (local <= 1).all(1))
        best = torch.where(inside & (z > 0) & (z < best), z, best)
    return best.where(best.isfinite(), torch.nan)


def scene_of(surfaces, i):
    return Surfaces(**{name: getattr(surfaces, name)[i] for name in surfaces.__dataclass_fields__})
