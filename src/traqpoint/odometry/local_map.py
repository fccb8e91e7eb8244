"""Keyframes and the 3D points that they see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from traqpoint.geometry.camera import Camera
from traqpoint.geometry.transforms import invert_rigid
from traqpoint.odometry.bundle import adjusted
from traqpoint.odometry.config import MapConfig
from traqpoint.odometry.points import parallax_deg, reprojection_errors, triangulated
from traqpoint.types import Features, Matches

NO_POINT = -1


@dataclass
class Keyframe:
    """frame: its number in the film. features: on the CPU. xy: (N, 2) float64, their pixels without distortion.
    cam_from_world: (4, 4). point: (N,) int64, rows of the map's points, NO_POINT for none."""

    frame: int
    features: Features
    xy: Tensor
    cam_from_world: Tensor
    point: Tensor

    @property
    def centre(self) -> Tensor:
        """(3,) of the camera in the world."""
        return invert_rigid(self.cam_from_world)[:3, 3]


class LocalMap:
    """keyframes: in order of time. xyz: (P, 3) float64 points; one that no keyframe sees any more is out of use."""

    def __init__(self, camera: Camera, config: MapConfig) -> None:
        self.camera, self.config = camera, config
        self.keyframes: list[Keyframe] = []
        self.xyz = torch.empty(0, 3, dtype=torch.float64)

    def add(self, frame: int, features: Features, cam_from_world: Tensor, point: Tensor | None = None) -> Keyframe:
        """A new keyframe, which sees the points (N,) with its keypoints, none by default."""
        nothing = torch.full((len(features),), NO_POINT)
        xy = self.camera.undistorted(features.keypoints.double())
        self.keyframes.append(Keyframe(frame, features, xy, cam_from_world, nothing if point is None else point))
        return self.keyframes[-1]

    def triangulate(self, a: Keyframe, b: Keyframe, matches: Matches) -> Matches:
        """New points of matched keypoints that have none in either keyframe; returns the matches that became points.

        They lie in front of both cameras, are seen within the allowed error, and under enough parallax.
        """
        i, j = matches.indices.unbind(1)
        free = (a.point[i] == NO_POINT) & (b.point[j] == NO_POINT)
        i, j = i[free], j[free]
        K = self.camera.K
        xyz = triangulated(a.xy[i], b.xy[j], K, a.cam_from_world, b.cam_from_world)
        good = parallax_deg(xyz, a.centre, b.centre) >= self.config.min_parallax_deg
        for key, index in ((a, i), (b, j)):
            good &= reprojection_errors(xyz, key.xy[index], K, key.cam_from_world) <= self.config.max_error_px
        new = torch.arange(int(good.sum())) + len(self.xyz)
        a.point[i[good]] = b.point[j[good]] = new
        self.xyz = torch.cat([self.xyz, xyz[good]])
        return Matches(torch.stack([i[good], j[good]], dim=-1), matches.scores[free][good])

    def neighbours(self, key: Keyframe, count: int) -> list[Keyframe]:
        """The keyframes that share most points with `key`, itself first; at most so many, in order."""
        own = key.point[key.point != NO_POINT]
        shared = [int(torch.isin(other.point, own).sum()) for other in self.keyframes]
        order = sorted(range(len(shared)), key=lambda i: (self.keyframes[i] is key, shared[i]), reverse=True)
        return [self.keyframes[i] for i in order[:count] if shared[i] or self.keyframes[i] is key]

    def adjust(self, key: Keyframe) -> None:
        """Bundle adjustment of `key`, its neighbours and the points that they see; then what disagrees is dropped."""
        window = self.neighbours(key, self.config.bundle_window)
        window.sort(key=lambda other: other.frame)
        seen = torch.cat([other.point for other in window]).unique()
        seen = seen[seen != NO_POINT]
        inside = {id(other) for other in window}
        others = [o for o in self.keyframes if id(o) not in inside and bool(torch.isin(o.point, seen).any())]
        views = [*window, *others]
        if self.config.bundle and len(seen) and len(views) > 1:
            held = torch.tensor([False] * len(window) + [True] * len(others))
            poses = torch.stack([view.cam_from_world for view in views])
            chosen = [torch.isin(view.point, seen).nonzero().flatten() for view in views]
            view = torch.cat([torch.full((len(index),), i) for i, index in enumerate(chosen)])
            point = torch.cat([view.point[index] for view, index in zip(views, chosen, strict=True)])
            xy = torch.cat([view.features.keypoints[index] for view, index in zip(views, chosen, strict=True)])
            rows = torch.searchsorted(seen, point)
            poses, xyz = adjusted(self.camera, poses, held, self.xyz[seen], view, rows, xy)
            self.xyz[seen] = xyz
            for other, pose in zip(window, poses, strict=False):
                other.cam_from_world = pose
        self._drop(views)

    def _drop(self, keys: Sequence[Keyframe]) -> None:
        """Forget what is seen too far from where it should be, and points that only one keyframe is left to see."""
        for key in keys:
            index = (key.point != NO_POINT).nonzero().flatten()
            errors = reprojection_errors(self.xyz[key.point[index]], key.xy[index], self.camera.K, key.cam_from_world)
            key.point[index[errors > self.config.max_error_px]] = NO_POINT
        count = torch.zeros(len(self.xyz) + 1, dtype=torch.int64)
        for key in self.keyframes:
            count += torch.bincount(key.point + 1, minlength=len(count))
        for key in keys:
            key.point[count[key.point + 1] < 2] = NO_POINT
