"""Camera paths: how the eye and the point looked at move while a sequence is taken."""

from __future__ import annotations

import math

import numpy as np
import torch

from traqpoint.data.worlds.config import PATHS
from traqpoint.data.worlds.scene import Scene, yaw
from traqpoint.geometry.transforms import look_at, rigid

TRIES = 64
"""Places tried for a path through free space before the camera stands still."""
DOWN = np.array([0.0, 1.0, 0.0])


def draw_path(
    scene: Scene, kind: str, time: np.ndarray, motion: float, roll_deg: float, rng: np.random.Generator
) -> np.ndarray:
    """cam_from_world (T, 4, 4) at times (T, 1) in [0, 1] along a path of `kind` (a key of PATHS) through free space.

    motion: its length as a share of the distance to the point looked at. roll_deg: see WorldsConfig.
    """
    num_frames = len(time)
    clearance = 0.08 * scene.texture_span
    path, targets = np.zeros((num_frames, 3)), np.zeros((num_frames, 3))
    for attempt in range(TRIES):
        eye, target = rng.uniform(*scene.eyes), rng.uniform(*scene.targets)
        distance = float(np.linalg.norm(target - eye))
        if not 0.6 < distance / scene.texture_span < 2.5:
            continue
        # Shorter and shorter if free space is narrow.
        length = motion * distance * rng.uniform(0.5, 1) * 0.95**attempt
        path, targets = PATHS[kind](eye, target, length, time, rng)
        if scene.free(path, clearance).all():
            break
    else:
        path, targets = path[:1].repeat(len(path), 0), targets[:1].repeat(len(path), 0)
    pose = look_at(torch.from_numpy(path), torch.from_numpy(targets))
    roll = np.deg2rad(roll_deg) * (rng.uniform(-1, 1) + min(1.0, motion) * rng.uniform(-1, 1) * time[:, 0]) / 2
    spin = np.tile(np.eye(3), (num_frames, 1, 1))
    spin[:, 0, 0] = spin[:, 1, 1] = np.cos(roll)
    spin[:, 1, 0] = np.sin(roll)
    spin[:, 0, 1] = -np.sin(roll)
    return (rigid(torch.from_numpy(spin), torch.zeros(num_frames, 3, dtype=torch.float64)) @ pose).numpy()


def curve(eye, target, length, time, rng):
    """A parabola in a random direction, rather sideways than ahead; the point looked at drifts by a quarter of it."""
    ahead = (target - eye) / float(np.linalg.norm(target - eye))
    step, bend, drift = rng.normal(size=(3, 3)) * (1, 0.4, 1)
    step += ahead * (rng.normal() * 0.7 - step @ ahead)
    step /= np.linalg.norm(step)
    bend -= step * (bend @ step)
    return eye + length * (step * time + 0.4 * bend * time * (1 - time)), target + 0.25 * length * drift * time


def orbit(eye, target, length, time, rng):
    """Around the point looked at, rising or falling a little."""
    distance = float(np.linalg.norm(eye - target))
    angle = rng.choice([-1, 1]) * length / distance
    around = np.stack([yaw(angle * float(t)) @ (eye - target) for t in time[:, 0]])
    return target + around + 0.2 * length * rng.normal() * time * DOWN, np.tile(target, (len(time), 1))


def forward(eye, target, length, time, rng):
    """Ahead, and a little off to one side."""
    step = (target - eye) / np.linalg.norm(target - eye) + rng.normal(size=3) * (0.1, 0.03, 0.1)
    return eye + length * step * time, target + length * step * time


def strafe(eye, target, length, time, rng):
    """Sideways, with parallel views."""
    side = np.cross(target - eye, DOWN)
    step = rng.choice([-1, 1]) * side / np.linalg.norm(side) + rng.normal() * 0.2 * DOWN
    return eye + length * step * time, target + length * step * time


def pan(eye, target, length, time, rng):
    """On the spot: the view turns, rather sideways than up or down, and there is no parallax."""
    distance = float(np.linalg.norm(target - eye))
    angle = rng.choice([-1, 1]) * length / distance
    views = np.stack([yaw(angle * float(t)) @ (target - eye) for t in time[:, 0]])
    return np.tile(eye, (len(time), 1)), eye + views + 0.2 * length * rng.normal() * time * DOWN


def handheld(eye, target, length, time, rng):
    """A slow drift, and the trembling of a hand: of the eye, and more so of the view."""
    drift = rng.normal(size=3) * (1, 0.3, 1) * time
    return (
        eye + length * (0.2 * drift + 0.08 * _tremor(time, rng)),
        target + length * (0.2 * drift + 0.3 * _tremor(time, rng)),
    )


def _tremor(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(T, 3): smooth in time, without a direction, 0 at first; about 1 in size."""
    frequency = rng.uniform(1, 4, (4, 1, 3))
    phase = rng.uniform(0, 2 * math.pi, (4, 1, 3))
    waves = np.sin(2 * math.pi * frequency * time + phase) - np.sin(phase)
    return waves.sum(0) / 2
