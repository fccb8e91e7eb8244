"""Light that moves while a sequence is taken: each surface brightens or darkens by how it faces the light."""

from __future__ import annotations

import numpy as np
import torch

from traqpoint.data.worlds.render import Light
from traqpoint.data.worlds.scene import AMBIENT, DIRECT, WAVE, Scene

TURN_DEG = (20.0, 80.0)
"""How far the light's direction turns from the first frame to the last at strength 1: an hour or two to half a day."""
TINT, DIM = 0.25, 0.3
"""Standard deviations, in log units at strength 1, of the light's colour and of its brightness in the last frame."""
HARDNESS = 0.35
"""What the direct light gains at strength 1, and the ambient light loses: a sun instead of an overcast sky."""


def moving_light(scenes: list[Scene], num_frames: int, strength: float) -> Light:
    """Light for each scene, padded as `stack_scenes` pads: from a first frame with the light of the scene to a last
    one with another direction, colour and strength of it. strength: 1 is as far as it goes within some hours."""
    size = max(len(s.vectors) for s in scenes)
    shade = np.zeros((len(scenes), num_frames, size, 3))
    colour = np.ones((len(scenes), num_frames, size, 3))
    for i, scene in enumerate(scenes):
        n = len(scene.vectors)
        shade[i, :, :n], colour[i, :, :n] = _lit(scene, num_frames, strength)
    return Light(torch.from_numpy(shade), torch.from_numpy(colour))


def _lit(scene: Scene, num_frames: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """shade and colour (T, Q, 3) of one scene."""
    rng, time = scene.effects, np.linspace(0, 1, num_frames)[:, None]
    axis = np.cross(scene.light, rng.normal(size=3))
    axis /= np.linalg.norm(axis)
    angle = np.deg2rad(strength * rng.uniform(*TURN_DEG)) * time
    # The axis is at right angles to the light: Rodrigues' formula has no third term.
    direction = scene.light * np.cos(angle) + np.cross(axis, scene.light) * np.sin(angle)
    sun, sky = np.exp(strength * time[None] * rng.normal(size=(2, 1, 3)) * TINT)
    dim = np.exp(strength * time * rng.normal() * DIM)
    ambient, direct = dim * sky * (AMBIENT - HARDNESS * strength), dim * sun * (DIRECT + HARDNESS * strength)
    facing = np.maximum(direction @ np.stack(scene.normals).T, 0)
    colour = ambient[:, None] + direct[:, None] * facing[..., None]
    origin, a, b = np.stack(scene.vectors, axis=1)
    phase = scene.light_phase + np.pi * strength * time
    at_origin, at_a, at_b = (
        1 + WAVE * np.sin(corner @ scene.light_wave + phase) for corner in (origin, origin + a, origin + b)
    )
    return np.stack([at_a - at_origin, at_b - at_origin, at_origin], axis=-1), colour
