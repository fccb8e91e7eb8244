"""Synthetic worlds: textured scenes and a moving camera, with exact depth, poses and occlusion for every pixel."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from traqpoint.data.augment import expose, photometric
from traqpoint.data.config import DataConfig
from traqpoint.data.photos import photos_of
from traqpoint.data.source import curriculum_band
from traqpoint.data.worlds.config import WorldsConfig
from traqpoint.data.worlds.kinds import draw_scene
from traqpoint.data.worlds.light import moving_light
from traqpoint.data.worlds.motion import draw_path
from traqpoint.data.worlds.render import Surfaces, render, render_depth
from traqpoint.data.worlds.repeated import repeated_textures
from traqpoint.data.worlds.scene import Scene, stack_scenes
from traqpoint.data.worlds.shutter import draw_smears, motion_blur
from traqpoint.data.worlds.textures import Atlas, photo_textures, procedural_textures
from traqpoint.geometry.pixels import pixel_grid
from traqpoint.geometry.warp import RELATIVE_DEPTH_TOLERANCE, DepthGeometry
from traqpoint.types import Device, SequenceBatch, map_tensors

PREVIEW_PX = 48
"""Longer side of the depth maps on which overlap is measured before anything is rendered."""
ATTEMPTS = 16
"""Camera paths tried per scene, each with 0.8 times the motion of the one before: the last one hardly moves."""
BAND_ATTEMPTS, LONGEST = 32, 6.0
"""For a band of overlap: paths tried per scene, and the largest motion; if none lies in the band, the nearest is taken.
"""
REPEATED_TEXTURES = 18
"""Textures with one repeated unit."""
BAND_TOLERANCE = 0.1
"""Relative depth difference within one surface on the preview: with it, overlap is that of full frames to 1 %."""
MAX_SKY = 0.35
"""Largest share of sky in any frame."""
DEPTH_TOLERANCE = 0.01
"""Relative; the depth is exact, and what stands 2 % in front of a wall is already another surface."""


class Worlds:
    """An endless supply of rendered sequences.

    textures: (N, 3, S, S) in [0, 1], see `data.textures`; procedural ones if None. Everything is rendered on `device`.
    """

    def __init__(self, config: WorldsConfig, textures: Tensor | None = None, device: Device = "cpu") -> None:
        self.config = config
        self.device = torch.device(device)
        generator = torch.Generator().manual_seed(config.seed)
        if textures is None:
            textures = procedural_textures(config.num_textures, config.texture_size, generator)
        self.num_textures = len(textures)
        if config.repeated > 0:
            more = repeated_textures(REPEATED_TEXTURES, textures.shape[-1], generator)
            textures = torch.cat([textures, more.to(textures)])
        self.atlas = Atlas(textures, device)

    def at(self, progress: float) -> Worlds:
        """The source for `progress` in [0, 1] of a run: itself, or the curriculum's stage."""
        if not self.config.curriculum:
            return self
        out = copy.copy(self)
        out.config = replace(self.config, overlap=curriculum_band(progress))
        return out

    def sample(self, batch_size: int, generator: torch.Generator) -> SequenceBatch:
        """`batch_size` new scenes, each seen by `num_frames` cameras; the geometry is a DepthGeometry.

        generator: on the CPU or on `device`. The same generator state gives the same bits on the same device. Depth
        and poses are those of the middle of each exposure.
        """
        config = self.config
        scenes, surfaces, K, poses = self._draw(batch_size, generator)
        light = moving_light(scenes, config.num_frames, config.light).to(self.device) if config.light > 0 else None
        images, depth = render(surfaces, K, poses, config.image_size, self.atlas, light)
        if config.blur_px > 0:
            smears = draw_smears((batch_size, config.num_frames), config.blur_px, generator)
            images = motion_blur(images, depth, surfaces, K, poses, smears, self.atlas, light)
        images = expose(images, generator, config.exposure)
        flat = photometric(images.flatten(0, 1), generator, config.photometric)
        return SequenceBatch(
            flat.reshape(images.shape), DepthGeometry(depth, K.float(), poses.float(), DEPTH_TOLERANCE)
        )

    def draw(self, batch_size: int, generator: torch.Generator) -> tuple[Surfaces, Tensor, Tensor]:
        """The scenes and cameras of `sample`, not rendered: Surfaces, K (B, T, 3, 3), cam_from_world (B, T, 4, 4)."""
        return self._draw(batch_size, generator)[1:]

    def _draw(self, batch_size: int, generator: torch.Generator) -> tuple[list[Scene], Surfaces, Tensor, Tensor]:
        seed = torch.randint(2**62, (), generator=generator, device=generator.device)
        rng = np.random.default_rng(int(seed))
        config = self.config
        kinds = rng.choice(config.kinds, size=batch_size)
        repeated = (config.repeated, self.atlas.count - self.num_textures)
        scenes = [
            draw_scene(kind, config.num_objects, self.num_textures, rng, config.clutter, config.thin, repeated)
            for kind in kinds
        ]
        surfaces = stack_scenes(scenes).to(self.device)
        K = torch.from_numpy(_draw_K(batch_size, config, rng)).to(self.device)
        poses = torch.from_numpy(_draw_poses(scenes, surfaces, K, config, rng)).to(self.device)
        return scenes, surfaces, K, poses


def build(data: DataConfig, device: Device) -> Worlds:
    """The source ``worlds`` of a mixture: with photos as textures where there are some."""
    photos = photos_of(data)
    return Worlds(data.worlds, photo_textures(photos) if photos else None, device)


def flight(num_frames: int, config: WorldsConfig, textures: Tensor | None = None, seed: int = 0) -> SequenceBatch:
    """One long smooth camera flight through one world, B = 1; `DepthGeometry.warp` gives every point's true track."""
    worlds = Worlds(replace(config, num_frames=num_frames), textures)
    return worlds.sample(1, torch.Generator().manual_seed(seed))


def _draw_K(batch_size: int, config: WorldsConfig, rng: np.random.Generator) -> np.ndarray:
    """(B, T, 3, 3): one camera per scene, 45 to 75 degrees wide on the longer side, centre a little off."""
    width, height = config.image_size
    focal = max(width, height) / 2 / np.tan(np.deg2rad(rng.uniform(45, 75, batch_size)) / 2)
    K = np.zeros((batch_size, config.num_frames, 3, 3))
    K[..., 0, 0] = K[..., 1, 1] = focal[:, None]
    K[..., :2, 2] = (np.array([width, height]) * rng.uniform(0.48, 0.52, (batch_size, 2)))[:, None]
    K[..., 2, 2] = 1
    return K


def _draw_poses(
    scenes: list[Scene], surfaces: Surfaces, K: Tensor, config: WorldsConfig, rng: np.random.Generator
) -> np.ndarray:
    """cam_from_world (B, T, 4, 4): in each scene the first good one of the paths tried, else the nearest to good."""
    poses = np.zeros((len(scenes), config.num_frames, 4, 4))
    kinds = [str(scene.effects.choice(config.paths)) for scene in scenes]
    motion = np.full(len(scenes), config.motion)
    least = np.full(len(scenes), np.inf)
    waiting = np.arange(len(scenes))
    time = np.linspace(0, 1, config.num_frames)[:, None]
    if config.overlap is not None:
        # A star: all other frames are about as far from the first one, and nearer to each other.
        time[1:] = (1 + time[1:]) / 2
    tolerance = RELATIVE_DEPTH_TOLERANCE if config.overlap is None else BAND_TOLERANCE
    for _ in range(ATTEMPTS if config.overlap is None else BAND_ATTEMPTS):
        drawn = [draw_path(scenes[i], kinds[i], time, motion[i], config.roll_deg, rng) for i in waiting]
        index = torch.from_numpy(waiting).to(K.device)
        part = map_tensors(surfaces, partial(torch.index_select, dim=0, index=index))
        new = torch.from_numpy(np.stack(drawn)).to(K.device)
        overlap, sky = _preview(part, K[index], new, config.image_size, tolerance)
        error, factor = _judged(overlap, sky, config)
        better = error <= least[waiting]
        poses[waiting[better]] = np.stack(drawn)[better]
        least[waiting] = np.minimum(least[waiting], error)
        motion[waiting] = np.minimum(motion[waiting] * factor, max(LONGEST, config.motion))
        waiting = waiting[error > 0]
        if not len(waiting):
            break
    return poses


def _judged(overlap: np.ndarray, sky: np.ndarray, config: WorldsConfig) -> tuple[np.ndarray, np.ndarray]:
    """How far paths are from what was asked for, 0 if they are good, and what their motion should be multiplied by.

    overlap: (N, T - 1) of each other frame with the first, sky: (N,) largest share in any frame.
    """
    cloudy = np.where(sky < MAX_SKY, 0.0, np.inf)
    if config.overlap is None or not overlap.shape[1]:
        good = (overlap >= config.min_overlap).all(1)
        return np.where(good, cloudy, np.inf), np.full(len(sky), 0.8)
    low, high = config.overlap
    mean, worst = overlap.mean(1), overlap.min(1)
    error = np.maximum(0, low - mean) + np.maximum(0, mean - high) + np.maximum(0, low / 2 - worst)
    # Overlap falls about exponentially with motion.
    factor = np.log((low + high) / 2) / np.log(mean.clip(0.02, 0.98))
    return error + cloudy, factor.clip(0.6, 1.7)


def _preview(
    surfaces: Surfaces, K: Tensor, poses: Tensor, image_size: tuple[int, int], tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Share (N, T - 1) of the first frame's pixels that each other frame sees; largest share (N,) of sky in a frame."""
    width, height = image_size
    scale = PREVIEW_PX / max(width, height)
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    shrink = torch.tensor([size[0] / width, size[1] / height, 1.0], dtype=K.dtype, device=K.device)
    small = shrink.unsqueeze(1) * K
    depth = render_depth(surfaces, small, poses, size)
    geometry = DepthGeometry(depth, small.float(), poses.float(), tolerance)
    xy = pixel_grid(size[1], size[0], 2, depth.device).expand(depth.shape[0], -1, -1)
    frames = range(1, poses.shape[1])
    seen = [geometry.warp(0, frame, xy).visible.float().mean(1) for frame in frames]
    overlap = torch.stack(seen, dim=1) if seen else depth.new_zeros(len(depth), 0)
    return overlap.cpu().numpy(), depth.isnan().float().mean(dim=(2, 3)).amax(1).cpu().numpy()
