"""What every descriptor network is, and the small one: a compact CNN for laptops."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from traqpoint.geometry.sampling import sample_descriptors
from traqpoint.models.backbones import SmallLevels
from traqpoint.models.config import ModelConfig
from traqpoint.models.layers import ConvBlock, upsample

Sizes = Sequence[tuple[int, int]]
"""(W, H) of each image of a batch: its top-left part that is image and not padding."""


class DescriptorNetwork(nn.Module):
    """images (B, 3, H, W) RGB in [0, 1] -> one descriptor for each started cell of `output_stride` pixels.

    A subclass is built from a ModelConfig. A dense one defines `forward`, images -> descriptors (B, D, ⌈H/s⌉, ⌈W/s⌉) of
    any norm, which are its only map, or `maps` if it predicts matchability or looks beyond the padding. One that makes
    descriptors at points only defines `maps`, `at` and `dense` instead.
    """

    dim: int
    """Length D of a descriptor."""
    stride: int
    """Image sides must be multiples of this."""
    output_stride: int
    """Pixels per descriptor, s."""
    local: bool = False
    """Whether maps come of convolutions, poolings of whole cells and `layers.upsample` alone: then a part of an image
    gives that part of its maps, and images of other sizes may be in its batch."""
    sampled_px: int = 0
    """How far from a keypoint, beyond its cell of the maps, `at` reads them at most."""

    def maps(self, images: Tensor, sizes: Sizes | None = None) -> tuple[Tensor, ...]:
        """What `at` reads of images: (B, C, h, w) each, covering the whole images. sizes: which part is no padding."""
        return (self(images),)

    def moments(self, strips: Iterable[Tensor]) -> tuple[Tensor, Tensor] | None:
        """What `maps` measures of a whole image, as its third argument where only a part is given; None for nothing.

        strips: (..., h, W) of one image from top to bottom, h a multiple of 4 but for the last.
        """
        return None

    def at(self, maps: Sequence[Tensor], xy: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Descriptors (B, N, D) of unit norm at pixels xy (B, N, 2) of images of `image_size` (W, H)."""
        return sample_descriptors(maps[0], xy, image_size)

    def matchability(self, maps: Sequence[Tensor]) -> Tensor | None:
        """(B, 1, ⌈H/s⌉, ⌈W/s⌉), or None if it is not predicted."""
        return None

    def dense(self, maps: Sequence[Tensor]) -> Tensor:
        """Descriptors (B, D, ⌈H/s⌉, ⌈W/s⌉) at the cells' centres, of any norm."""
        return maps[0]


class SmallDescriptor(SmallLevels, DescriptorNetwork):
    """64-d descriptors at 1/4 resolution from features at 1/4, 1/8, 1/16 and 1/32; 0.8 M parameters.

    Depth sits at 1/8 and below, where it is cheap and sees context; 1/4 adds what tells two neighbouring keypoints
    apart, and is touched by few layers only.
    """

    stride = 32
    output_stride = 4
    local = True

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
