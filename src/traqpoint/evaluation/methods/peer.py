"""Other methods behind the Extractor's interface: one protocol of resizing, top-k and pixels for all of them.

An adapter only detects and describes: it maps a float (3, H, W) tensor to `Raw`. Everything else is `Peer`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from traqpoint.errors import ConfigError
from traqpoint.geometry.pixels import colmap_from_opencv, inside
from traqpoint.image import resize_long_side
from traqpoint.inference.extractor import Image, load_image, rescaled
from traqpoint.types import Features


class Raw(NamedTuple):
    """xy (N, 2) with integer pixel centres, scores (N,), descriptors (N, D) of any norm; in any order."""

    xy: Tensor
    scores: Tensor
    descriptors: Tensor


Detect = Callable[[Tensor], Raw]


@dataclass(frozen=True)
class PeerConfig:
    """What identifies a peer's features; written beside every result."""

    name: str
    """As `build_method` takes it."""
    max_keypoints: int
    """Keep this many, best first."""
    long_side: int | None
    """Shrink larger images to this many pixels first."""
    library: str
    """Whose implementation, with its version."""
    device: str = "cpu"
    """Where networks run."""

    def __post_init__(self) -> None:
        if self.max_keypoints < 1:
            raise ConfigError(f"max_keypoints must be at least 1, got {self.max_keypoints}")
        if self.long_side is not None and self.long_side < 32:
            raise ConfigError(f"long_side must be at least 32, got {self.long_side}")


class Peer:
    """Another method as image -> Features, in the original image's pixels, best first, unit descriptors."""

    def __init__(self, config: PeerConfig, detect: Detect, model: torch.nn.Module | None = None) -> None:
        """model: the network behind `detect`, whose weights identify the results."""
        self.config = config
        self._detect = detect
        if model is not None:
            self.model = model

    def __call__(self, image: Image) -> Features:
        original = load_image(image)
        long_side = self.config.long_side
        used = original if long_side is None else resize_long_side(original, long_side)
        width, height = used.shape[-1], used.shape[-2]
        found = Raw(*(part.detach().float().cpu() for part in self._detect(used)))
        xy = colmap_from_opencv(found.xy)
        # Off the image: on the padding. Without a direction, a descriptor matches nothing.
        usable = (inside(xy, width, height) & (found.descriptors.norm(dim=-1) > 0)).nonzero().squeeze(1)
        best = found.scores[usable].argsort(descending=True, stable=True)[: self.config.max_keypoints]
        chosen = usable[best]
        vectors = F.normalize(found.descriptors[chosen], dim=-1)
        features = Features(xy[chosen].contiguous(), found.scores[chosen], vectors, (width, height))
        return rescaled(features, (original.shape[-1], original.shape[-2]))
