"""The second generation's policy: a light branch on the frozen trunk, and logits from half resolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from traqpoint.errors import ConfigError
from traqpoint.models.config import DESCRIPTORS, ModelConfig, PyramidShape
from traqpoint.models.detector import Detector
from traqpoint.models.layers import ConvBlock, Pointwise, upsample


class PyramidDetector(Detector):
    """A stem of its own says where exactly, four logits per cell of 2 × 2 pixels; the trunk, what is worth it.

    The two meet as logits, as the paper's levels do. At half resolution a channel costs a quarter, and the strided stem
    sees every pixel. The trunk's own map there is not read: it only costs.
    """

    stride = 32
    local = True

    def __init__(self, shape: PyramidShape) -> None:
        super().__init__()
        image, _, quarter, eighth = shape.maps
        channels = shape.stem
        self.stem = ConvBlock(image, channels, kernel=4, stride=2)
        self.body = nn.Sequential(*[ConvBlock(channels, channels) for _ in range(shape.stem_depth)])
        self.head = nn.Conv2d(channels, 4, 3, padding=1)
        self.quarter = Pointwise(quarter, channels)
        self.eighth = Pointwise(eighth, channels)
        self.worth = Pointwise(channels, 1)

    def forward(self, images: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """images (B, 3, H, W), and their maps, which alone are read -> logits (B, 1, H, W)."""
        image, _, quarter, eighth = (level.float() for level in maps)
        logits = _shuffled(self.head(self.body(self.stem(image))))
        coarse = self.quarter(quarter)
        coarse = coarse + upsample(self.eighth(eighth), (coarse.shape[-2], coarse.shape[-1]))
        worth = self.worth(F.relu(coarse, inplace=True))
        return logits + upsample(worth, (logits.shape[-2], logits.shape[-1]))


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
    return PyramidDetector(shape)
