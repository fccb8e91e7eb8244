"""What every descriptor network is, and the small one: a compact CNN for laptops."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from traqpoint.models.backbones import SmallLevels
from traqpoint.models.config import ModelConfig
from traqpoint.models.layers import ConvBlock, upsample

Sizes = Sequence[tuple[int, int]]
"""(W, H) of each image of a batch: its top-left part that is image and not padding."""


class DescriptorNetwork(nn.Module):
    """images (B, 3, H, W) RGB in [0, 1] -> one descriptor for each started cell of `output_stride` pixels.

    A subclass is built from a ModelConfig and defines `forward`, images -> descriptors (B, D, ⌈H/s⌉, ⌈W/s⌉) of any
    norm; and `describe` as well if it predicts matchability or looks beyond the padding.
    """

    dim: int
    """Length D of a descriptor."""
    stride: int
    """Image sides must be multiples of this."""
    output_stride: int
    """Pixels per descriptor, s."""

    def describe(self, images: Tensor, sizes: Sizes | None = None) -> tuple[Tensor, Tensor | None]:
        """Descriptors and matchability (B, 1, ⌈H/s⌉, ⌈W/s⌉), None without. sizes: which part is no padding."""
        return self(images), None


class SmallDescriptor(SmallLevels, DescriptorNetwork):
    """64-d descriptors at 1/4 resolution from features at 1/4, 1/8, 1/16 and 1/32; 0.8 M parameters.

    Depth sits at 1/8 and below, where it is cheap and sees context; 1/4 adds what tells two neighbouring keypoints
    apart, and is touched by few layers only.
    """

    stride = 32
    output_stride = 4

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dim = dim = config.descriptor_dim
        self.lateral4 = nn.Conv2d(96, 64, 1)
        self.lateral5 = nn.Conv2d(96, 64, 1)
        self.fuse = ConvBlock(64, 64)
        self.head = nn.Sequential(ConvBlock(64 + 32, 96, kernel=1), nn.Conv2d(96, dim, 1))

    def forward(self, images: Tensor) -> Tensor:
        """images (B, 3, H, W) RGB in [0, 1], H and W multiples of 32 -> descriptors (B, D, H/4, W/4), any norm."""
        x2, x3, x4, x5 = self.levels(images)
        height, width = images.shape[-2:]
        eighth, quarter = (height // 8, width // 8), (height // 4, width // 4)
        context = x3 + upsample(self.lateral4(x4), eighth) + upsample(self.lateral5(x5), eighth)
        context = upsample(self.fuse(context), quarter)
        return self.head(torch.cat([context, x2], dim=1))
