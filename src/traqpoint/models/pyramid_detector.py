"""The second generation's policy: a light branch on the frozen trunk, and logits from half resolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from traqpoint.errors import ConfigError
from traqpoint.models.config import DESCRIPTORS, ModelConfig
from traqpoint.models.detector import Detector
from traqpoint.models.layers import ConvBlock, Pointwise, upsample


class PyramidDetector(Detector):
    """The trunk says what is there, a stem of its own where exactly; four logits per cell of 2 × 2 pixels.

    At half resolution a channel costs a quarter, and the strided stem sees every pixel. The trunk's own map at half
    resolution is not read: with the stem beside it, it only costs.
    """

    stride = 32
    local = True

    def __init__(self, widths: Sequence[int], channels: int = 8) -> None:
        """widths: channels of the maps that `PyramidDescriptor.maps` gives."""
        super().__init__()
        image, _, quarter, eighth = widths
        self.stem = ConvBlock(image, channels, stride=2)
        self.quarter = Pointwise(quarter, channels)
        self.eighth = Pointwise(eighth, channels)
        self.body = ConvBlock(channels, channels)
        self.head = nn.Conv2d(channels, 4, 3, padding=1)

    def forward(self, images: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """images (B, 3, H, W), and their maps, which alone are read -> logits (B, 1, H, W)."""
        image, _, quarter, eighth = (level.float() for level in maps)
        x, coarse = self.stem(image), self.quarter(quarter)
        coarse = coarse + upsample(self.eighth(eighth), (coarse.shape[-2], coarse.shape[-1]))
        x = x + upsample(coarse, (x.shape[-2], x.shape[-1]))
        return _shuffled(self.head(self.body(F.relu(x, inplace=True))))


def _shuffled(cells: Tensor) -> Tensor:
    """(B, 4, H, W) -> (B, 1, 2H, 2W), as F.pixel_shuffle has it, which takes three times as long where channels are
    last."""
    B, _, H, W = cells.shape
    return cells.permute(0, 2, 3, 1).unflatten(-1, (2, 2)).transpose(2, 3).reshape(B, 1, 2 * H, 2 * W)


def of_config(config: ModelConfig) -> PyramidDetector:
    """See config.DETECTORS. Raises ConfigError if the descriptor network has no trunk to stand on."""
    shape = DESCRIPTORS[config.descriptor].shape
    if shape is None:
        raise ConfigError(f"the pyramid detector stands on a pyramid descriptor, not on {config.descriptor!r}")
    return PyramidDetector(shape.maps)
