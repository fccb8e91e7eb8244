"""What any odometry gives."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from traqpoint.io.trajectory import Trajectory
from traqpoint.types import Matches


@dataclass(frozen=True)
class Odometry:
    """An estimated path. trajectory: a pose for every frame, the first frame's is the identity. reference: (N,) int64,
    the frame that each one was measured against; -1 for the first frame, and for lost ones, which repeat the last
    motion. matches, inliers: (N,) int64. unscaled: frames whose step has its predecessor's length for want of common
    points. verified: inlier matches of the pairs (i, j) that were used. told: notes of whoever estimated it."""

    trajectory: Trajectory
    reference: Tensor
    matches: Tensor
    inliers: Tensor
    unscaled: int
    verified: dict[tuple[int, int], Matches]
    told: tuple[str, ...] = ()

    @property
    def lost(self) -> Tensor:
        """(N,) bool."""
        lost = self.reference < 0
        lost[0] = False
        return lost

    @property
    def notes(self) -> tuple[str, ...]:
        """What went wrong, in words with counts."""
        lost = int(self.lost.sum())
        lines = (
            (lost, f"{lost} of {len(self.lost)} frames lost: they repeat the last motion"),
            (self.unscaled, f"{self.unscaled} steps share too few points with the step before: its length is kept"),
        )
        return (*(line for count, line in lines if count), *self.told)
