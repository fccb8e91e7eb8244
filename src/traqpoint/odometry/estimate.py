"""Monocular visual odometry as simple as it can be, so that the features decide: essential matrices, one after another.

No bundle adjustment, no loop closure, no map beyond the current keyframe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from traqpoint.data.testsets.odometry import OdometrySequence
from traqpoint.errors import ConfigError
from traqpoint.geometry.transforms import invert_rigid
from traqpoint.io.trajectory import Trajectory
from traqpoint.matching.verify import estimate_relative_pose
from traqpoint.odometry.config import OdometryConfig
from traqpoint.odometry.path import Odometry
from traqpoint.odometry.points import in_camera, triangulated
from traqpoint.types import Features, Matches

PairReader = Callable[[int, int], tuple[Features, Features, Matches] | None]
"""Frames i < j -> their features and matches, None if there are none of one of them."""

MAX_BASELINES = 200.0
"""Points farther than this many baselines say nothing about scale: 0.3 degrees of parallax."""
MIN_COMMON = 8
"""Points that two steps must have in common, so that one's length is measured by the other's."""


@dataclass(frozen=True)
class _Step:
    """What two frames say of the motion between them."""

    frame_from_reference: Tensor
    """(4, 4) with a translation of unit length: a baseline."""
    matches: int
    inliers: Matches
    """K matches."""
    z_reference: Tensor
    """(K,) z-depths in the reference, in baselines; NaN if too far to tell."""
    z_frame: Tensor
    """(K,) the same in the frame."""
    flow: float
    """Median motion of the inliers in image widths."""


@dataclass(frozen=True)
class _Keyframe:
    """The frame that others are measured against. depth: z-depths of its keypoints, NaN unknown, as far as known.
    first_inliers: of the first frame measured against it, 0 if there was none yet."""

    frame: int
    depth: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))
    first_inliers: int = 0


def estimate_path(sequence: OdometrySequence, pairs: PairReader, config: OdometryConfig, seed: int = 0) -> Odometry:
    """The path of the camera from matches of frames up to `config.reach` apart, in the modes frame and keyframe.

    A frame that cannot be measured against its keyframe is tried against the frame before; then it is lost.
    Raises ConfigError if the scale is to be the true one and the sequence has no truth.
    """
    if config.scale == "truth" and sequence.truth is None:
        raise ConfigError(f"{sequence.name}: there is no true path to take the scale from; use scale none")
    n = len(sequence.images)
    poses, motion = [torch.eye(4, dtype=torch.float64)], torch.eye(4, dtype=torch.float64)
    reference = torch.full((n,), -1)
    matches, inliers = torch.zeros(n, dtype=torch.long), torch.zeros(n, dtype=torch.long)
    verified: dict[tuple[int, int], Matches] = {}
    key, length, unscaled = _Keyframe(0), 1.0, 0
    for frame in range(1, n):
        step = _measure(sequence, pairs, key.frame, frame, config, seed)
        if step is None and key.frame != frame - 1:
            key = _Keyframe(frame - 1)
            step = _measure(sequence, pairs, key.frame, frame, config, seed)
        if step is None:
            poses.append(motion @ poses[-1])
            key = _Keyframe(frame)
            continue
        if config.scale == "truth":
            length = _true_length(sequence, key.frame, frame)
        elif (measured := _relative_length(step, key.depth)) is not None:
            length = measured
        else:
            unscaled += len(verified) > 0  # the first step has nothing to be measured by
        moved = step.frame_from_reference.clone()
        moved[:3, 3] *= length
        poses.append(moved @ poses[key.frame])
        motion = poses[-1] @ invert_rigid(poses[-2])
        reference[frame], matches[frame], inliers[frame] = key.frame, step.matches, len(step.inliers)
        verified[key.frame, frame] = step.inliers
        key = _next_keyframe(key, frame, step, length, config)
    trajectory = Trajectory(sequence.timestamps, torch.stack(poses))
    return Odometry(trajectory, reference, matches, inliers, unscaled, verified)


def _next_keyframe(key: _Keyframe, frame: int, step: _Step, length: float, config: OdometryConfig) -> _Keyframe:
    i, j = step.inliers.indices.unbind(1)
    first = key.first_inliers or len(step.inliers)
    worn = len(step.inliers) < config.min_inliers * first or step.flow > config.max_flow
    if worn or frame - key.frame >= config.reach:
        return _Keyframe(frame, _with_depths(torch.empty(0), j, length * step.z_frame))
    return _Keyframe(key.frame, _with_depths(key.depth, i, length * step.z_reference), first)


def _measure(
    sequence: OdometrySequence, pairs: PairReader, reference: int, frame: int, config: OdometryConfig, seed: int
) -> _Step | None:
    found = pairs(reference, frame)
    if found is None:
        return None
    features_a, features_b, matches = found
    i, j = matches.indices.unbind(1)
    camera, K = sequence.camera, sequence.camera.K
    a, b = camera.undistorted(features_a.keypoints[i].double()), camera.undistorted(features_b.keypoints[j].double())
    estimate = estimate_relative_pose(a, b, K, K, config.robust, seed)
    if estimate.b_from_a is None:
        return None
    good = estimate.inliers
    z_a, z_b = _triangulated_depths(a[good], b[good], K, estimate.b_from_a)
    flow = float((a[good] - b[good]).norm(dim=-1).median()) / features_a.image_size[0]
    kept = Matches(matches.indices[good], matches.scores[good])
    return _Step(estimate.b_from_a, len(matches), kept, z_a, z_b, flow)


def _triangulated_depths(a: Tensor, b: Tensor, K: Tensor, b_from_a: Tensor) -> tuple[Tensor, Tensor]:
    """z-depths (N,), (N,) in both cameras of the points at pixels a, b (N, 2); NaN behind one or too far to tell."""
    x = triangulated(a, b, K, torch.eye(4, dtype=torch.float64), b_from_a)
    z_a, z_b = x[:, 2], in_camera(x, b_from_a)[:, 2]
    usable = (z_a > 0) & (z_b > 0) & (z_a < MAX_BASELINES) & (z_b < MAX_BASELINES)
    nan = torch.full_like(z_a, torch.nan)
    return torch.where(usable, z_a, nan), torch.where(usable, z_b, nan)


def _relative_length(step: _Step, depth: Tensor) -> float | None:
    """Length of the step in the unit of `depth` (of the reference's keypoints); None with too few common points."""
    index = step.inliers.indices[:, 0]
    inside = index < len(depth)
    ratio = depth[index[inside]] / step.z_reference[inside]
    ratio = ratio[torch.isfinite(ratio)]
    return float(ratio.median()) if len(ratio) >= MIN_COMMON else None


def _with_depths(depth: Tensor, index: Tensor, z: Tensor) -> Tensor:
    """`depth` with z at `index` where z is known, longer where needed. The last z is kept: its baseline is wider."""
    out = torch.full((max(int(index.max()) + 1, len(depth)),), torch.nan, dtype=torch.float64)
    out[: len(depth)] = depth
    known = torch.isfinite(z)
    out[index[known]] = z[known]
    return out


def _true_length(sequence: OdometrySequence, reference: int, frame: int) -> float:
    assert sequence.truth is not None
    centres = sequence.truth.centres[[reference, frame]]
    return float((centres[1] - centres[0]).norm())
