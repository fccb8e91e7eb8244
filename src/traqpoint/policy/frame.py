"""What terms may know: the maps of one frame, and the points of a frame that are judged in the others."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import torch.nn.functional as F
from torch import Tensor

from traqpoint.geometry.pixels import pixel_grid
from traqpoint.geometry.sampling import sample, sample_descriptors

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class FrameMaps:
    """One frame of B sequences. policy: (B, H, W) restricted logits. descriptors: (B, D, h, w), frozen."""

    policy: Tensor
    descriptors: Tensor
    _kept: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the frame."""
        return self.policy.shape[1], self.policy.shape[2]

    @property
    def image_size(self) -> tuple[int, int]:
        """(W, H) of the frame."""
        return self.policy.shape[2], self.policy.shape[1]

    def once(self, key: Hashable, make: Callable[[FrameMaps], T]) -> T:
        """make(self), kept under `key`. What is kept must not hold the frame: a circle would keep its graph alive."""
        if key not in self._kept:
            self._kept[key] = make(self)
        return self._kept[key]

    def read(self, map: Tensor, xy: Tensor) -> Tensor:
        """A map (B, H, W) at pixels xy (B, N, 2), bilinear: (B, N), NaN where these are."""
        return sample(map.unsqueeze(1), xy, self.image_size).squeeze(-1)

    def described(self, xy: Tensor) -> Tensor:
        """Unit descriptors (B, N, D) at pixels xy (B, N, 2), NaN where these are."""
        return sample_descriptors(self.descriptors, xy, self.image_size)

    def grid(self, stride: int) -> Grid:
        """The centres of all stride × stride cells, row by row."""
        pixels = pixel_grid(*self.shape, stride, device=self.policy.device)
        return Grid(self, pixels.expand(self.policy.shape[0], -1, -1), stride)


@dataclass(frozen=True, eq=False)
class Points:
    """Points of a frame. xy: (B, N, 2) pixels."""

    frame: FrameMaps
    xy: Tensor
    dense: ClassVar[bool] = False
    """Whether they are so many that a map of the whole target frame costs less than asking for each."""

    @cached_property
    def descriptors(self) -> Tensor:
        """Of the points, (B, N, D), computed once for each grid."""
        """(B, N, D), of unit norm."""
        return self.frame.described(self.xy)

    def coarse(self, stride: int) -> Points:
        """Points of a grid of every `stride`-th pixel, at which slow terms are computed."""
        """The points at which a term of that stride is asked."""
        return self

    def fine(self, values: Tensor, stride: int) -> Tensor:
        """Values (B, N) at the points of `coarse`, interpolated at these (B, N)."""
        """Values (B, M) at `coarse(stride)` -> (B, N) at these points."""
        return values


@dataclass(frozen=True, eq=False)
class Grid(Points):
    """Centres of stride × stride cells, of which the frame keeps the descriptors."""

    stride: int
    dense: ClassVar[bool] = True

    @cached_property
    def descriptors(self) -> Tensor:
        return self.frame.once(self.stride, lambda frame: frame.described(self.xy))


@dataclass(frozen=True, eq=False)
class Lattice(Points):
    """Pixels at regular steps across and down. rows, columns: which ones."""

    rows: slice
    columns: slice
    dense: ClassVar[bool] = True
    _grids: dict[int, Grid] = field(default_factory=dict, repr=False)

    def coarse(self, stride: int) -> Points:
        if stride == 1:
            return self
        if stride not in self._grids:
            self._grids[stride] = self.frame.grid(stride)
        return self._grids[stride]

    def fine(self, values: Tensor, stride: int) -> Tensor:
        if stride == 1:
            return values
        H, W = self.frame.shape
        coarse = values.reshape(-1, 1, -(-H // stride), -(-W // stride))
        full = F.interpolate(coarse, scale_factor=stride, mode="bilinear")[:, 0, :H, :W]
        return self.cut(full).flatten(1)

    def cut(self, map: Tensor) -> Tensor:
        """A map (B, H, W) at these pixels, (B, h, w)."""
        return map[:, self.rows, self.columns]

    def as_map(self, values: Tensor) -> Tensor:
        """(B, N) -> (B, h, w)."""
        return values.reshape(self.cut(self.frame.policy).shape)


def lattice(frame: FrameMaps, stride: int = 1, start: tuple[int, int] = (0, 0)) -> Lattice:
    """Every `stride`-th pixel from pixel `start` = (row, column) on."""
    rows, columns = slice(start[0], None, stride), slice(start[1], None, stride)
    pixels = pixel_grid(*frame.shape, device=frame.policy.device).unflatten(0, frame.shape)[rows, columns]
    return Lattice(frame, pixels.reshape(1, -1, 2).expand(frame.policy.shape[0], -1, -1), rows, columns)
