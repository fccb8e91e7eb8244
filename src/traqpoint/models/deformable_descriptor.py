"""The authors' descriptor: a backbone, a deformable encoder, and a matchability head (docs/method.md §7)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from traqpoint.errors import ConfigError
from traqpoint.models.backbones import STRIDES, build_backbone
from traqpoint.models.config import ModelConfig
from traqpoint.models.deformable import EncoderLayer, cell_centres, sine_positions
from traqpoint.models.descriptor import DescriptorNetwork, Sizes
from traqpoint.models.layers import upsample


class Encoder(nn.Module):
    """Tokens of all levels attend to all levels; 4 layers, 8 heads, 8 points (released code)."""

    def __init__(self, dim: int, layers: int = 4, heads: int = 8, points: int = 8) -> None:
        super().__init__()
        self.level_embed = nn.Parameter(torch.randn(len(STRIDES), dim))
        self.layers = nn.ModuleList(EncoderLayer(dim, 4 * dim, heads, len(STRIDES), points) for _ in range(layers))

    def forward(self, levels: Sequence[Tensor], image_size: tuple[int, int]) -> list[Tensor]:
        """levels: (B, D, ⌈H / stride⌉, ⌈W / stride⌉) of images of one size (W, H) -> the same shapes."""
        shapes = [(level.shape[-2], level.shape[-1]) for level in levels]
        device, dim = levels[0].device, levels[0].shape[1]
        centres = [cell_centres(shape, stride, device) for shape, stride in zip(shapes, STRIDES, strict=True)]
        positions = torch.cat(
            [sine_positions(c, image_size, dim) + e for c, e in zip(centres, self.level_embed, strict=True)]
        )
        # A cell's place is the same pixel on every level, also where a level's last cell hangs over the image's edge.
        cells = torch.cat(centres).unsqueeze(1) / torch.tensor(STRIDES, device=device).view(1, -1, 1)
        tokens = torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1)
        for layer in self.layers:
            tokens = layer(tokens, positions, cells, shapes)
        parts = tokens.split([h * w for h, w in shapes], dim=1)
        return [part.transpose(1, 2).unflatten(2, shape) for part, shape in zip(parts, shapes, strict=True)]


def _head_layer(in_channels: int, out_channels: int) -> nn.Sequential:
    norm = nn.BatchNorm2d(out_channels, affine=False)
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), norm, nn.ReLU())


class DeformableDescriptor(DescriptorNetwork):
    """256-d descriptors and matchability at 1/4 resolution; 91.5 M parameters with ConvNeXt-B.

    align_corners of the configuration: sum the levels as the authors' network does.
    """

    stride = 32
    output_stride = 4

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dim = dim = config.descriptor_dim
        if dim % 32:
            raise ConfigError(f"descriptor_dim must be a multiple of 32 for this network, got {dim}")
        self.align_corners = config.align_corners
        self.backbone = build_backbone(config.backbone)
        self.input_proj = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, dim, 1), nn.GroupNorm(32, dim)) for channels in self.backbone.channels
        )
        self.encoder = Encoder(dim)
        self.matchability_head = nn.Sequential(
            _head_layer(dim, dim // 2), _head_layer(dim // 2, dim // 4), nn.Conv2d(dim // 4, 1, 1), nn.Sigmoid()
        )

    def forward(self, images: Tensor) -> Tensor:
        """images (B, 3, H, W) RGB in [0, 1] of any size -> descriptors (B, D, ⌈H/4⌉, ⌈W/4⌉), any norm."""
        return self.maps(images)[0]

    def matchability(self, maps: Sequence[Tensor]) -> Tensor:
        return maps[1]

    def maps(self, images: Tensor, sizes: Sizes | None = None) -> tuple[Tensor, Tensor]:
        """images (B, 3, H, W) -> descriptors (B, D, ⌈H/4⌉, ⌈W/4⌉), any norm, and matchability (B, 1, …) in (0, 1).

        sizes: which part of each image is no padding; after the backbone, nothing outside it is looked at, and
        descriptors outside repeat those of the border.
        """
        H, W = images.shape[-2:]
        right, below = -W % self.stride, -H % self.stride
        if right or below:
            images = F.pad(images, (0, right, 0, below), mode="replicate")
        levels = self.backbone(images)
        shape = (-(-H // self.output_stride), -(-W // self.output_stride))
        if sizes is None or len(set(sizes)) == 1:
            descriptors = _padded(self._encode(levels, sizes[0] if sizes else (W, H)), shape)
        else:
            each = [self._encode([x[i : i + 1] for x in levels], size) for i, size in enumerate(sizes)]
            descriptors = torch.cat([_padded(d, shape) for d in each])
        return descriptors, self.matchability_head(descriptors)

    def _encode(self, levels: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Levels of images that are all of one (W, H) -> their descriptors (B, D, ⌈H/4⌉, ⌈W/4⌉)."""
        W, H = size
        levels = [
            project(level[:, :, : -(-H // stride), : -(-W // stride)])
            for project, level, stride in zip(self.input_proj, levels, STRIDES, strict=True)
        ]
        levels = self.encoder(levels, size)
        out = levels[0]
        for level in levels[1:]:
            out = out + upsample(level, (out.shape[-2], out.shape[-1]), self.align_corners)
        return out


def _padded(x: Tensor, shape: tuple[int, int]) -> Tensor:
    """(B, C, h, w) extended to `shape` on the right and below by repeating the border."""
    below, right = shape[0] - x.shape[-2], shape[1] - x.shape[-1]
    return F.pad(x, (0, right, 0, below), mode="replicate") if right or below else x
