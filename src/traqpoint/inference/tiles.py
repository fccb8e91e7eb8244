"""Features of images that are too large to be worked on at once: tile by tile, within a budget of memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from traqpoint.errors import ConfigError, ImageError
from traqpoint.image import Picture, pad_to_multiple, picture_size, to_tensor
from traqpoint.inference.config import ExtractorConfig, parse_bytes
from traqpoint.inference.runtimes.runtime import Runtime
from traqpoint.models.detect import peaks, refine
from traqpoint.models.ends import padded_size
from traqpoint.models.reach import reach
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.types import Device, Features

_AT_REST = 520_000_000
"""Bytes of Python, PyTorch, OpenCV and the weights (350 MB), and of what the allocator keeps between tiles."""
_BYTES_PER_PIXEL = 190
"""Of a network at work, detection included: 184 of traqpoint-s at four budgets; pyramids need half of it."""
_STRIP = 256
"""Rows of an image that are made float at once."""


class Tile(NamedTuple):
    """left, top, right, bottom, in pixels of the padded image. Keypoints in `core` are the tile's, `window` is what the
    network needs to see for that."""

    core: tuple[int, int, int, int]
    window: tuple[int, int, int, int]


class Tiles:
    """A network on one large image after the other.

    Keypoints, scores and descriptors are those of the untiled run: each is computed with everything that the network
    sees around it, and standardisation, top-k and ties are those of the whole image. What differs is the rounding of
    float32 sums.
    """

    def __init__(self, model: TraqPoint, runtime: Runtime, config: ExtractorConfig, device: Device) -> None:
        """Raises ConfigError for a network that needs whole images, or a runtime that cannot be told about them."""
        assert config.memory is not None
        self._model, self._runtime, self._config, self._device = model, runtime, config, device
        self._budget = parse_bytes(config.memory)
        if config.backend != "torch" and model.descriptor.moments([torch.zeros(1, 3, 2, 2)]) is not None:
            raise ConfigError(
                f"{config.weights}: standardises whole images, which in tiles only the backend torch does, not "
                f"{config.backend}"
            )
        # Beyond what the network sees: windows of the non-maximum suppression, also around a twin, and the refinement;
        # the bilinear read of the coarsest map, beside the keypoint.
        around = 2 * config.nms_radius + 2 + 16 + model.descriptor.sampled_px
        self.halo = math.ceil((reach(model) + around) / model.stride) * model.stride

    def at_once(self, image_size: tuple[int, int]) -> bool:
        """Whether an image of that size needs no tiles."""
        width, height = padded_size(image_size, self._model.stride)
        return width * height <= self._pixels(12 * width * height)

    def _pixels(self, held: int) -> float:
        """That the network may work on at once, beside an image of `held` bytes."""
        return (self._budget - _AT_REST - held) / _BYTES_PER_PIXEL

    @torch.inference_mode()
    def __call__(self, picture: Picture) -> Features:
        """Features in the picture's own pixels. Raises ImageError if the budget does not do for a picture so large."""
        size, stride, c = picture_size(picture), self._model.stride, self._config
        side = math.isqrt(max(0, int(self._pixels(picture.nbytes)))) // stride * stride
        if side < 2 * self.halo + stride:
            needed = _AT_REST + picture.nbytes + _BYTES_PER_PIXEL * (2 * self.halo + stride) ** 2
            raise ImageError(
                f"an image of {size[0]} x {size[1]} pixels needs a memory of {math.ceil(needed / 1e7) / 100:.2f} GB, "
                f"not {c.memory}"
            )
        moments = self._model.descriptor.moments(_strips(picture))
        extra = () if moments is None else (tuple(moment.to(self._device) for moment in moments),)
        best: Best | None = None
        for tile in tiles(padded_size(size, stride), side, self.halo, stride):
            found = self._found(picture, tile, size, extra)
            best = found if best is None else best.joined(found, c.max_keypoints, size[0])
        assert best is not None
        limit = torch.nextafter(best.xy.new_tensor(size), best.xy.new_zeros(2))
        xy = best.xy.clamp(min=0).minimum(limit)
        return Features(xy.cpu(), best.logits.sigmoid().cpu(), best.descriptors.cpu(), size, size)

    def _found(self, picture: Picture, tile: Tile, size: tuple[int, int], extra: tuple) -> Best:
        """The best keypoints in the tile's core."""
        c, (left, top, right, bottom) = self._config, tile.window
        image = pad_to_multiple(_cut(picture, tile.window), self._model.stride).to(self._device)
        used = (min(right, size[0]) - left, min(bottom, size[1]) - top)
        maps, logits = self._runtime(image[None], [used], *extra)
        valid = torch.zeros(1, bottom - top, right - left, dtype=torch.bool, device=self._device)
        margin = c.border
        x0, y0, x1, y1 = tile.core
        x0, y0, x1, y1 = max(x0, margin), max(y0, margin), min(x1, size[0] - margin), min(y1, size[1] - margin)
        if x0 < x1 and y0 < y1:
            valid[:, y0 - top : y1 - top, x0 - left : x1 - left] = True
        (found,) = peaks(logits, c.max_keypoints, c.nms_radius, c.threshold, c.prominence, valid)
        xy = refine(logits[0, 0], found.y, found.x)
        vectors = self._model.descriptor.at(maps, xy.unsqueeze(0), (right - left, bottom - top))[0]
        return Best(found.y + top, found.x + left, found.logits, xy + xy.new_tensor([left, top]), vectors)


class Best(NamedTuple):
    """The best keypoints so far: y, x (N,) pixel indices, logits (N,), xy (N, 2), descriptors (N, D)."""

    y: Tensor
    x: Tensor
    logits: Tensor
    xy: Tensor
    descriptors: Tensor

    def joined(self, other: Best, count: int, width: int) -> Best:
        """The best of both; of equal logits the first ones row by row, as in the whole image."""
        all = Best(*(torch.cat(pair) for pair in zip(self, other, strict=True)))
        rows = (all.y * width + all.x).argsort()
        order = rows[all.logits[rows].sort(descending=True, stable=True).indices[:count]]
        return Best(*(part[order] for part in all))


def tiles(size: tuple[int, int], side: int, halo: int, stride: int) -> Iterator[Tile]:
    """Tiles of about equal size whose windows are at most `side` wide and high; all numbers are multiples of stride.

    size: (W, H) of the padded image. halo: what a window has beyond its core, except at the image's own border.
    """
    columns, rows = (_cuts(length, side, halo, stride) for length in size)
    for (top, bottom), (above, below) in rows:
        for (left, right), (before, behind) in columns:
            yield Tile((left, top, right, bottom), (before, above, behind, below))


def _cuts(length: int, side: int, halo: int, stride: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Cores and windows along one axis."""
    if length <= side:
        return [((0, length), (0, length))]
    count = math.ceil(length / (side - 2 * halo))
    core = math.ceil(length / count / stride) * stride
    cores = [(start, min(length, start + core)) for start in range(0, length, core)]
    # Windows at the border are as large as the others: where sizes change, what was freed does not fit and piles up.
    window = core + 2 * halo
    begins = [min(max(0, start - halo), length - window) for start, _ in cores]
    return [(one, (begin, begin + window)) for one, begin in zip(cores, begins, strict=True)]


def _cut(picture: Picture, box: tuple[int, int, int, int]) -> Tensor:
    """float (3, h, w) of a part of the picture; what the box has beyond it is left out."""
    left, top, right, bottom = box
    if isinstance(picture, np.ndarray):
        return to_tensor(picture[top:bottom, left:right])
    return picture[:, top:bottom, left:right]


def _strips(picture: Picture) -> Iterator[Tensor]:
    width, height = picture_size(picture)
    for top in range(0, height, _STRIP):
        yield _cut(picture, (0, top, width, top + _STRIP))
