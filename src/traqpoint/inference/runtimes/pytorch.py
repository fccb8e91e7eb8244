"""PyTorch, on any device: convolutions with folded norms, channels last."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor

from traqpoint.inference.config import ExtractorConfig
from traqpoint.inference.runtimes.runtime import Runtime
from traqpoint.models.descriptor import Sizes
from traqpoint.models.ends import Ends, are_ragged, padded_size
from traqpoint.models.layers import channels_last
from traqpoint.models.traqpoint import TraqPoint


def build(model: TraqPoint, config: ExtractorConfig) -> Runtime:
    """See `runtime.Runtime`. bf16 is the descriptor network's alone: bfloat16 logits move keypoints."""
    channels_last(model)

    def dense(
        images: Tensor, sizes: Sizes, moments: tuple[Tensor, Tensor] | None = None
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        images = images.contiguous(memory_format=torch.channels_last)
        canvas = (images.shape[-1], images.shape[-2])
        ends = [padded_size(size, model.stride) for size in sizes]
        with Ends(ends, canvas) if are_ragged(ends, canvas) else nullcontext():
            with torch.autocast(images.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
                of_part = () if moments is None else (moments,)
                maps = model.descriptor.maps(images, sizes, *of_part)
            maps = tuple(level.float() for level in maps)
            return maps, model.logits(images, maps)

    return dense
