"""The first two keyframes of a map: frames wait until one of them has parallax enough to the first."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from traqpoint.geometry.camera import Camera
from traqpoint.geometry.transforms import invert_rigid
from traqpoint.matching.run import Matcher
from traqpoint.matching.verify import estimate_relative_pose
from traqpoint.odometry.config import OdometryConfig
from traqpoint.odometry.points import in_camera, parallax_deg, triangulated
from traqpoint.types import Features, Matches

_STILL = 0.002
"""Of the image's width, or less: the camera did not move; 2 px of 1000, beyond what keypoints tremble."""
_WAITING = 30
"""Frames without parallax, then the next one is the first."""


@dataclass
class Beginning:
    """What waits for a second keyframe. frame, features, cam_from_world: of the first one. waiting: frames in between,
    with their features and matches from the first one's keypoints."""

    frame: int
    features: Features
    cam_from_world: Tensor
    waiting: list[tuple[int, Features, Matches]] = field(default_factory=list)


@dataclass(frozen=True)
class Offered:
    """What a frame is to a beginning.

    state: "still" (it shows the first frame's view), "waiting" (no parallax yet), "found", or "lost" (nothing in common
    with the first frame, or too many have waited). frame_from_first: (4, 4), with a translation of unit length.
    """

    state: str
    matches: Matches
    frame_from_first: Tensor


def offer(
    beginning: Beginning,
    frame: int,
    features: Features,
    camera: Camera,
    matcher: Matcher,
    config: OdometryConfig,
    seed: int,
) -> Offered:
    """Hold a frame against the first one; one that waits is kept in `beginning`."""
    eye = torch.eye(4, dtype=torch.float64)
    matches = matcher(beginning.features, features)
    i, j = matches.indices.unbind(1)
    a, b = (
        camera.undistorted(beginning.features.keypoints[i].double()),
        camera.undistorted(features.keypoints[j].double()),
    )
    K = camera.K
    found = estimate_relative_pose(a, b, K, K, config.robust, seed)
    good, moved = found.inliers, (a - b).norm(dim=-1) / camera.image_size[0]
    if len(moved) >= config.map.min_points and float(moved.median()) <= _STILL:
        return Offered("still", matches, eye)
    if found.b_from_a is None or int(good.sum()) < config.map.min_points:
        return Offered("lost", matches, eye)
    kept = Matches(matches.indices[good], matches.scores[good])
    xyz = triangulated(a[good], b[good], K, eye, found.b_from_a)
    angles = parallax_deg(xyz, torch.zeros(3, dtype=torch.float64), invert_rigid(found.b_from_a)[:3, 3])
    angles = angles[(xyz[:, 2] > 0) & (in_camera(xyz, found.b_from_a)[:, 2] > 0)]
    wide = int((angles >= config.map.min_parallax_deg).sum())
    if wide >= 2 * config.map.min_points and float(angles.median()) >= config.map.min_parallax_deg:
        return Offered("found", kept, found.b_from_a)
    if len(beginning.waiting) >= _WAITING:
        return Offered("lost", kept, found.b_from_a)
    beginning.waiting.append((frame, features, kept))
    return Offered("waiting", kept, found.b_from_a)
