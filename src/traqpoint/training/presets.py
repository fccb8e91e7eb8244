"""A training to try things with: both stages in two minutes on one core of a CPU. It learns something, not much."""

from __future__ import annotations

from typing import Any

from traqpoint.data.config import DataConfig, HomographyConfig
from traqpoint.data.worlds.config import WorldsConfig
from traqpoint.models.config import ModelConfig
from traqpoint.training.config import DescriptorConfig, LoopConfig


def _data(num_frames: int) -> DataConfig:
    return DataConfig(
        max_photos=40,
        homography=HomographyConfig(image_size=96, num_frames=num_frames),
        worlds=WorldsConfig(image_size=(96, 96), num_frames=num_frames),
    )


TINY_DESCRIPTOR: dict[str, Any] = {
    "data": _data(2),
    "loop": LoopConfig(steps=250, batch_size=4, learning_rate=2e-3, checkpoint_every=50, pictures_every=50),
    "descriptor": DescriptorConfig(points_per_frame=192),
    "model": ModelConfig(descriptor="pyramid-t", detector="pyramid"),
}
"""Fields of a DescriptorTraining."""
TINY_POLICY: dict[str, Any] = {
    "data": _data(3),
    "loop": LoopConfig(steps=150, batch_size=2, learning_rate=3e-3, checkpoint_every=50, pictures_every=50),
}
"""Fields of a PolicyTraining."""
