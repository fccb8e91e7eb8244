"""What losses read of a batch: descriptors of the student, and of the teachers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Pair:
    """The same points in two frames. a, b: (B, N, D) unit descriptors. xy_b: (B, N, 2) their pixels in the second.
    paired: (B, N) bool, where the point is visible in both."""

    a: Tensor
    b: Tensor
    xy_b: Tensor
    paired: Tensor

    def joined(self, other: Pair) -> Pair:
        """The points of both."""
        names = ("a", "b", "xy_b", "paired")
        return Pair(*(torch.cat([getattr(self, name), getattr(other, name)], dim=1) for name in names))


@dataclass(frozen=True)
class Taught:
    """Points that teachers have described. student: (B, T, N, D) unit descriptors in each frame. seen: (B, T, N) bool,
    where a frame sees the point; elsewhere they mean nothing. teacher: (B, N, E), unit. projection: (E, D), or None
    where the spaces are the same."""

    student: Tensor
    seen: Tensor
    teacher: Tensor
    projection: Tensor | None = None

    @cached_property
    def targets(self) -> Tensor:
        """The teachers' descriptors in the student's space: (B, N, D), unit."""
        return self.teacher if self.projection is None else F.normalize(self.teacher @ self.projection, dim=-1)


class Lesson:
    """A batch. Pairs of frames are described when a loss asks for them."""

    def __init__(self, describe_pairs: Callable[[], list[Pair]], taught: Taught | None = None) -> None:
        self._describe_pairs = describe_pairs
        self.taught = taught
        self.stats: dict[str, Tensor] = {}

    @cached_property
    def pairs(self) -> list[Pair]:
        """Drawn and taught points in all pairs of frames."""
        return self._describe_pairs()
