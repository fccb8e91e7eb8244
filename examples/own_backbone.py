"""A backbone of your own below the deformable encoder: one class, named where the network is chosen.

traqpoint train descriptor --data.mixture worlds 1 --out runs/patches \
    --model.descriptor base --model.backbone examples/own_backbone.py:Patches
"""

import torch.nn.functional as F
from torch import Tensor, nn

from traqpoint.models.backbones import Backbone, normalise


class Patches(Backbone):
    """Patches of 4 px, then of 2 × 2 cells: each level sees exactly the pixels below its cells."""

    channels = (32, 64, 96, 128)

    def __init__(self) -> None:
        super().__init__()
        sizes = zip((3, *self.channels), self.channels, (4, 2, 2, 2), strict=False)
        self.levels = nn.ModuleList(nn.Conv2d(before, after, side, side) for before, after, side in sizes)

    def forward(self, images: Tensor) -> list[Tensor]:
        x, maps = normalise(images), []
        for level in self.levels:
            x = F.gelu(level(x))
            maps.append(x)
        return maps
