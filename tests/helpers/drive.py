"""A synthetic drive with exact features."""

from pathlib import Path

import torch

from traqpoint.data.testsets.odometry import OdometrySequence
from traqpoint.evaluation.predict import Predictions
from traqpoint.geometry.camera import Camera
from traqpoint.geometry.transforms import homogeneous, invert_rigid, rigid, rotation_from_quaternion
from traqpoint.io.npz import NpzFeatures, NpzMatches
from traqpoint.io.trajectory import Trajectory
from traqpoint.types import Features, Matches

SIZE, FRAMES = (640, 480), 12
PINHOLE = Camera("PINHOLE", SIZE, torch.tensor([500.0, 500, 320, 240], dtype=torch.float64))


def drive(frames=FRAMES):
    """A bend of steps of growing length: 0.3 m, 0.35 m, …"""
    angle = torch.linspace(0, 0.4, frames, dtype=torch.float64)
    zero = torch.zeros_like(angle)
    R = rotation_from_quaternion(torch.stack([(angle / 2).cos(), zero, (angle / 2).sin(), zero], dim=-1))
    step = (0.3 + 0.05 * torch.arange(frames)).double()[:, None] * R[:, :, 2]
    centres = torch.cat([torch.zeros(1, 3, dtype=torch.float64), step.cumsum(0)[:-1]])
    world_from_cam = rigid(R, centres)
    return Trajectory(torch.arange(frames, dtype=torch.float64), invert_rigid(world_from_cam))


class Drive:
    """Features and matches of exact projections of 300 points; `blank` frames have no keypoints."""

    def __init__(self, noise=0.0, wrong=0.0, blank=(), camera=None, points=300):
        self.truth = drive()
        generator = torch.Generator().manual_seed(0)
        low, high = torch.tensor([-12.0, -4, 4]), torch.tensor([12.0, 4, 30])
        world = low + (high - low) * torch.rand(points, 3, generator=generator)
        camera = camera or PINHOLE
        self.ids, self.features = [], []
        for t, pose in enumerate(self.truth.cam_from_world):
            xy = camera.project((homogeneous(world.double()) @ pose.T)[:, :3])
            seen = ((xy >= 0) & (xy < torch.tensor(SIZE))).all(-1) & (t not in blank)
            ids = seen.nonzero().flatten()
            xy = xy[ids] + noise * torch.randn(len(ids), 2, generator=generator)
            self.ids.append(ids)
            self.features.append(Features(xy.float(), torch.ones(len(ids)), torch.eye(points)[ids], SIZE))
        self.wrong, self.generator = wrong, generator
        images = {f"{t:03}.png": Path(f"{t:03}.png") for t in range(FRAMES)}
        self.sequence = OdometrySequence("drive", images, self.truth.timestamps, camera, self.truth)

    def matches(self, i, j):
        common = self.ids[i][torch.isin(self.ids[i], self.ids[j])]
        a, b = torch.searchsorted(self.ids[i], common), torch.searchsorted(self.ids[j], common)
        mixed = torch.rand(len(b), generator=self.generator) < self.wrong
        b[mixed] = b[mixed].roll(1)
        return Matches(torch.stack([a, b], dim=-1), torch.ones(len(a)))

    def pair(self, i, j):
        return self.features[i], self.features[j], self.matches(i, j)

    def predictions(self, folder, benchmark, missing=()):
        features, matches = NpzFeatures(folder / "f"), NpzMatches(folder / "m")
        names = list(self.sequence.images)
        for t, name in enumerate(names):
            if t not in missing:
                features.write(name, self.features[t])
        for a, b in benchmark.on(self.sequence).inputs()[1]:
            matches.write(a, b, self.matches(names.index(a), names.index(b)))
        failed = tuple(f"{names[t]}: broken" for t in missing)
        return Predictions("exact", features, matches, {"max_keypoints": 300}, failed)
