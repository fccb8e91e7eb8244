"""A pose from the points of keyframes: the last ones while all goes well, those of the whole map after a loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from traqpoint.matching.run import Matcher
from traqpoint.odometry.local_map import NO_POINT, Keyframe, LocalMap
from traqpoint.odometry.points import pose_from_points
from traqpoint.types import Features, Matches


@dataclass(frozen=True)
class Located:
    """keys: the keyframes that were asked. matches: of their keypoints with the frame's, all of them. inliers: those
    whose points agree with the pose. point: (N,) int64, of the frame's keypoints, NO_POINT for none."""

    cam_from_world: Tensor
    keys: tuple[Keyframe, ...]
    matches: tuple[Matches, ...]
    inliers: tuple[Matches, ...]
    point: Tensor
    asked: int
    """Keypoints that were matched with a point."""

    @property
    def count(self) -> int:
        """Keypoints whose points agree."""
        return int((self.point != NO_POINT).sum())


def locate(world: LocalMap, features: Features, keys: Sequence[Keyframe], matcher: Matcher) -> Located | None:
    """The pose of a frame among keyframes, None if too few points agree. A keypoint's point is the first key's."""
    found = tuple(matcher(key.features, features) for key in keys)
    point = torch.full((len(features),), NO_POINT)
    for key, matches in zip(reversed(keys), reversed(found), strict=True):
        i, j = matches.indices.unbind(1)
        seen = key.point[i] != NO_POINT
        point[j[seen]] = key.point[i[seen]]
    asked = (point != NO_POINT).nonzero().flatten()
    xy = world.camera.undistorted(features.keypoints[asked].double())
    pose = pose_from_points(world.xyz[point[asked]], xy, world.camera.K, world.config.max_error_px)
    if pose is None or int(pose[1].sum()) < world.config.min_points:
        return None
    point[asked[~pose[1]]] = NO_POINT
    agreeing = []
    for key, matches in zip(keys, found, strict=True):
        i, j = matches.indices.unbind(1)
        same = (key.point[i] == point[j]) & (point[j] != NO_POINT)
        agreeing.append(Matches(matches.indices[same], matches.scores[same]))
    return Located(pose[0], tuple(keys), found, tuple(agreeing), point, len(asked))


def relocate(world: LocalMap, features: Features, matcher: Matcher) -> Located | None:
    """The pose of a lost frame among the keyframe that it shares most points with and that one's neighbours.

    As many keyframes as the configuration allows are tried, from the last to the first; the first good one will do.
    """
    count = min(world.config.relocalize, len(world.keyframes))
    for i in torch.linspace(len(world.keyframes) - 1, 0, count).round().long().tolist():
        found = locate(world, features, [world.keyframes[i]], matcher)
        if found is not None:
            return locate(world, features, world.neighbours(world.keyframes[i], 2), matcher) or found
    return None
