"""Trajectories in the formats of KITTI, TUM and EuRoC, and which of their poses belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from traqpoint.errors import FormatError, GeometryError
from traqpoint.geometry.transforms import (
    check_rigid,
    invert_rigid,
    quaternion_from_rotation,
    rigid,
    rotation_from_quaternion,
)
from traqpoint.io.text import read_rows


@dataclass(frozen=True)
class Trajectory:
    """The path of one camera.

    timestamps: (N,) float64, increasing; seconds, or frame numbers where there is no clock.
    cam_from_world: (N, 4, 4) float64.
    """

    timestamps: Tensor
    cam_from_world: Tensor

    def __post_init__(self) -> None:
        n = self.timestamps.shape[0]
        if self.timestamps.shape != (n,) or self.cam_from_world.shape != (n, 4, 4):
            raise GeometryError(
                f"a trajectory is timestamps (N,) and cam_from_world (N, 4, 4), got {tuple(self.timestamps.shape)} and "
                f"{tuple(self.cam_from_world.shape)}"
            )
        if not bool((self.timestamps.diff() > 0).all()):
            raise GeometryError("the timestamps of a trajectory must increase")
        if n:
            check_rigid(self.cam_from_world, "trajectory")

    @classmethod
    def from_arrays(cls, timestamps: np.ndarray, cam_from_world: np.ndarray) -> Trajectory:
        """From arrays of any floating type."""
        return cls(torch.from_numpy(timestamps).double(), torch.from_numpy(cam_from_world).double())

    def __len__(self) -> int:
        return self.timestamps.shape[0]

    def __getitem__(self, index: Tensor | slice) -> Trajectory:
        """The poses at `index`, a slice or (K,) int64 in increasing order."""
        return Trajectory(self.timestamps[index], self.cam_from_world[index])

    @property
    def centres(self) -> Tensor:
        """(N, 3) camera centres in the world."""
        return invert_rigid(self.cam_from_world)[:, :3, 3]


def read_kitti(path: str | Path, times: str | Path | None = None) -> Trajectory:
    """Rows of 3x4 world_from_cam; timestamps of `times`, one per line, or else row numbers from 0.

    Rotations become the nearest exact ones, as the files carry few digits.
    Raises FormatError naming the file and the line.
    """
    rows = read_rows(path, 12)
    blocks = torch.tensor([values for _, values in rows], dtype=torch.float64).reshape(-1, 3, 4)
    if times is None:
        timestamps = torch.arange(len(rows), dtype=torch.float64)
    else:
        stamps = read_rows(times, 1)
        if len(stamps) != len(rows):
            raise FormatError(f"{times}: {len(stamps)} timestamps for the {len(rows)} poses of {path}")
        timestamps = _increasing(times, stamps)
    return Trajectory(timestamps, _from_world_from_cam(path, [n for n, _ in rows], blocks[..., :3], blocks[..., 3]))


def write_kitti(path: str | Path, trajectory: Trajectory) -> None:
    """Rows of 3x4 world_from_cam, digits enough to get the same numbers back. The timestamps are not in this format."""
    rows = invert_rigid(trajectory.cam_from_world.double())[:, :3].reshape(-1, 12)
    _write(path, rows.tolist())


def read_tum(path: str | Path) -> Trajectory:
    """Lines ``t x y z qx qy qz qw`` of world_from_cam, by time; empty lines and lines that start with # are skipped.

    Raises FormatError naming the file and the line.
    """
    rows = read_rows(path, 8)
    timestamps = _increasing(path, rows)
    values = torch.tensor([values for _, values in rows], dtype=torch.float64).reshape(-1, 8)
    for (number, _), norm in zip(rows, values[:, 4:].norm(dim=-1).tolist(), strict=True):
        if abs(norm - 1) > 0.01:
            raise FormatError(f"{path}:{number}: the quaternion has norm {norm:.4g}, not 1")
    R = rotation_from_quaternion(values[:, [7, 4, 5, 6]])
    return Trajectory(timestamps, _from_world_from_cam(path, [n for n, _ in rows], R, values[:, 1:4]))


def write_tum(path: str | Path, trajectory: Trajectory) -> None:
    """Lines ``t x y z qx qy qz qw`` of world_from_cam, digits enough to get the same numbers back."""
    world_from_cam = invert_rigid(trajectory.cam_from_world.double())
    xyzw = quaternion_from_rotation(world_from_cam[:, :3, :3])[:, [1, 2, 3, 0]]
    rows = torch.cat([trajectory.timestamps.double()[:, None], world_from_cam[:, :3, 3], xyzw], dim=-1)
    _write(path, rows.tolist(), header="# timestamp tx ty tz qx qy qz qw")


def write_euroc(path: str | Path, trajectory: Trajectory) -> None:
    """EuRoC's CSV: nanoseconds, then x y z and the quaternion w x y z of world_from_cam."""
    world_from_cam = invert_rigid(trajectory.cam_from_world.double())
    wxyz = quaternion_from_rotation(world_from_cam[:, :3, :3])
    values = torch.cat([world_from_cam[:, :3, 3], wxyz], dim=-1).tolist()
    times = [round(seconds * 1e9) for seconds in trajectory.timestamps.tolist()]
    lines = ["#timestamp [ns],p_x,p_y,p_z,q_w,q_x,q_y,q_z"]
    lines += [",".join(map(repr, [time, *row])) for time, row in zip(times, values, strict=True)]
    _write_lines(path, lines)


def associate(a: Trajectory, b: Trajectory, max_difference: float = 0.02) -> tuple[Tensor, Tensor]:
    """Indices (K,), (K,) into a and b of poses of the same moment: each the other's nearest, ascending.

    max_difference: in units of the timestamps; the TUM tools allow 0.02 s. Equal distances go to the earlier pose.
    """
    forth, back = nearest(a.timestamps, b.timestamps), nearest(b.timestamps, a.timestamps)
    i = torch.arange(len(a) if len(b) else 0)
    mutual = back[forth] == i
    close = (a.timestamps[i] - b.timestamps[forth]).abs() <= max_difference
    return i[mutual & close], forth[mutual & close]


def nearest(times: Tensor, among: Tensor) -> Tensor:
    """Index (N,) of the entry of increasing `among` (M,) that is nearest to each of `times` (N,); empty if M is 0."""
    if not len(among):
        return torch.empty(0, dtype=torch.long)
    right = torch.searchsorted(among, times.contiguous()).clamp(max=len(among) - 1)
    left = (right - 1).clamp(min=0)
    return torch.where((times - among[left]).abs() <= (among[right] - times).abs(), left, right)


def interpolate(path: Trajectory, times: Tensor) -> Tensor:
    """cam_from_world (N, 4, 4) at `times` (N,): straight between neighbouring poses, the end poses beyond the ends."""
    world_from_cam = invert_rigid(path.cam_from_world)
    right = torch.searchsorted(path.timestamps, times).clamp(1, max(1, len(path) - 1)).clamp(max=len(path) - 1)
    left = (right - 1).clamp(min=0)
    span = (path.timestamps[right] - path.timestamps[left]).clamp(min=1e-9)
    share = ((times - path.timestamps[left]) / span).clamp(0, 1).unsqueeze(-1)
    q = quaternion_from_rotation(world_from_cam[:, :3, :3])
    a, b = q[left], q[right]
    b = torch.where((a * b).sum(-1, keepdim=True) < 0, -b, b)  # q and -q are one rotation: take the shorter way
    t = torch.lerp(world_from_cam[left, :3, 3], world_from_cam[right, :3, 3], share)
    return invert_rigid(rigid(rotation_from_quaternion(torch.lerp(a, b, share)), t))


def _increasing(path: str | Path, rows: Sequence[tuple[int, list[float]]]) -> Tensor:
    for (_, before), (number, now) in pairwise(rows):
        if now[0] <= before[0]:
            raise FormatError(f"{path}:{number}: timestamp {now[0]!r} does not come after {before[0]!r}")
    return torch.tensor([values[0] for _, values in rows], dtype=torch.float64)


def _from_world_from_cam(path: str | Path, numbers: list[int], R: Tensor, t: Tensor) -> Tensor:
    """cam_from_world (N, 4, 4) with exact rotations; `numbers` are the lines, for the message of a FormatError."""
    exact = rotation_from_quaternion(quaternion_from_rotation(R))
    wrong = ((R - exact).abs().amax((-2, -1)) > 1e-3).nonzero().flatten()
    if len(wrong):
        raise FormatError(f"{path}:{numbers[int(wrong[0])]}: the 3x3 block is not a rotation")
    return invert_rigid(rigid(exact, t))


def _write(path: str | Path, rows: list[list[float]], header: str | None = None) -> None:
    lines = [] if header is None else [header]
    _write_lines(path, [*lines, *(" ".join(map(repr, row)) for row in rows)])


def _write_lines(path: str | Path, lines: Sequence[str]) -> None:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
