"""A world that is a formula: exact colour and depth at any pixel of any camera, to test readers with."""

import cv2
import numpy as np
import torch

from traqpoint.geometry.pixels import pixel_grid
from traqpoint.geometry.sampling import sample
from traqpoint.geometry.transforms import homogeneous, invert_rigid, rigid
from traqpoint.geometry.warp import DepthGeometry
from traqpoint.types import PointState

WALL = torch.tensor([0.15, -0.1, 1.0], dtype=torch.float64)  # n·X = 4: a slanted wall
BOARD_Z, BOARD = 2.5, 0.5  # in front of it, a square board of this half width


def camera(focal, width, height):
    """Our K of a camera whose principal point is a little off the middle."""
    return torch.tensor([[focal, 0, width / 2 + 1.7], [0, focal * 1.01, height / 2 - 1.3], [0, 0, 1]])


def pose(x=0.0, y=0.0, z=0.0, roll=0.0):
    """cam_from_world (4, 4) float64 of a camera at (x, y, z) that looks along +z, rolled by degrees."""
    c, s = np.cos(np.deg2rad(roll)), np.sin(np.deg2rad(roll))
    R = torch.tensor([[c, s, 0], [-s, c, 0], [0, 0, 1]], dtype=torch.float64)
    return rigid(R, -R @ torch.tensor([x, y, z], dtype=torch.float64))


def see(rays, cam_from_world):
    """Colour (N, 3) and z-depth (N,) along rays (N, 3), z = 1, of a camera that looks along the world's z axis."""
    world_from_cam = invert_rigid(cam_from_world)
    directions = rays.double() @ world_from_cam[:3, :3].T
    centre = world_from_cam[:3, 3]
    z = (4 - WALL @ centre) / (directions @ WALL)
    near = (BOARD_Z - centre[2]) / directions[:, 2]
    on_board = ((centre + directions * near[:, None])[:, :2].abs() < BOARD).all(1)
    z = torch.where(on_board, near, z)
    points = centre + directions * z[:, None]
    waves = torch.tensor([[9.0, 4.0, 3.0], [-5.0, 8.0, 5.0], [3.0, -10.0, 4.0]], dtype=torch.float64)
    return 0.5 + 0.4 * torch.sin(points @ waves.T), z


def straighten(distorted, distortion):
    """Where a lens with k1 k2 p1 p2 k3 moved points (N, 2) from, in units of the focal length: Brown's model undone."""
    k1, k2, p1, p2, k3 = distortion
    found = distorted
    for _ in range(20):
        x, y = found.unbind(-1)
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        moved = torch.stack([2 * p1 * x * y + p2 * (r2 + 2 * x * x), p1 * (r2 + 2 * y * y) + 2 * p2 * x * y], dim=-1)
        found = (distorted - moved) / radial[:, None]
    return found


def shoot(K, cam_from_world, width, height, distortion=None):
    """uint8 (H, W, 3) RGB and z-depth (H, W) float64, as a camera with our K sees them at its pixels' centres."""
    xy = pixel_grid(height, width).double()
    if not distortion:
        rays = homogeneous(xy) @ torch.linalg.inv(K.double()).T
    else:
        rays = homogeneous(straighten((xy - K[:2, 2]) / K.diagonal()[:2], distortion))
    color, z = see(rays, cam_from_world)
    image = (color.reshape(height, width, 3) * 255).round().byte().numpy()
    return image, z.reshape(height, width).numpy()


def write_png(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    if values.ndim == 3:
        values = values[..., ::-1]
    assert cv2.imwrite(str(path), np.ascontiguousarray(values))


def write_jpg(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    full = [cv2.IMWRITE_JPEG_QUALITY, 100, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    assert cv2.imwrite(str(path), np.ascontiguousarray(image[..., ::-1]), full)


def units(depth, per_metre=1000.0):
    """Depth in metres as a depth file has it."""
    return np.round(depth * per_metre).astype(np.uint16)


def color_error(a, b, shift_px=0.0):
    """Mean difference in colour between frame a and what b shows at the same places, and the share of visible pixels.

    shift_px: added to both principal points, to see what a wrong pixel convention would do.
    """
    height, width = a.image.shape[-2:]
    K = torch.stack([a.K, b.K]).float()[None].clone()
    K[..., :2, 2] += shift_px
    poses = torch.stack([a.cam_from_world, b.cam_from_world]).float()[None]
    xy = pixel_grid(height, width, 2)[None]
    warped = DepthGeometry(torch.stack([a.depth, b.depth])[None].float(), K, poses, 0.02).warp(0, 1, xy)
    here = sample(a.image[None], xy, (width, height))
    there = sample(b.image[None], warped.xy, (width, height))
    seen = warped.state == PointState.VISIBLE
    return float((here - there).abs().mean(-1)[seen].mean()), float(seen.float().mean())
