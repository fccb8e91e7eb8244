"""Synthetic worlds: textured scenes and a moving camera, with exact depth, poses and occlusion for every pixel."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from traqpoint.data.augment import photometric
from traqpoint.data.render import Surfaces, render, render_depth
from traqpoint.data.scenes import KINDS, Scene, draw_scene, stack_scenes
from traqpoint.data.textures import Atlas, procedural_textures
from traqpoint.errors import ConfigError
from traqpoint.geometry.pixels import pixel_grid
from traqpoint.geometry.transforms import look_at, rigid
from traqpoint.geometry.warp import DepthGeometry
from traqpoint.types import Device, Sequence

PREVIEW_PX = 48
"""Longer side of the depth maps on which overlap is measured before anything is rendered."""
ATTEMPTS = 16
"""Camera paths tried per scene, each with 0.8 times the motion of the one before: the last one hardly moves."""
MAX_SKY = 0.35
"""Largest share of sky in any frame."""
DEPTH_TOLERANCE = 0.01
"""Relative; the depth is exact, and what stands 2 % in front of a wall is already another surface."""


@dataclass(frozen=True)
class WorldsConfig:
    """What the worlds look like and how the camera moves through them."""

    image_size: tuple[int, int] = (480, 480)
    """(W, H) of the frames in pixels."""
    num_frames: int = 5
    """Frames per sequence."""
    kinds: tuple[str, ...] = ("room", "street", "table", "hills")
    """Scenes to draw from."""
    num_objects: int = 8
    """Boxes or stacks of boxes per scene."""
    motion: float = 0.5
    """Length of the camera's path, as a share of the distance to the point it looks at."""
    roll_deg: float = 15.0
    """Largest rotation about the optical axis."""
    min_overlap: float = 0.3
    """Least share of the first frame's pixels that every other frame sees too."""
    photometric: float = 1.0
    """Strength of the change of light, colour, noise and sharpness per frame; 0 is none."""
    num_textures: int = 40
    """Procedural textures, if no others are given."""
    texture_size: int = 512
    """Side of the procedural textures in texels."""
    seed: int = 0
    """Seed of the procedural textures; everything else comes from the generator given to `sample`."""

    def __post_init__(self) -> None:
        def require(condition: bool, message: str) -> None:
            if not condition:
                raise ConfigError(message)

        require(min(self.image_size) >= 16, f"image_size must be at least 16 px, got {self.image_size}")
        require(self.num_frames >= 1, f"num_frames must be at least 1, got {self.num_frames}")
        unknown = set(self.kinds) - set(KINDS)
        require(bool(self.kinds) and not unknown, f"kinds must be among {', '.join(KINDS)}; got {self.kinds}")
        require(self.num_objects >= 0, f"num_objects must not be negative, got {self.num_objects}")
        require(0 <= self.motion <= 2, f"motion must be in [0, 2], got {self.motion}")
        require(0 <= self.roll_deg <= 180, f"roll_deg must be in [0, 180], got {self.roll_deg}")
        require(0 <= self.min_overlap <= 0.8, f"min_overlap must be in [0, 0.8], got {self.min_overlap}")
        require(0 <= self.photometric <= 2, f"photometric must be in [0, 2], got {self.photometric}")
        require(self.num_textures >= 1, f"num_textures must be at least 1, got {self.num_textures}")
        require(self.texture_size >= 16, f"texture_size must be at least 16, got {self.texture_size}")


class Worlds:
    """An endless supply of rendered sequences.

    textures: (N, 3, S, S) in [0, 1], see `data.textures`; procedural ones if None. Everything is rendered on `device`.
    """

    def __init__(self, config: WorldsConfig, textures: Tensor | None = None, device: Device = "cpu") -> None:
        self.config = config
        self.device = torch.device(device)
        if textures is None:
            generator = torch.Generator().manual_seed(config.seed)
            textures = procedural_textures(config.num_textures, config.texture_size, generator)
        self.atlas = Atlas(textures, device)

    def sample(self, batch_size: int, generator: torch.Generator) -> Sequence:
        """`batch_size` new scenes, each seen by `num_frames` cameras; the geometry is a DepthGeometry.

        generator: on the CPU or on `device`. The same generator state gives the same bits on the same device.
        """
        surfaces, K, poses = self.draw(batch_size, generator)
        images, depth = render(surfaces, K, poses, self.config.image_size, self.atlas)
        flat = photometric(images.flatten(0, 1), generator, self.config.photometric)
        return Sequence(flat.reshape(images.shape), DepthGeometry(depth, K.float(), poses.float(), DEPTH_TOLERANCE))

    def draw(self, batch_size: int, generator: torch.Generator) -> tuple[Surfaces, Tensor, Tensor]:
        """The scenes and cameras of `sample`, not rendered: Surfaces, K (B, T, 3, 3), cam_from_world (B, T, 4, 4)."""
        seed = torch.randint(2**62, (), generator=generator, device=generator.device)
        rng = np.random.default_rng(int(seed))
        config = self.config
        kinds = rng.choice(config.kinds, size=batch_size)
        scenes = [draw_scene(kind, config.num_objects, self.atlas.count, rng) for kind in kinds]
        surfaces = stack_scenes(scenes).to(self.device)
        K = torch.from_numpy(_draw_K(batch_size, config, rng)).to(self.device)
        poses = torch.eye(4, dtype=torch.float64).repeat(batch_size, config.num_frames, 1, 1).to(self.device)
        waiting = list(range(batch_size))
        for attempt in range(ATTEMPTS):
            motion = config.motion * 0.8**attempt
            drawn = [torch.from_numpy(_draw_path(scenes[i], config, motion, rng)) for i in waiting]
            poses[waiting] = torch.stack(drawn).to(self.device)
            part = Surfaces(*(getattr(surfaces, name)[waiting] for name in surfaces.__dataclass_fields__))
            good = _acceptable(part, K[waiting], poses[waiting], config)
            waiting = [i for i, ok in zip(waiting, good, strict=True) if not ok]
            if not waiting:
                break
        return surfaces, K, poses


def flight(num_frames: int, config: WorldsConfig, textures: Tensor | None = None, seed: int = 0) -> Sequence:
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


def _draw_path(scene: Scene, config: WorldsConfig, motion: float, rng: np.random.Generator) -> np.ndarray:
    """cam_from_world (T, 4, 4) along a smooth curve through free space.

    The eye moves on a parabola in a random direction, rather sideways than ahead; the point looked at drifts by a
    quarter of that.
    """
    time = np.linspace(0, 1, config.num_frames)[:, None]
    clearance = 0.08 * scene.texture_span
    path, targets = np.zeros((config.num_frames, 3)), np.zeros((config.num_frames, 3))
    for attempt in range(64):
        eye, target = rng.uniform(*scene.eyes), rng.uniform(*scene.targets)
        distance = float(np.linalg.norm(target - eye))
        if not 0.6 < distance / scene.texture_span < 2.5:
            continue
        ahead = (target - eye) / distance
        # Shorter and shorter if free space is narrow.
        length = motion * distance * rng.uniform(0.5, 1) * 0.95**attempt
        step, bend, drift = rng.normal(size=(3, 3)) * (1, 0.4, 1)
        step += ahead * (rng.normal() * 0.7 - step @ ahead)
        step /= np.linalg.norm(step)
        bend -= step * (bend @ step)
        path = eye + length * (step * time + 0.4 * bend * time * (1 - time))
        targets = target + 0.25 * length * drift * time
        if scene.free(path, clearance).all():
            break
    else:
        path, targets = path[:1].repeat(len(path), 0), targets[:1].repeat(len(path), 0)
    pose = look_at(torch.from_numpy(path), torch.from_numpy(targets))
    roll = np.deg2rad(config.roll_deg) * (rng.uniform(-1, 1) + min(1.0, motion) * rng.uniform(-1, 1) * time[:, 0]) / 2
    spin = np.tile(np.eye(3), (config.num_frames, 1, 1))
    spin[:, 0, 0] = spin[:, 1, 1] = np.cos(roll)
    spin[:, 1, 0] = np.sin(roll)
    spin[:, 0, 1] = -np.sin(roll)
    return (rigid(torch.from_numpy(spin), torch.zeros(config.num_frames, 3, dtype=torch.float64)) @ pose).numpy()


def _acceptable(surfaces: Surfaces, K: Tensor, poses: Tensor, config: WorldsConfig) -> list[bool]:
    """Per scene: each frame overlaps the first one as asked, and shows more than sky."""
    width, height = config.image_size
    scale = PREVIEW_PX / max(width, height)
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    shrink = torch.tensor([size[0] / width, size[1] / height, 1.0], dtype=K.dtype, device=K.device)
    small = shrink.unsqueeze(1) * K
    depth = render_depth(surfaces, small, poses, size)
    geometry = DepthGeometry(depth, small.float(), poses.float())
    xy = pixel_grid(size[1], size[0], 2, depth.device).expand(depth.shape[0], -1, -1)
    good = depth.isnan().float().mean(dim=(2, 3)).amax(1) < MAX_SKY
    for frame in range(1, config.num_frames):
        good &= geometry.warp(0, frame, xy).visible.float().mean(1) >= config.min_overlap
    return good.tolist()
