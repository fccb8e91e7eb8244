"""Odometry with a map, frame by frame: locate, make keyframes, adjust, and find back after a loss."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.geometry.camera import Camera
from traqpoint.geometry.transforms import invert_rigid
from traqpoint.io.trajectory import Trajectory
from traqpoint.matching.run import Matcher
from traqpoint.odometry.beginning import Beginning, offer
from traqpoint.odometry.config import OdometryConfig
from traqpoint.odometry.local_map import Keyframe, LocalMap
from traqpoint.odometry.path import Odometry
from traqpoint.odometry.relocalize import Located, locate, relocate
from traqpoint.progress import Progress
from traqpoint.types import Features, Matches

_ACTIVE = 3
"""Keyframes that a frame is matched with: older ones give points a wider baseline."""


@dataclass
class Sight:
    """What is known of one frame.

    cam_from_world: (4, 4), as it was found. reference: the keyframe's frame that it was measured against, -1 for none.
    key, frame_from_key: the keyframe that it moves with when that is adjusted, and where it is from there, (4, 4).
    """

    cam_from_world: Tensor
    reference: int = -1
    key: Keyframe | None = None
    frame_from_key: Tensor | None = None
    matches: int = 0
    inliers: int = 0

    def pose(self) -> Tensor:
        """cam_from_world (4, 4), with its keyframe where it is by now."""
        if self.key is None or self.frame_from_key is None:
            return self.cam_from_world
        return self.frame_from_key @ self.key.cam_from_world


class Follower:
    """Feed it the features of one frame after the other; `sights` has what became of each.

    One camera does not see scale: the unit of length is the mean step between the first two keyframes. A film that is
    lost for too long goes on in a new piece, whose scale is guessed from the steps before; `pieces` counts them.
    Raises MissingDependencyError if bundle adjustment is wanted and pycolmap is not there.
    """

    def __init__(self, camera: Camera, matcher: Matcher, config: OdometryConfig, seed: int = 0) -> None:
        if config.map.bundle:
            optional.load("pycolmap")
        self.camera, self.matcher, self.config, self.seed = camera.double(), matcher, config, seed
        self.map = LocalMap(self.camera, config.map)
        self.sights: list[Sight] = []
        self.verified: dict[tuple[int, int], Matches] = {}
        self.pieces, self.relocalized = 0, 0
        self._beginning: Beginning | None = None
        self._active: list[Keyframe] = []
        self._first_inliers, self._lost = 0, 0

    def update(self, features: Features | None) -> Sight:
        """Take in the next frame, on the CPU; None for one that could not be read, which is lost."""
        frame = len(self.sights)
        self.sights.append(Sight(self._predicted()))
        if features is None or not len(features):
            self._lost += 1
        elif not self.sights[:-1] or not (self._active or self._beginning):
            self._beginning = Beginning(frame, features, self.sights[-1].cam_from_world)
        elif not self._track(frame, features) and self._beginning is not None:
            self._begin(frame, features)
        return self.sights[-1]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a path alone does not say, in words."""
        still = all(sight.reference == 0 for sight in self.sights[1:])
        lines = (
            (not self.pieces and still, "the camera does not move"),
            (not self.pieces and not still, "no two frames have the parallax that a map begins with"),
            (
                self.pieces > 1,
                f"the path is in {self.pieces} pieces: where it was lost, position and scale are guesses",
            ),
            (self.relocalized, f"found back {self.relocalized} times after a loss"),
        )
        return tuple(line for holds, line in lines if holds)

    def path(self, timestamps: Tensor) -> Odometry:
        """Of the first N frames, timestamps (N,): an update that was interrupted has left one more."""
        n = len(timestamps)
        sights = self.sights[:n]
        return Odometry(
            Trajectory(timestamps, torch.stack([sight.pose() for sight in sights])),
            torch.tensor([sight.reference for sight in sights]),
            torch.tensor([sight.matches for sight in sights]),
            torch.tensor([sight.inliers for sight in sights]),
            0,
            {pair: found for pair, found in self.verified.items() if max(pair) < n},
            self.notes,
        )

    def _predicted(self) -> Tensor:
        """cam_from_world if the last motion repeats itself."""
        poses = [sight.pose() for sight in self.sights[-2:]]
        if len(poses) < 2:
            return poses[0] if poses else torch.eye(4, dtype=torch.float64)
        return poses[1] @ invert_rigid(poses[0]) @ poses[1]

    def _track(self, frame: int, features: Features) -> bool:
        """Whether the map says where the frame was taken."""
        if not self.map.keyframes:
            return False
        found = None if self._lost else locate(self.map, features, self._active, self.matcher)
        if found is None:
            found = relocate(self.map, features, self.matcher)
            if found is None:
                self._lost += 1
                if self._lost >= self.config.map.patience and self._beginning is None:
                    self._beginning = Beginning(frame, features, self.sights[-1].cam_from_world)
                return False
            self.relocalized += self._lost > 0
            self._active, self._first_inliers = list(found.keys), 0
        self._lost, self._beginning = 0, None
        self._seen(frame, found)
        self._first_inliers = self._first_inliers or found.count
        if self._wants_keyframe(frame, features, found):
            self._add_keyframe(frame, features, found)
        return True

    def _seen(self, frame: int, found: Located) -> None:
        key, sight = found.keys[0], self.sights[frame]
        sight.cam_from_world, sight.key, sight.reference = found.cam_from_world, key, key.frame
        sight.frame_from_key = found.cam_from_world @ invert_rigid(key.cam_from_world)
        sight.matches, sight.inliers = found.asked, found.count
        self.verified |= {(k.frame, frame): m for k, m in zip(found.keys, found.inliers, strict=True) if len(m)}

    def _wants_keyframe(self, frame: int, features: Features, found: Located) -> bool:
        key, (i, j) = found.keys[0], found.inliers[0].indices.unbind(1)
        moved = (key.features.keypoints[i] - features.keypoints[j]).norm(dim=-1) / self.camera.image_size[0]
        few = found.count < self.config.min_inliers * self._first_inliers
        worn = few or not len(moved) or float(moved.median()) > self.config.max_flow
        return worn or frame - key.frame >= self.config.window

    def _add_keyframe(self, frame: int, features: Features, found: Located) -> None:
        new = self.map.add(frame, features, found.cam_from_world, found.point)
        for key, matches in zip(found.keys, found.matches, strict=True):
            self._triangulate(key, new, matches)
        self._settle(new, found.keys)

    def _triangulate(self, a: Keyframe, b: Keyframe, matches: Matches) -> None:
        became = self.map.triangulate(a, b, matches)
        before = self.verified.get((a.frame, b.frame))
        parts = [became] if before is None else [before, became]
        indices, scores = torch.cat([m.indices for m in parts]), torch.cat([m.scores for m in parts])
        self.verified[a.frame, b.frame] = Matches(indices, scores)

    def _settle(self, new: Keyframe, before: tuple[Keyframe, ...]) -> None:
        """Adjust the map around a new keyframe, which is the first to be asked from now on."""
        self.map.adjust(new)
        sight = self.sights[new.frame]
        sight.key, sight.frame_from_key = new, torch.eye(4, dtype=torch.float64)
        sight.cam_from_world = new.cam_from_world
        self._active, self._first_inliers = [new, *before][:_ACTIVE], 0

    def _begin(self, frame: int, features: Features) -> None:
        """The frame is the second keyframe, or waits for it, or is the next to begin with."""
        first = self._beginning
        assert first is not None
        if frame == first.frame:
            return
        offered = offer(first, frame, features, self.camera, self.matcher, self.config, self.seed)
        sight = self.sights[frame]
        sight.matches = len(offered.matches)
        if offered.state == "still":
            sight.cam_from_world = first.cam_from_world
            sight.reference = -1 if self.map.keyframes else first.frame
        elif offered.state == "lost":
            self._beginning = Beginning(frame, features, sight.cam_from_world)
        elif offered.state == "found":
            self._found(first, frame, features, offered.matches, offered.frame_from_first)

    def _found(
        self, first: Beginning, frame: int, features: Features, matches: Matches, frame_from_first: Tensor
    ) -> None:
        baseline = frame_from_first.clone()
        baseline[:3, 3] *= self._usual_step() * (frame - first.frame)
        a = self.map.add(first.frame, first.features, first.cam_from_world)
        b = self.map.add(frame, features, baseline @ first.cam_from_world)
        self._triangulate(a, b, matches)
        self._settle(a, ())
        self._settle(b, (a,))
        sight = self.sights[frame]
        sight.inliers, sight.reference = len(self.verified[first.frame, frame]), first.frame
        self.pieces += 1
        self._beginning, self._lost = None, 0
        for number, waited, _ in first.waiting:
            found = locate(self.map, waited, [a, b], self.matcher)
            if found is not None:
                self._seen(number, found)

    def _usual_step(self) -> float:
        """Median length of the steps so far between frames that were not lost; 1 at the very beginning."""
        if not self.map.keyframes:
            return 1.0
        centres = torch.stack([invert_rigid(sight.pose())[:3, 3] for sight in self.sights])
        known = torch.tensor([sight.reference >= 0 for sight in self.sights])
        steps = centres.diff(dim=0).norm(dim=-1)[known[1:] & known[:-1]]
        return float(steps.median()) if len(steps) else 1.0


def follow_path(
    timestamps: Tensor, features: Iterable[Features | None], follower: Follower, progress: Progress | None = None
) -> Odometry:
    """The path of a whole film: timestamps (N,), and the features of each frame, None for what could not be read."""
    for number, found in enumerate(features, start=1):
        follower.update(found)
        if progress is not None:
            progress(number, len(timestamps))
    return follower.path(timestamps)
