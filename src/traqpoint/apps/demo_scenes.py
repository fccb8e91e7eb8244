"""The demo's two scenes, made of pictures that lie in scikit-image's wheel: no network is needed."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from traqpoint import optional
from traqpoint.data.worlds.config import WorldsConfig
from traqpoint.data.worlds.source import flight
from traqpoint.geometry.stereo import stereo_geometry
from traqpoint.image import to_tensor
from traqpoint.types import SequenceBatch

PHOTOGRAPHS = (
    "astronaut",
    "chelsea",
    "coffee",
    "rocket",
    "hubble_deep_field",
    "immunohistochemistry",
    "brick",
    "grass",
    "gravel",
    "coins",
)
"""Functions of skimage.data whose pictures are in the wheel and have some texture everywhere."""
FLIGHT = WorldsConfig(
    image_size=(640, 480),
    num_frames=30,
    kinds=("table",),
    num_objects=12,
    motion=0.8,
    roll_deg=10.0,
    photometric=0.3,
    num_textures=len(PHOTOGRAPHS),
)
"""Around a table full of boxes; light and noise change a little from frame to frame."""
FLIGHT_SEED = 16
"""Chosen by its looks among sixteen, before any method had seen it."""


def require_pictures() -> None:
    """Raises MissingDependencyError with the pip command if scikit-image is not installed."""
    optional.load("skimage.data")


def motorcycle() -> SequenceBatch:
    """Middlebury's motorcycle: left and right view (1, 2, 3, 500, 741), true disparity as geometry.

    Source: D. Scharstein et al., High-resolution stereo datasets with subpixel-accurate ground truth, GCPR 2014,
    reduced by four in scikit-image.
    """
    left, right, disparity = optional.load("skimage.data").stereo_motorcycle()
    images = torch.stack([_picture(left), _picture(right)])[None]
    return SequenceBatch(images, stereo_geometry(torch.from_numpy(np.asarray(disparity, dtype=np.float32))))


def photographs(size: int = 512) -> Tensor:
    """PHOTOGRAPHS, squeezed to (N, 3, size, size) in [0, 1]."""
    data = optional.load("skimage.data")
    pictures = (_picture(getattr(data, name)()).unsqueeze(0) for name in PHOTOGRAPHS)
    shape = (size, size)
    return torch.cat(
        [F.interpolate(p, size=shape, mode="bilinear", antialias=True, align_corners=False) for p in pictures]
    ).clamp(0, 1)


def camera_flight(config: WorldsConfig = FLIGHT) -> SequenceBatch:
    """The flight (1, T, 3, H, W) through a world that is papered with PHOTOGRAPHS; depth and poses are exact."""
    return flight(config.num_frames, config, photographs(config.texture_size), FLIGHT_SEED)


def _picture(image: np.ndarray) -> Tensor:
    """uint8 (H, W) or (H, W, 3 or 4) -> (3, H, W) in [0, 1]."""
    rgb = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image[..., :3]
    return to_tensor(np.ascontiguousarray(rgb))
