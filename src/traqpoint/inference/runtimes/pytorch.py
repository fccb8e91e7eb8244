"""PyTorch, on any device: convolutions with folded norms, channels last."""

from __future__ import annotations

import torch
from torch import Tensor

from traqpoint.inference.config import ExtractorConfig
from traqpoint.inference.runtimes.runtime import Runtime
from traqpoint.models.descriptor import Sizes
from traqpoint.models.layers import channels_last
from traqpoint.models.traqpoint import TraqPoint


def build(model: TraqPoint, config: ExtractorConfig) -> Runtime:
    """See `runtime.Runtime`. bf16 is the descriptor network's alone: bfloat16 logits move keypoints."""
    channels_last(model)

    def dense(images: Tensor, sizes: Sizes) -> tuple[tuple[Tensor, ...], Tensor]:
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            maps = model.descriptor.maps(images, sizes)
        maps = tuple(level.float() for level in maps)
        return maps, model.logits(images, maps)

    return dense
