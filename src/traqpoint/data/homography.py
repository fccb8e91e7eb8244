"""Sequences from plain photos: each frame is a homography of the photo, so every correspondence is known."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from traqpoint.data.augment import photometric
from traqpoint.data.config import DataConfig, HomographyConfig
from traqpoint.data.photos import load_video_frames, photos_of
from traqpoint.data.source import needs
from traqpoint.errors import DataError
from traqpoint.geometry.homography import apply_homography
from traqpoint.geometry.pixels import inside, pixel_grid
from traqpoint.geometry.sampling import warp_image
from traqpoint.geometry.transforms import translation
from traqpoint.geometry.warp import HomographyGeometry
from traqpoint.types import Device, SequenceBatch


class HomographySequences:
    """Endless homography sequences of `photos` (uint8 (3, H, W) tensors), rendered on `device`."""

    def __init__(self, photos: list[Tensor], config: HomographyConfig | None = None, device: Device = "cpu") -> None:
        if not photos:
            raise DataError("homography sequences need at least one photo")
        self.config = config or HomographyConfig()
        self.device = torch.device(device)
        self.photos = [photo.to(device) for photo in photos]

    def sample(self, batch_size: int, generator: torch.Generator) -> SequenceBatch:
        """batch_size sequences of photos drawn at random."""
        chosen = torch.randint(len(self.photos), (batch_size,), generator=generator)
        return self.render(chosen.tolist(), generator)

    def render(self, indices: list[int], generator: torch.Generator) -> SequenceBatch:
        """One sequence of each of these photos."""
        images, homographies, masks = [], [], []
        for index in indices:
            photo = self.photos[index]
            frame_from_photo = self._draw(photo.shape[-1], photo.shape[-2], generator).to(self.device)
            frames, mask = _render(photo, frame_from_photo, self.config.image_size)
            images.append(frames)
            homographies.append(frame_from_photo)
            masks.append(mask)
        stack = torch.stack(images)
        if self.config.photometric > 0:
            flat = photometric(stack.flatten(0, 1), generator, self.config.photometric)
            stack = flat.reshape(stack.shape)
        return SequenceBatch(stack, HomographyGeometry(torch.stack(homographies), torch.stack(masks)))

    def _draw(self, width: int, height: int, generator: torch.Generator) -> Tensor:
        """frame_from_photo (T, 3, 3)."""
        config, side = self.config, float(self.config.image_size)

        def uniform(low: float, high: float) -> float:
            return low + (high - low) * float(torch.rand((), generator=generator))

        zoom = math.exp(uniform(math.log(config.zoom[0]), math.log(config.zoom[1]))) * side / min(width, height)
        free_x, free_y = width * zoom - side, height * zoom - side
        first = translation(-uniform(0, 1) * free_x, -uniform(0, 1) * free_y) @ torch.diag(
            torch.tensor([zoom, zoom, 1.0])
        )
        frames = [first]
        while len(frames) < config.num_frames:
            strength = 1.0
            while True:
                H = _perturbation(config, strength, uniform) @ first
                if strength < 0.1 or _coverage(H, width, height, config.image_size) >= config.min_coverage:
                    break
                strength *= 0.9
            frames.append(H)
        return torch.stack(frames)


@needs("photos")
def build(data: DataConfig, device: Device) -> HomographySequences:
    """The source ``homography`` of a mixture."""
    return HomographySequences(photos_of(data), data.homography, device)


@needs("videos")
def build_from_videos(data: DataConfig, device: Device) -> HomographySequences:
    """The source ``video`` of a mixture."""
    frames = [frame for video in data.videos for frame in load_video_frames(video)]
    return HomographySequences(frames, data.homography, device)


def _perturbation(config: HomographyConfig, strength: float, uniform) -> Tensor:
    """A random frame_from_first (3, 3) about the frame's centre."""
    side = config.image_size
    angle = math.radians(uniform(-1, 1) * config.rotation_degrees * strength)
    scale = config.scale ** (uniform(-1, 1) * strength)
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    similarity = torch.tensor([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    # A corner at distance side / sqrt(2) moves by about p * side²/2 for a third row (p, q, 1).
    reach = config.perspective * strength
    tilt = torch.eye(3)
    tilt[2, 0], tilt[2, 1] = uniform(-reach, reach) * 2 / side, uniform(-reach, reach) * 2 / side
    stretch = torch.eye(3)
    stretch[0, 0], stretch[0, 1] = 1 + uniform(-reach, reach), uniform(-reach, reach)
    shift = [side / 2 + uniform(-1, 1) * config.translation * strength * side for _ in range(2)]
    return translation(*shift) @ similarity @ stretch @ tilt @ translation(-side / 2, -side / 2)


def _coverage(frame_from_photo: Tensor, width: int, height: int, side: int) -> float:
    grid = pixel_grid(side, side, stride=side // 8)
    xy = apply_homography(torch.linalg.inv(frame_from_photo), grid)
    return float(inside(xy, width, height, margin=2).float().mean())


def _render(photo: Tensor, frame_from_photo: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """photo (3, h, w) uint8, (T, 3, 3) -> frames (T, 3, side, side) float, mask (T, side, side) bool.

    Frames that shrink the photo read a coarser level of it, so that they do not alias.
    """
    height, width = photo.shape[-2:]
    grid = pixel_grid(side, side, device=photo.device)
    xy = apply_homography(torch.linalg.inv(frame_from_photo), grid)
    mask = inside(xy, width, height, margin=1).reshape(-1, side, side)
    shrink = frame_from_photo[:, :2, :2].det().abs().rsqrt()
    levels = shrink.log2().add(0.3).floor().clamp(0, 3).long().tolist()
    pyramid = [photo.float().unsqueeze(0) / 255]
    for _ in range(max(levels)):
        pyramid.append(F.avg_pool2d(pyramid[-1], 2, ceil_mode=True))
    frames = [
        warp_image(pyramid[level], xy[t].reshape(1, side, side, 2) / 2**level)[0] for t, level in enumerate(levels)
    ]
    return torch.stack(frames), mask
