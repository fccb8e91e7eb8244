"""How far is an estimated trajectory from the true one? Pure functions of two trajectories of equal length.

Pose i of the estimate belongs to pose i of the reference (`io.trajectory.associate` finds them). Translations are in
the reference's unit, called metres here; rotations in degrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from traqpoint.errors import GeometryError
from traqpoint.geometry.epipolar import angle_between
from traqpoint.geometry.transforms import invert_rigid, rigid
from traqpoint.io.trajectory import Trajectory, associate

Alignment = Literal["none", "scale", "se3", "sim3"]
"""What is fitted to the reference before errors are taken: nothing, a scale about the world's origin, a rigid motion,
or a similarity. The last two are what odometry with and without metric scale is judged by."""

KITTI_LENGTHS = (100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0)
"""Metres; of the KITTI odometry benchmark."""
KITTI_STEP = 10
"""Frames from one segment's start to the next one's; of KITTI's evaluation code."""


@dataclass(frozen=True)
class Similarity:
    """``x -> scale * R x + t``. R: (3, 3). t: (3,)."""

    scale: float
    R: Tensor
    t: Tensor

    def points(self, x: Tensor) -> Tensor:
        """(..., 3) -> (..., 3)."""
        return self.scale * x @ self.R.T + self.t

    def trajectory(self, path: Trajectory) -> Trajectory:
        """The same cameras in the new world."""
        R = path.cam_from_world[:, :3, :3] @ self.R.T
        centres = self.points(path.centres)
        return Trajectory(path.timestamps, rigid(R, -(R @ centres.unsqueeze(-1)).squeeze(-1)))


def fit_alignment(estimate: Tensor, reference: Tensor, alignment: Alignment) -> Similarity:
    """The transform of that kind with the least sum of squared distances from estimate (N, 3) to reference (N, 3).

    Umeyama (1991) for se3 and sim3. An estimate that stands still keeps its scale.
    """
    eye, zero = torch.eye(3, dtype=estimate.dtype), estimate.new_zeros(3)
    if alignment == "none":
        return Similarity(1.0, eye, zero)
    if alignment == "scale":
        square = float(estimate.square().sum())
        return Similarity(float((estimate * reference).sum()) / square if square else 1.0, eye, zero)
    mean, mean_reference = estimate.mean(0), reference.mean(0)
    x, y = estimate - mean, reference - mean_reference
    U, S, Vh = torch.linalg.svd(y.T @ x)
    sign = torch.ones(3, dtype=x.dtype)
    sign[2] = torch.sign(torch.linalg.det(U @ Vh))  # a rotation, never a reflection
    R = U @ torch.diag(sign) @ Vh
    square = float(x.square().sum())
    scale = float((S * sign).sum()) / square if alignment == "sim3" and square else 1.0
    return Similarity(scale, R, mean_reference - scale * R @ mean)


def align(estimate: Trajectory, reference: Trajectory, alignment: Alignment) -> Trajectory:
    """The estimate moved onto the reference. Raises GeometryError if there are no poses, or not as many of both."""
    _check(estimate, reference)
    return fit_alignment(estimate.centres, reference.centres, alignment).trajectory(estimate)


def absolute_errors(estimate: Trajectory, reference: Trajectory) -> Tensor:
    """(N,) metres between camera centres: the absolute trajectory error of each pose, nothing aligned."""
    _check(estimate, reference)
    return (estimate.centres - reference.centres).norm(dim=-1)


def relative_errors(
    estimate: Trajectory, reference: Trajectory, delta: float, unit: Literal["frames", "metres"] = "frames"
) -> tuple[Tensor, Tensor]:
    """Translation (M,) in metres and rotation (M,) in degrees of the relative pose error over `delta`.

    Of every pose i with the one `delta` frames on, or the first one for which the reference has gone farther than
    `delta` metres. Empty if the trajectory is shorter.
    """
    _check(estimate, reference)
    if unit == "frames":
        start = torch.arange(max(0, len(reference) - int(delta)))
        end = start + int(delta)
    else:
        start, end = _segments(path_lengths(reference), delta)
    return _relative(estimate, reference, start, end)


def kitti_errors(
    estimate: Trajectory,
    reference: Trajectory,
    lengths: tuple[float, ...] = KITTI_LENGTHS,
    step: int = KITTI_STEP,
) -> tuple[Tensor, Tensor, Tensor]:
    """KITTI's segment errors: translation (M,) in percent, rotation (M,) in degrees per metre, length (M,) in metres.

    A segment starts at every `step`-th frame, and ends where the reference has gone farther than its length. KITTI's
    own figures are the means over all segments of KITTI_LENGTHS; other lengths are another metric. M is 0 for
    trajectories shorter than all lengths.
    """
    _check(estimate, reference)
    gone = path_lengths(reference)
    parts = []
    for length in lengths:
        start, end = _segments(gone, length, step)
        translation, rotation = _relative(estimate, reference, start, end)
        parts.append(torch.stack([100 * translation / length, rotation / length, torch.full_like(rotation, length)]))
    translation, rotation, length = torch.cat(parts, dim=-1)
    return translation, rotation, length


def path_lengths(trajectory: Trajectory) -> Tensor:
    """(N,) metres gone from the first pose to each pose."""
    steps = trajectory.centres.diff(dim=0).norm(dim=-1)
    return torch.cat([steps.new_zeros(1), steps.cumsum(0)])


def _segments(gone: Tensor, length: float, step: int = 1) -> tuple[Tensor, Tensor]:
    """Starts and ends (M,): from every `step`-th pose to the first one farther than `length` from it along the path."""
    start = torch.arange(0, len(gone), step)
    end = torch.searchsorted(gone, gone[start] + length, right=True)
    inside = end < len(gone)
    return start[inside], end[inside]


def _relative(estimate: Trajectory, reference: Trajectory, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    def motion(path: Trajectory) -> Tensor:
        """start_from_end (M, 4, 4)."""
        return path.cam_from_world[start] @ invert_rigid(path.cam_from_world[end])

    moved, true = motion(estimate), motion(reference)
    error = invert_rigid(true) @ moved
    return error[:, :3, 3].norm(dim=-1), angle_between(true[:, :3, :3], moved[:, :3, :3])


def _check(estimate: Trajectory, reference: Trajectory) -> None:
    if len(estimate) != len(reference) or not len(reference):
        raise GeometryError(
            f"errors are taken pose by pose: {len(estimate)} estimated and {len(reference)} true poses do not pair up"
        )


def trajectory_scores(
    estimate: Trajectory, truth: Trajectory, alignment: Alignment, max_difference: float = 0.02
) -> tuple[dict[str, float], dict[str, np.ndarray], dict[str, Any]]:
    """(stats, arrays per pose or segment, protocol) of any path against the truth.

    Poses of the same moment are compared (`associate`); coverage is the share of true poses that have a partner. ATE
    after `alignment`; relative errors from each compared pose to the next (RMSE); KITTI's segment errors with
    `segment_lengths`. Raises GeometryError if no moments agree.
    """
    i, j = associate(estimate, truth, max_difference)
    if not len(i):
        raise GeometryError(f"no pose of the estimate lies within {max_difference:g} of the time of a true one")
    coverage = len(j) / len(truth)
    estimate, truth = estimate[i], truth[j]
    aligned = align(estimate, truth, alignment)
    absolute = absolute_errors(aligned, truth)
    translation, rotation = relative_errors(aligned, truth, 1)
    lengths = segment_lengths(float(path_lengths(truth)[-1]))
    step = KITTI_STEP if lengths == KITTI_LENGTHS else 1
    percent, deg_per_m, length = kitti_errors(aligned, truth, lengths, step)
    stats = {
        "coverage": coverage,
        "ate_rmse_m": _rmse(absolute),
        "ate_mean_m": float(absolute.mean()),
        "ate_median_m": float(absolute.median()),
        "ate_max_m": float(absolute.max()),
        "rpe_translation_m": _rmse(translation),
        "rpe_rotation_deg": _rmse(rotation),
        "segment_translation_percent": _mean(percent),
        "segment_rotation_deg_per_m": _mean(deg_per_m),
    }
    arrays = {
        "ate_m": absolute,
        "rpe_translation_m": translation,
        "rpe_rotation_deg": rotation,
        "segment_translation_percent": percent,
        "segment_rotation_deg_per_m": deg_per_m,
        "segment_length_m": length,
        "centres_aligned": aligned.centres,
        "centres_true": truth.centres,
    }
    used = sorted(set(length.tolist()))
    protocol = {"alignment": alignment, "segments_m": used, "segment_starts": f"every {step} frames"}
    return stats, {name: value.numpy() for name, value in arrays.items()}, protocol


def segment_lengths(path_length: float) -> tuple[float, ...]:
    """KITTI's 100 … 800 m for a path of 200 m or more; for a shorter one a tenth, a hundredth … of them."""
    lengths: tuple[float, ...] = KITTI_LENGTHS
    while 0 < path_length < 2 * lengths[0]:
        lengths = tuple(length / 10 for length in lengths)
    return lengths


def _mean(values: Tensor) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _rmse(values: Tensor) -> float:
    return float(values.square().mean().sqrt()) if len(values) else float("nan")
