"""Sequences from plain photos: each frame is a homography of the photo, so every correspondence is known."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from traqpoint.data.augment import photometric
from traqpoint.data.config import DataConfig, HomographyConfig
from traqpoint.data.photos import load_video_frames, photos_of
from traqpoint.data.relight import relight
from traqpoint.data.render_fast import pyramid, render
from traqpoint.data.source import Describe, needs
from traqpoint.data.taught import carry_points
from traqpoint.errors import DataError
from traqpoint.geometry.homography import apply_homography
from traqpoint.geometry.pixels import inside, pixel_grid
from traqpoint.geometry.sampling import warp_image
from traqpoint.geometry.transforms import translation
from traqpoint.geometry.warp import HomographyGeometry
from traqpoint.types import DescribedPoints, Device, SequenceBatch

if TYPE_CHECKING:
    from typing_extensions import Self


class HomographySequences:
    """Endless homography sequences of `photos` (uint8 (3, H, W) tensors), rendered on `device`."""

    def __init__(self, photos: list[Tensor], config: HomographyConfig | None = None, device: Device = "cpu") -> None:
        if not photos:
            raise DataError("homography sequences need at least one photo")
        self.config = config or HomographyConfig()
        self.device = torch.device(device)
        self.photos = [photo.to(device) for photo in photos]
        self._pyramids = [pyramid(photo) for photo in photos] if self.config.light == "strong" else []
        self._points: list[DescribedPoints] = []

    def at(self, progress: float) -> Self:
        """See data.source.at: the ramp of the configuration."""
        config = self.config.at(progress)
        if config is self.config:
            return self
        out = copy.copy(self)
        out.config = config
        return out

    def taught(self, describe: Describe) -> Self:
        """See data.source.taught. Photos that cannot be described are left out; raises DataError if none is left."""
        described = dict(enumerate(describe(self.photos)))
        kept = [index for index, points in described.items() if points is not None]
        if not kept:
            raise DataError("none of the photos can be described")
        out = self.only(kept)
        out._points = [points for points in described.values() if points is not None]
        return out

    def only(self, indices: list[int]) -> Self:
        """The same of these photos."""
        out = copy.copy(self)
        out.photos = [self.photos[index] for index in indices]
        out._pyramids = [self._pyramids[index] for index in indices] if self._pyramids else []
        return out

    def sample(self, batch_size: int, generator: torch.Generator) -> SequenceBatch:
        """batch_size sequences of photos drawn at random."""
        chosen = torch.randint(len(self.photos), (batch_size,), generator=generator)
        return self.render(chosen.tolist(), generator)

    def render(self, indices: list[int], generator: torch.Generator) -> SequenceBatch:
        """One sequence of each of these photos."""
        sizes = [(self.photos[index].shape[-1], self.photos[index].shape[-2]) for index in indices]
        homographies = torch.stack([self._draw(*size, generator) for size in sizes])
        images, masks = self.frames(indices, homographies, generator)
        taught = None
        if self._points:
            points = [self._points[index] for index in indices]
            taught = carry_points(points, homographies, masks.cpu(), self.config.taught_points, generator)
        geometry = HomographyGeometry(homographies.to(self.device), masks)
        return SequenceBatch(images, geometry, taught.to(self.device) if taught is not None else None)

    def frames(self, indices: list[int], homographies: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Photos and frame_from_photo (B, T, 3, 3) -> images (B, T, 3, H, W) and masks (B, T, H, W), on the device."""
        return (self._strongly_lit if self._pyramids else self._mildly_lit)(indices, homographies, generator)

    def _mildly_lit(
        self, indices: list[int], homographies: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        images, masks = zip(
            *(
                _render(self.photos[index], frame_from_photo.to(self.device), self.config.image_size)
                for index, frame_from_photo in zip(indices, homographies, strict=True)
            ),
            strict=True,
        )
        stack = torch.stack(images)
        if self.config.photometric > 0:
            flat = photometric(stack.flatten(0, 1), generator, self.config.photometric)
            stack = flat.reshape(stack.shape)
        return stack, torch.stack(masks)

    def _strongly_lit(
        self, indices: list[int], homographies: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """In 8 bits, on the CPU."""
        random = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        images, masks = [], []
        for index, frame_from_photo in zip(indices, homographies, strict=True):
            frames, mask = render(self._pyramids[index], frame_from_photo, self.config.image_size)
            images.append(np.stack([relight(frame, random, self.config.photometric) for frame in frames]))
            masks.append(mask)
        # In this order in memory, which is the networks': channels last.
        stack = torch.from_numpy(np.stack(images)).to(self.device).float().div_(255).movedim(-1, 2)
        return stack, torch.stack(masks).to(self.device)

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
        frames = [] if config.first_moves else [first]
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
    if config.turned > 0 and uniform(0, 1) < config.turned:
        angle = uniform(-math.pi, math.pi)
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
