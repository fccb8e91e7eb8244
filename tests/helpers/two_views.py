"""Two calibrated views of random points, exactly."""

import math

import torch

from traqpoint.geometry.transforms import rigid, rotation_from_quaternion

K = torch.tensor([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]], dtype=torch.float64)
POSE = rigid(
    rotation_from_quaternion(torch.tensor([1.0, 0.04, -0.1, 0.02], dtype=torch.float64)),
    torch.tensor([1.0, 0.1, -0.2], dtype=torch.float64),
)
SIZE = (640, 480)


def points(n=120, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 3, dtype=torch.float64, generator=generator) * torch.tensor([3, 2, 4]) + torch.tensor(
        [-2, -1, 5]
    )


def views(x, pose=POSE):
    y = x @ pose[:3, :3].T + pose[:3, 3]
    return [(p @ K.T)[:, :2] / p[:, 2:] for p in (x, y)]


def turned_about_z(degrees):
    half = math.radians(degrees) / 2
    return rotation_from_quaternion(torch.tensor([math.cos(half), 0, 0, math.sin(half)], dtype=torch.float64))
