"""EdgePoint2 (arXiv 2504.17280): the published networks, which no library has, as peers and as teachers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from traqpoint.errors import ConfigError
from traqpoint.models.layers import upsample

CHANNELS = {
    "T32": (8, 8, 16, 24, 32, 8),
    "M64": (8, 16, 32, 48, 64, 8),
    "E64": (16, 16, 48, 64, 64, 16),
}
"""Published sizes: channels of the stem, of the levels at 1/2, 1/8 and 1/32, of a descriptor, and of the score head."""


class _ConvNorm(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel, stride, 1, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.layer(x) + self.skip(x))


class EdgePoint2(nn.Module):
    """An image to descriptors at 1/4 resolution and a score per pixel; module names are those of the published files.

    stride: image sides must be multiples of it.
    """

    stride = 32

    def __init__(self, size: str = "E64") -> None:
        """Raises ConfigError for a size that was not published."""
        super().__init__()
        if size not in CHANNELS:
            raise ConfigError(f"EdgePoint2 has no size {size!r}; there are {', '.join(CHANNELS)}")
        c1, c2, c3, c4, dim, score = CHANNELS[size]
        levels = c2 + c3 + c4
        self.block1 = nn.Sequential(_ConvNorm(1, c1, 4, 2), _ConvNorm(c1, c2, 3), _Residual(c2, c2))
        self.block2 = _Residual(c2, c3)
        self.block3 = _Residual(c3, c4)
        self.desc_head = nn.Sequential(
            nn.Conv2d(levels, levels, 1), _ConvNorm(levels, levels, 3, 1, levels // 16), nn.Conv2d(levels, dim, 1)
        )
        self.conv1, self.conv2, self.conv3 = (nn.Conv2d(c, score, 1) for c in (c2, c3, c4))
        self.score_head = nn.Sequential(
            nn.Conv2d(score, score, 3, 1, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(score, score, 3, 1, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(score, 4, 3, 1, 1),
            nn.PixelShuffle(2),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images (B, 3, H, W) RGB in [0, 1] -> descriptors (B, D, H/4, W/4) and scores (B, 1, H, W)."""
        x1 = self.block1(F.instance_norm(images.mean(1, keepdim=True)))
        quarter = F.avg_pool2d(x1, 2)
        x2 = self.block2(F.avg_pool2d(quarter, 2))
        x3 = self.block3(F.avg_pool2d(x2, 4))
        size4, size2 = ((x.shape[-2], x.shape[-1]) for x in (quarter, x1))
        descriptors = self.desc_head(torch.cat([quarter, upsample(x2, size4), upsample(x3, size4)], 1))
        scores = self.conv1(x1) + upsample(self.conv2(x2), size2) + upsample(self.conv3(x3), size2)
        return descriptors, self.score_head(scores)
