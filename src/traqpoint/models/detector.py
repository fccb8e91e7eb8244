"""The policy network: an image to one logit per pixel."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from traqpoint.models.config import ModelConfig
from traqpoint.models.layers import ResidualBlock, upsample


class _Stem(nn.Module):
    """conv-BN-ReLU twice at full resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)), inplace=True)


def _share(features: Tensor, weight: Tensor) -> Tensor:
    """ReLU of (B, C, H, W), then · (C,) -> (B, 1, H, W): a convolution to one channel, ten times as fast on CPUs."""
    return (F.relu(features, inplace=True).permute(0, 2, 3, 1) @ weight).unsqueeze(1)


class Detector(nn.Module):
    """images (B, 3, H, W) RGB in [0, 1] and the descriptor network's maps of them -> logits (B, 1, H, W).

    A subclass defines `forward(images, maps)`; which of the two it reads is its own affair.
    """

    stride: int
    """Image sides must be multiples of this."""
    local: bool = False
    """See `DescriptorNetwork.local`."""


class PolicyNetwork(Detector):
    """Four residual stages of 8/16/32/64 channels at 1, 1/2, 1/8, 1/32 resolution, one logit per pixel; 79 k
    parameters. Module names are those of the released checkpoint (docs/method.md §7).

    The 1×1 head is linear and upsampling is linear, so each level meets its share of the head *before* it is
    upsampled: identical logits, one channel at full resolution instead of sixty-four.
    """

    stride = 32

    def __init__(self, align_corners: bool = False) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.local = not align_corners
        self.block1 = _Stem(8)
        self.block2 = ResidualBlock(8, 16)
        self.block3 = ResidualBlock(16, 32)
        self.block4 = ResidualBlock(32, 64)
        self.conv1 = nn.Conv2d(8, 16, 1, bias=False)
        self.conv2 = nn.Conv2d(16, 16, 1, bias=False)
        self.conv3 = nn.Conv2d(32, 16, 1, bias=False)
        self.conv4 = nn.Conv2d(64, 16, 1, bias=False)
        self.policy_head = nn.Conv2d(64, 1, 1, bias=False)

    def forward(self, images: Tensor, maps: Sequence[Tensor] = ()) -> Tensor:
        """images (B, 3, H, W) RGB in [0, 1], H and W multiples of 32 -> logits (B, 1, H, W).

        maps: of the descriptor network, of which this one shares nothing.
        """
        x1 = self.block1(images)
        x2 = self.block2(F.max_pool2d(x1, 2))
        x3 = self.block3(F.max_pool2d(x2, 4))
        x4 = self.block4(F.max_pool2d(x3, 4))
        head = self.policy_head.weight[0, :, 0, 0].split(16)
        size = (images.shape[-2], images.shape[-1])
        logits = _share(self.conv1(x1), head[0])
        for level, conv, weight in ((x2, self.conv2, head[1]), (x3, self.conv3, head[2]), (x4, self.conv4, head[3])):
            logits = logits + upsample(_share(conv(level), weight), size, self.align_corners)
        return logits


def of_config(config: ModelConfig) -> PolicyNetwork:
    """See config.DETECTORS."""
    return PolicyNetwork(config.align_corners)
