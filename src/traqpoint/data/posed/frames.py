"""Posed frames from disk, fitted to one size and kept in memory: what every source of real sequences stands on."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from traqpoint.data.augment import photometric
from traqpoint.data.posed.config import FrameConfig
from traqpoint.data.source import CURRICULUM, curriculum_band
from traqpoint.errors import DataError, GeometryError, TraqPointError
from traqpoint.geometry.camera import check_K
from traqpoint.geometry.depth import sample_depth
from traqpoint.geometry.pixels import pixel_grid
from traqpoint.geometry.transforms import invert_rigid, scaling, translation
from traqpoint.geometry.warp import DepthGeometry
from traqpoint.types import Device, Frame, Geometry, SequenceBatch

ATTEMPTS = 100
"""Sequences tried before a source gives up: sets of which one reference in twenty works still yield."""


class FrameSet(Protocol):
    """Posed frames, by number."""

    name: str
    """For messages: the folder or scene."""

    def frame(self, index: int) -> Frame:
        """One frame at full resolution: image in [0, 1], K and pose in our conventions, depth (NaN = unknown).

        Raises ImageError, GeometryError or DataError naming the file.
        """
        ...


class PosedSet(ABC):
    """Posed frames of one rigid scene, in a fixed order: that of time where there is one. A FrameSet."""

    name: str
    """For messages: the folder or scene."""
    names: list[str]
    """The frames', in order."""
    truth: str = "depth maps"
    """What its geometry is made of, for a benchmark's protocol."""

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def frame(self, index: int) -> Frame:
        """See FrameSet."""

    @abstractmethod
    def overlap(self, source: int, target: int) -> float:
        """Share of frame `source` that frame `target` sees too, in [0, 1]. Raises as `frame` does."""

    def candidates(self, source: int, band: tuple[float, float]) -> list[int]:
        """Frames, ascending, that may have an overlap in the band; all others, unless a set knows better."""
        return [i for i in range(len(self)) if i != source]

    def geometry(self, batch: Sequence[Sequence[Frame]]) -> Geometry:
        """What B sequences of T fitted frames of this set, or of others like it, become."""
        return stack_geometry(batch)


def fit_frame(frame: Frame, image_size: tuple[int, int]) -> Frame:
    """Resize a frame until it covers `image_size` (W, H), aspect kept, and crop its middle: no padding is needed.

    K follows exactly: scaled by new/old size per axis, then moved by the corner. Depth is read with `sample_depth`,
    which never blends across an edge or a hole.
    """
    height, width = frame.image.shape[-2:]
    W, H = image_size
    scale = max(W / width, H / height)
    w, h = max(W, round(width * scale)), max(H, round(height * scale))
    left, top = (w - W) // 2, (h - H) // 2
    image = frame.image[None]
    if (w, h) != (width, height):
        image = F.interpolate(image, size=(h, w), mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)
    sx, sy = w / width, h / height
    K = (translation(-left, -top) @ scaling(sx, sy)).to(frame.K) @ frame.K
    depth = frame.depth
    if depth is not None:
        xy = (pixel_grid(H, W) + torch.tensor([left, top])) / torch.tensor([sx, sy])
        depth = sample_depth(depth[None], xy[None]).reshape(H, W)
    return replace(frame, image=image[0, :, top : top + H, left : left + W], K=K, depth=depth)


class FrameLoader:
    """Fitted frames, the last ones used kept in memory. What cannot be read is left out, counted and reported once."""

    def __init__(self, config: FrameConfig) -> None:
        self.config = config
        self.unreadable: dict[tuple[str, int], str] = {}
        """(set, frame) -> what is wrong with it; never tried again."""
        self._cache: OrderedDict[tuple[str, int], Frame] = OrderedDict()
        self._warned = False

    @property
    def skipped(self) -> int:
        """Frames that could not be read so far."""
        return len(self.unreadable)

    def load(self, frames: FrameSet, index: int) -> Frame | None:
        """The fitted frame, its image as uint8; None if it cannot be read."""
        key = (frames.name, index)
        if key in self.unreadable:
            return None
        if key not in self._cache:
            try:
                frame = frames.frame(index)
                check_K(frame.K, (frame.image.shape[2], frame.image.shape[1]), f"{frames.name}, frame {index}")
                fitted = fit_frame(frame, self.config.image_size)
            except TraqPointError as error:
                self.skip(frames, index, error)
                return None
            self._cache[key] = replace(fitted, image=(fitted.image * 255).round().byte())
            if len(self._cache) > self.config.cache_frames:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]

    def skip(self, frames: FrameSet, index: int, error: Exception) -> None:
        """Leave this frame out from now on."""
        self.unreadable[(frames.name, index)] = str(error)

    def problems(self) -> str:
        """What was left out, in words; empty if nothing."""
        if not self.unreadable:
            return ""
        return f"{self.skipped} frames could not be read, the first: {next(iter(self.unreadable.values()))}"

    def report(self) -> None:
        """Warn, once, of frames left out."""
        if self.unreadable and not self._warned:
            self._warned = True
            warnings.warn(f"{self.problems()}; training goes on without them", stacklevel=3)


class FrameSequences(ABC):
    """A Source of sequences of frames from disk; how they are chosen is the subclass's `draw`."""

    def __init__(self, config: FrameConfig, device: Device = "cpu") -> None:
        self.config = config
        self.device = torch.device(device)
        self.loader = FrameLoader(config)

    @abstractmethod
    def draw(self, generator: torch.Generator) -> list[Frame] | None:
        """The frames of one sequence, from `loader`; None if this attempt has come to nothing."""

    @abstractmethod
    def describe(self) -> str:
        """What was looked for and where, for the error if it is not found."""

    @abstractmethod
    def with_overlap(self, band: tuple[float, float]) -> FrameSequences:
        """The same source drawing from another band, frames in memory and skips shared."""

    def at(self, progress: float) -> FrameSequences:
        """The source for `progress` in [0, 1] of a run: itself, or the curriculum's stage."""
        if not self.config.curriculum:
            return self
        return self._stages[curriculum_band(progress)]

    @cached_property
    def _stages(self) -> dict[tuple[float, float], FrameSequences]:
        return {band: self.with_overlap(band) for band in CURRICULUM}

    @property
    def unreadable(self) -> dict[tuple[str, int], str]:
        """See data.source.unreadable."""
        return self.loader.unreadable

    def geometry(self, batch: Sequence[Sequence[Frame]]) -> Geometry:
        """The ground truth of these sequences."""
        return stack_geometry(batch)

    def sample(self, batch_size: int, generator: torch.Generator) -> SequenceBatch:
        """`batch_size` sequences on `device`.

        Raises DataError if ATTEMPTS draws in a row yield no sequence.
        """
        chosen = [self._draw(generator) for _ in range(batch_size)]
        self.loader.report()
        images = torch.stack([torch.stack([frame.image for frame in frames]) for frames in chosen])
        images = images.to(self.device).float() / 255
        flat = photometric(images.flatten(0, 1), generator, self.config.photometric)
        geometry = self.geometry(chosen).to(self.device)
        return SequenceBatch(flat.reshape(images.shape), geometry)

    def _draw(self, generator: torch.Generator) -> list[Frame]:
        for _ in range(ATTEMPTS):
            frames = self.draw(generator)
            if frames is not None:
                return frames
        problems = self.loader.problems()
        raise DataError(f"{self.describe()}: none found in {ATTEMPTS} attempts" + (f"; {problems}" if problems else ""))


def stack_geometry(batch: Sequence[Sequence[Frame]]) -> DepthGeometry:
    """B sequences of T frames of one size -> their DepthGeometry. Raises GeometryError if a frame has no depth."""
    depths = [[frame.depth for frame in frames if frame.depth is not None] for frames in batch]
    if any(len(known) < len(frames) for known, frames in zip(depths, batch, strict=True)):
        raise GeometryError("a frame has no depth map: its points cannot be carried into other frames")
    return DepthGeometry(torch.stack([torch.stack(known) for known in depths]), *stack_cameras(batch))


def stack_cameras(batch: Sequence[Sequence[Frame]]) -> tuple[Tensor, Tensor]:
    """B sequences of T frames -> K (B, T, 3, 3) and poses (B, T, 4, 4), each in the coordinates of its first camera.

    float32 then holds poses whose world lies far from its origin, too.
    """
    K = torch.stack([torch.stack([frame.K for frame in frames]) for frames in batch])
    poses = torch.stack([torch.stack([frame.cam_from_world for frame in frames]) for frames in batch])
    return K.float(), (poses @ invert_rigid(poses[:, :1])).float()
