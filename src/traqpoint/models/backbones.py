"""Backbones: an image to feature maps at 1/4, 1/8, 1/16 and 1/32. `config.BACKBONES` names them.

Module names are those of the public weight files (DINOv3's for ConvNeXt, torchvision's for ResNet-50), so that
`convert.load_backbone` can read a user's file.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from traqpoint.errors import ConfigError
from traqpoint.models.config import BACKBONES
from traqpoint.models.layers import ConvBlock, ResidualBlock

STRIDES = (4, 8, 16, 32)
"""Pixels per cell of the four levels."""

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """images (B, 3, H, W) RGB in [0, 1], sides multiples of 32 -> four maps (B, channels[l], H/STRIDES[l], …)."""

    channels: tuple[int, int, int, int]
    """Of the four maps."""


def normalise(images: Tensor) -> Tensor:
    """RGB in [0, 1] -> zero mean and unit variance over ImageNet."""
    mean = images.new_tensor(_IMAGENET_MEAN).view(3, 1, 1)
    std = images.new_tensor(_IMAGENET_STD).view(3, 1, 1)
    return (images - mean) / std


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _ConvNeXtBlock(nn.Module):
    """7×7 depthwise, LayerNorm, ×4 MLP with GELU, layer scale, residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(torch.full((channels,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        # Channels last here is a view: the networks run in that memory format.
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        return x + y.permute(0, 3, 1, 2)


class ConvNeXt(Backbone):
    """ConvNeXt as in DINOv3: images are normalised here; only the last stage passes the final LayerNorm."""

    def __init__(self, depths: tuple[int, int, int, int], channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.channels = channels
        stem = nn.Sequential(nn.Conv2d(3, channels[0], 4, 4), ChannelNorm(channels[0]))
        self.downsample_layers = nn.ModuleList(
            [stem, *(nn.Sequential(ChannelNorm(a), nn.Conv2d(a, b, 2, 2)) for a, b in pairwise(channels))]
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(_ConvNeXtBlock(c) for _ in range(depth))) for c, depth in zip(channels, depths, strict=True)
        )
        self.norm = ChannelNorm(channels[-1])

    def forward(self, images: Tensor) -> list[Tensor]:
        x, levels = normalise(images), []
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
            levels.append(x)
        return [*levels[:-1], self.norm(x)]


class _Bottleneck(nn.Module):
    """1×1, 3×3 (which strides), 1×1 ×4; projection where the shape changes."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != 4 * width:
            projection = nn.Conv2d(in_channels, 4 * width, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNet(Backbone):
    """ResNet of bottlenecks; ResNet-50 with torchvision's names. Images are normalised here."""

    def __init__(self, depths: tuple[int, int, int, int] = (3, 4, 6, 3)) -> None:
        super().__init__()
        self.channels = (256, 512, 1024, 2048)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = self._stage(64, 64, depths[0], 1)
        self.layer2 = self._stage(256, 128, depths[1], 2)
        self.layer3 = self._stage(512, 256, depths[2], 2)
        self.layer4 = self._stage(1024, 512, depths[3], 2)

    @staticmethod
    def _stage(in_channels: int, width: int, depth: int, stride: int) -> nn.Sequential:
        rest = (_Bottleneck(4 * width, width, 1) for _ in range(depth - 1))
        return nn.Sequential(_Bottleneck(in_channels, width, stride), *rest)

    def forward(self, images: Tensor) -> list[Tensor]:
        x = F.relu(self.bn1(self.conv1(normalise(images))))
        x, levels = F.max_pool2d(x, 3, 2, padding=1), []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            levels.append(x)
        return levels


class SmallLevels(nn.Module):
    """The levels of the small descriptor: depth at 1/8 and below, few layers at 1/4; 0.7 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.level2 = nn.Sequential(ConvBlock(3, 16, stride=2), ConvBlock(16, 32, stride=2), ConvBlock(32, 32))
        self.level3 = nn.Sequential(ConvBlock(32, 64, stride=2), ResidualBlock(64, 64))
        self.level4 = nn.Sequential(ConvBlock(64, 96, stride=2), ResidualBlock(96, 96))
        self.level5 = nn.Sequential(ConvBlock(96, 96, stride=2), ResidualBlock(96, 96))

    def levels(self, images: Tensor) -> list[Tensor]:
        """Maps of 32, 64, 96 and 96 channels at 1/4, 1/8, 1/16 and 1/32."""
        x2 = self.level2(images)
        x3 = self.level3(x2)
        x4 = self.level4(x3)
        return [x2, x3, x4, self.level5(x4)]


class SmallBackbone(SmallLevels, Backbone):
    """Those levels, below the encoder of the base descriptor."""

    channels = (32, 64, 96, 96)

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.levels(images)


def convnext_t() -> ConvNeXt:
    """ConvNeXt-T (Liu et al. 2022, table 9): blocks and channels of its four stages."""
    return ConvNeXt((3, 3, 9, 3), (96, 192, 384, 768))


def convnext_b() -> ConvNeXt:
    """ConvNeXt-B, the paper's backbone."""
    return ConvNeXt((3, 3, 27, 3), (128, 256, 512, 1024))


def build_backbone(name: str) -> Backbone:
    """The backbone called `name` with random weights. Raises ConfigError if what stands there is none."""
    backbone = BACKBONES[name]()
    if not isinstance(backbone, Backbone):
        raise ConfigError(f"backbone {name}: must be a traqpoint.models.backbones.Backbone, got {type(backbone)}")
    return backbone
