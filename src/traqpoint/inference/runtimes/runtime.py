"""What a runtime is: the dense part of a network, from a batch of images to maps and logits."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from traqpoint.device import resolve_device
from traqpoint.errors import ConfigError
from traqpoint.inference.config import RUNTIMES, ExtractorConfig
from traqpoint.models.descriptor import Sizes
from traqpoint.models.traqpoint import TraqPoint


class Runtime(Protocol):
    """Padding before it, and detection, descriptors at keypoints and scales behind it are the Extractor's."""

    def __call__(self, images: Tensor, sizes: Sizes) -> tuple[tuple[Tensor, ...], Tensor]:
        """The maps that `DescriptorNetwork.at` reads, and logits (B, 1, H, W), all float32, on the images' device.

        images: (B, 3, H, W) RGB in [0, 1], H and W multiples of the model's stride. sizes: (W, H) of each one's part
        that is no padding.
        """
        ...


def build_runtime(model: TraqPoint, config: ExtractorConfig) -> Runtime:
    """What the configuration asks for, of a model that `TraqPoint.folded` made ready and that lies on its device.

    Raises MissingDependencyError if it is not installed.
    """
    return RUNTIMES[config.backend](model, config)


def device_of(config: ExtractorConfig) -> torch.device:
    """Where images, detection and descriptors at keypoints are. Raises ConfigError for a device that is not there, or
    another one than the CPU for a runtime that knows no other."""
    if config.backend == "torch":
        return resolve_device(config.device)
    if config.device not in ("auto", "cpu"):
        raise ConfigError(f"the backend {config.backend} runs on the cpu, not on {config.device}; torch runs there")
    return torch.device("cpu")
