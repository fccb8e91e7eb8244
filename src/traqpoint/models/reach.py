"""How far a network sees, measured on the network itself."""

from __future__ import annotations

import torch

from traqpoint.errors import ConfigError
from traqpoint.models.traqpoint import TraqPoint

_PROBE = 768
"""Pixels to each side that are looked at."""


@torch.inference_mode()
def reach(model: TraqPoint) -> int:
    """Pixels to each side that a logit, or a cell of a map, depends on at most; to the next square of `stride` pixels.

    NaN goes wherever a pixel goes, through zeros and ReLUs too: one cell of it comes out as wide as the network sees.
    Raises ConfigError for a network that is not `local`, or sees farther than _PROBE.
    """
    name = f"{model.config.descriptor}/{model.config.detector}"
    if not model.local:
        raise ConfigError(f"the network {name} looks at whole images, so it cannot work in tiles: leave memory out")
    stride, found = model.stride, 0
    device = next(model.parameters()).device
    for axis in (-1, -2):
        shape = [1, 3, 2 * stride, 2 * stride]
        shape[axis] = 2 * _PROBE + stride
        images = torch.zeros(shape, device=device)
        moments = model.descriptor.moments([images])
        images.narrow(axis, _PROBE, stride).fill_(torch.nan)
        of_whole = () if moments is None else (None, moments)
        maps = model.descriptor.maps(images, *of_whole)
        for out in (model.logits(images, maps), *maps):
            cell = shape[axis] // out.shape[axis]
            where = out.isnan().transpose(axis, -1).flatten(0, 2).any(0).nonzero()[:, 0]
            first, last = int(where[0]), int(where[-1])
            if first == 0 or last == out.shape[axis] - 1:
                raise ConfigError(f"the network {name} sees farther than {_PROBE} pixels: leave memory out")
            found = max(found, _PROBE - first * cell, (last + 1) * cell - _PROBE - stride)
    return found
