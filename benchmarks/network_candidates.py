"""The networks that benchmarks/network_search.py compares, each as ModelConfig.descriptor names it."""

from __future__ import annotations

from traqpoint.models.config import DESCRIPTORS, Network, PyramidShape

_BUILD = "traqpoint.models.pyramid:PyramidDescriptor"


def _network(widths: tuple[int, int, int, int, int], dim: int = 64, **shape) -> Network:
    return Network(_BUILD, dim, shape=PyramidShape(widths, **shape))


S, T = (8, 24, 48, 96, 128), (8, 16, 32, 64, 96)
PLAIN = {"depths": (0, 1, 1, 1, 0), "offsets": 0}
"""As the first ones: a residual block at 1/16, too, and nothing around the keypoints."""
SMALLER = {"context": 48, "hidden": 96}

s = DESCRIPTORS["pyramid-s"]
s_wide = _network((8, 24, 64, 96, 128), **PLAIN)
s_narrow = _network(S, **PLAIN)
s_deep = _network((8, 16, 48, 96, 128), depths=(0, 1, 1, 2, 1), offsets=0)
s_around = _network(S, depths=(0, 1, 1, 1, 0))
t = DESCRIPTORS["pyramid-t"]
t_plain = _network(T, **PLAIN, **SMALLER)
t_deep = _network(T, depths=(0, 1, 1, 2, 1), offsets=0, **SMALLER)
t_wide = _network(T, **SMALLER)
