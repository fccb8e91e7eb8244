"""Rendered images to calibrate int8 with, where the user names none of his own."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from traqpoint.data.worlds.config import WorldsConfig
from traqpoint.data.worlds.source import Worlds

SCENES, FRAMES = 12, 2


def images() -> Iterator[Tensor]:
    """float (3, 480, 480) in [0, 1], the same ones each time."""
    worlds, generator = Worlds(WorldsConfig(num_frames=FRAMES)), torch.Generator().manual_seed(0)
    for _ in range(SCENES):
        yield from worlds.sample(1, generator).images[0]
