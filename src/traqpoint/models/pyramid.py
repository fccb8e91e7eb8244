"""The second generation: one trunk for detector and descriptor, and descriptors at the keypoints only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from traqpoint.geometry.pixels import pixel_grid
from traqpoint.geometry.sampling import sample, sample_defined
from traqpoint.models.config import DESCRIPTORS, ModelConfig, PyramidShape
from traqpoint.models.descriptor import DescriptorNetwork, Sizes
from traqpoint.models.layers import ConvBlock, Pointwise, upsample

MEASURED = 4
"""Every 4th row and column decide brightness and contrast of an image."""

LEAST_DEVIATION = 1e-2
"""Images that vary by less than this (of 1) are not blown up: what is in them is noise."""


class _Residual(nn.Module):
    """conv-BN-ReLU-conv-BN plus the input, ReLU after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(x + self.bn2(self.conv2(out)), inplace=True)


def standardised(images: Tensor, sizes: Sizes | Tensor | None = None) -> Tensor:
    """Images (B, 3, H, W) of mean 0 and deviation 1, each by one number over its colours: brightness and contrast
    cancel, hues stay. sizes: the part that is no padding, and alone is measured."""
    H, W = images.shape[-2:]
    pixels, share = images[..., ::MEASURED, ::MEASURED], None
    if isinstance(sizes, Tensor) or (sizes is not None and any(tuple(size) != (W, H) for size in sizes)):
        limits = torch.as_tensor(sizes, device=images.device)
        rows = torch.arange(0, H, MEASURED, device=images.device) < limits[:, 1:]
        columns = torch.arange(0, W, MEASURED, device=images.device) < limits[:, :1]
        inside = (rows[:, None, :, None] & columns[:, None, None, :]).to(images.dtype)
        share = (inside / (3 * inside.sum((2, 3), keepdim=True))).expand_as(pixels).flatten(1)
    pixels = pixels.flatten(1)
    mean = _mean(pixels, share)
    # Two plain passes: torch.std takes ten times as long on a CPU.
    return _scaled(images, mean, _mean((pixels - mean).square(), share).sqrt())


def _scaled(images: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """mean, deviation: one for each image."""
    # A reciprocal right behind these is lost by OpenVINO 2026.4.1, which makes one kernel of sum, root, limit and it.
    scale = deviation.clamp(min=LEAST_DEVIATION).view(-1, 1, 1, 1).reciprocal()
    # One pass: of these first tensors, the largest of all, each costs as much as a convolution.
    return torch.addcmul(-mean.view(-1, 1, 1, 1) * scale, images, scale)


def _mean(values: Tensor, share: Tensor | None) -> Tensor:
    """(B, N) -> (B, 1). share: what each of them counts, or None for all the same."""
    return values.mean(1, keepdim=True) if share is None else (values * share).sum(1, keepdim=True)


_FARTHEST_PX = 32
"""From a keypoint, places around it lie at most so far to each side: tiles must know what they need to see."""


class PyramidDescriptor(DescriptorNetwork):
    """Five levels of convolutions, the coarser three gathered at 1/8; a perceptron reads them at each keypoint.

    At full resolution nothing is computed but the first convolution, and a descriptor costs its keypoint alone.
    """

    stride = 32
    output_stride = 4
    local = True

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        shape = DESCRIPTORS[config.descriptor].shape
        assert isinstance(shape, PyramidShape)
        widths = shape.widths
        self.dim = config.descriptor_dim
        self.levels = nn.ModuleList(
            nn.Sequential(ConvBlock(inputs, outputs, stride=2), *[_Residual(outputs) for _ in range(depth)])
            for inputs, outputs, depth in zip((3, *widths[:-1]), widths, shape.depths, strict=True)
        )
        self.laterals = nn.ModuleList(Pointwise(width, shape.context) for width in widths[2:])
        sampled = sum(shape.maps[1:])
        self.around = _Around(sampled, shape) if shape.offsets else None
        if self.around is not None:
            sampled += self.around.channels
        self.sampled_px = 0 if self.around is None else _FARTHEST_PX
        self.head = nn.Sequential(
            nn.Linear(sampled, shape.hidden), nn.ReLU(inplace=True), nn.Linear(shape.hidden, self.dim)
        )

    def moments(self, strips: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """Mean and deviation, (1,) each: those of `standardised`, but for the rounding of float32 sums."""
        count, total, squares = 0, torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        for strip in strips:
            pixels = strip[..., ::MEASURED, ::MEASURED].double()
            count += pixels.numel()
            total = total.to(pixels) + pixels.sum()
            squares = squares.to(pixels) + pixels.square().sum()
        mean = total / count
        return mean.float(), (squares / count - mean.square()).clamp(min=0).sqrt().float()

    def maps(
        self, images: Tensor, sizes: Sizes | Tensor | None = None, moments: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, ...]:
        """The standardised images, and features at 1/2, 1/4 and 1/8 of their resolution."""
        image = x = standardised(images, sizes) if moments is None else _scaled(images, *moments)
        levels = []
        for level in self.levels:
            x = level(x)
            levels.append(x)
        context = self.laterals[-1](levels[-1])
        for lateral, level in zip(reversed(self.laterals[:-1]), reversed(levels[2:-1]), strict=True):
            context = lateral(level) + upsample(context, (level.shape[-2], level.shape[-1]))
        return image, levels[0], levels[1], F.relu(context, inplace=True)

    def at(self, maps: Sequence[Tensor], xy: Tensor, image_size: tuple[int, int]) -> Tensor:
        features = torch.cat([sample(level, xy, image_size) for level in maps[1:]], dim=-1)
        if self.around is not None:
            features = torch.cat([features, self.around(features, maps[-1], xy, image_size)], dim=-1)
        return F.normalize(self.head(features), dim=-1)

    def dense(self, maps: Sequence[Tensor]) -> Tensor:
        height, width = maps[0].shape[-2:]
        xy = pixel_grid(height, width, self.output_stride, maps[0].device).expand(maps[0].shape[0], -1, -1)
        found = self.at(maps, xy.to(maps[0].dtype), (width, height))
        return found.transpose(1, 2).unflatten(2, (-(-height // self.output_stride), -1))


class _Around(nn.Module):
    """The context at a few places around each keypoint, which its own features choose (ALIKED's idea, in small)."""

    def __init__(self, features: int, shape: PyramidShape) -> None:
        super().__init__()
        self.count = count = shape.offsets
        self.channels = shape.around * count
        self.reduce = Pointwise(shape.context, shape.around)
        self.choose = nn.Linear(features, 2 * count)
        nn.init.zeros_(self.choose.weight)
        angle = torch.arange(count) * 2 * torch.pi / count
        with torch.no_grad():  # begin on a circle of one cell of the context
            self.choose.bias.copy_(8 * torch.stack([angle.cos(), angle.sin()], dim=-1).flatten())

    def forward(self, features: Tensor, context: Tensor, xy: Tensor, image_size: tuple[int, int]) -> Tensor:
        # Lengths are written out: a graph cannot infer one of them where there are no keypoints.
        steps = self.choose(features).unflatten(-1, (self.count, 2)).clamp(-_FARTHEST_PX, _FARTHEST_PX)
        places = xy.unsqueeze(2) + steps
        # Where xy is NaN, so are the features, which go into the perceptron besides.
        found = sample_defined(self.reduce(context), places.flatten(1, 2), image_size)
        return found.reshape(*xy.shape[:2], self.channels)
