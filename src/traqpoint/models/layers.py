"""Building blocks shared by the networks."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Module = TypeVar("Module", bound=nn.Module)


class ResidualBlock(nn.Module):
    """conv-BN-ReLU-conv-BN plus a 1×1 projection, ReLU after the sum (released code)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.downsample(x), inplace=True)


class ConvBlock(nn.Sequential):
    """conv, BN, ReLU; 3×3 or 1×1 keep the size at stride 1, 4×4 halves it at stride 2."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel, stride, padding=(kernel - 1) // 2, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class Pointwise(nn.Conv2d):
    """A 1×1 convolution as the matrix product that it is: for one image on one thread PyTorch's own takes four times as
    long. An exported graph holds a convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
            return super().forward(x)
        return F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


def upsample(x: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Bilinear resize to (H, W). `align_corners` only to reproduce the authors' networks."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)


_NAMED_PAIRS = (("conv1", "bn1"), ("conv2", "bn2"))


@torch.no_grad()
def fold_batch_norms(module: Module) -> Module:
    """Fold each BatchNorm into the convolution before it, in place; eval mode only. Same numbers, fewer passes."""
    neighbours = pairwise(list(module._modules)) if isinstance(module, nn.Sequential) else _NAMED_PAIRS
    for first, second in neighbours:
        conv, norm = getattr(module, first, None), getattr(module, second, None)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, first, fuse_conv_bn_eval(conv, norm))
            setattr(module, second, nn.Identity())
    for child in module.children():
        fold_batch_norms(child)
    return module


def frozen(module: Module) -> Module:
    """`module` as something that training looks at and leaves alone, in place: no gradients, no running statistics."""
    return module.eval().requires_grad_(False)


def compiled(*networks: nn.Module) -> None:
    """Let torch.compile translate what training calls of each network, in place: `maps` where there is one."""
    for network in networks:
        if hasattr(network, "maps"):
            network.maps = torch.compile(network.maps)  # type: ignore[assignment, arg-type]
        else:
            network.compile()


def channels_last(module: Module) -> Module:
    """Lay the weights out as (C_out, H, W, C_in), in place: convolutions on CPUs and tensor cores read them so."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
