"""The networks that benchmarks/network_search.py compares, each as ModelConfig.descriptor names it."""

from __future__ import annotations

from traqpoint.models.config import DESCRIPTORS, Network, PyramidShape

_BUILD = "traqpoint.models.pyramid:PyramidDescriptor"


def _network(widths: tuple[int, int, int, int, int], dim: int = 64, **shape) -> Network:
    return Network(_BUILD, dim, shape=PyramidShape(widths, **shape))


SMALL, TINY = (8, 24, 64, 96, 128), (8, 16, 32, 64, 96)
SMALLER = {"context": 48, "hidden": 96}

s = DESCRIPTORS["pyramid-s"]
s_narrow = _network((8, 24, 48, 96, 128))
s_deep = _network((8, 16, 48, 96, 128), depths=(0, 1, 1, 2, 1))
s_around = _network((8, 24, 48, 96, 128), offsets=8)
s_head = _network((8, 24, 48, 96, 128), context=96, hidden=192)
s_short = _network((8, 24, 48, 96, 128), dim=32)
t = DESCRIPTORS["pyramid-t"]
t_deep = _network(TINY, depths=(0, 1, 1, 2, 1), **SMALLER)
t_around = _network(TINY, offsets=8, **SMALLER)
s_flat = _network((8, 24, 48, 96, 128), depths=(0, 1, 1, 0, 0), offsets=8)
s_coarse = _network((8, 24, 48, 64, 96), offsets=8)
t_flat = _network(TINY, depths=(0, 1, 1, 0, 0), offsets=8, **SMALLER)
