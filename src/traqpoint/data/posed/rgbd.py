"""One RGB-D recording as a posed set: what its cameras are, and what its files become."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from traqpoint import optional
from traqpoint.data.posed.depth_maps import look_through, move, reject_edges
from traqpoint.data.posed.frames import PosedSet
from traqpoint.data.posed.overlap import CoarseView, coarse_view, overlap
from traqpoint.errors import DataError, GeometryError
from traqpoint.geometry.camera import Camera, fit_camera
from traqpoint.geometry.transforms import invert_rigid
from traqpoint.geometry.undistort import undistort
from traqpoint.image import read_image, to_tensor
from traqpoint.io.depth import read_depth_png
from traqpoint.types import Frame

OVERLAPS_KEPT = 500_000
"""Pairs whose overlap a set remembers, 60 MB: it is two thirds of the time that a batch of frames in memory takes."""


@dataclass(frozen=True)
class RgbdCamera:
    """The two cameras of a recording, in our pixel convention."""

    color: Camera
    """Of the colour images, and of the depth registered to them; both are undistorted when read."""
    units_per_metre: float = 1000.0
    """Of the depth files."""
    unknown: tuple[int, ...] = (0,)
    """Values of the depth files that are no depth."""
    depth_K: Tensor | None = None
    """(3, 3) of the depth maps, where it is not that of color; the images are then brought to the depth maps' size."""
    color_from_depth: Tensor | None = None
    """(4, 4) from the depth camera to the colour camera, where the depth is not registered."""


@dataclass(frozen=True)
class Shot:
    """One frame's files and pose. cam_from_world: (4, 4) float64 of the colour camera."""

    name: str
    image: Path
    depth: Path
    cam_from_world: Tensor


class RgbdSet(PosedSet):
    """A PosedSet of one recording. left_out: why frames of it are not in the set, one line each."""

    def __init__(self, name: str, shots: Sequence[Shot], camera: RgbdCamera, left_out: Sequence[str] = ()) -> None:
        if not shots:
            why = f"; {len(left_out)} left out, the first: {left_out[0]}" if left_out else ""
            raise DataError(f"{name}: no frame with an image, a depth map and a pose{why}")
        if left_out:
            warnings.warn(f"{name}: {len(left_out)} frames left out, the first: {left_out[0]}", stacklevel=3)
        self.name = name
        self.shots = list(shots)
        self.names = [shot.name for shot in self.shots]
        self.camera = camera
        self.left_out = tuple(left_out)
        self._views: dict[int, CoarseView] = {}
        self._overlaps: dict[tuple[int, int], float] = {}

    def __getitem__(self, index: slice) -> RgbdSet:
        """The frames of a slice, as a set: to train on one part of a recording and validate on another."""
        return RgbdSet(self.name, self.shots[index], self.camera)

    def frame(self, index: int) -> Frame:
        """One frame; the depth is unknown at holes and beside its edges, where colour and depth do not agree.

        Raises ImageError or GeometryError naming the file.
        """
        shot, rig = self.shots[index], self.camera
        image, depth = read_image(shot.image), reject_edges(self._depth(index))
        (height, width), (H, W) = image.shape[:2], depth.shape
        camera = fit_camera(rig.color, (width, height), str(shot.image))
        if rig.depth_K is None and (height, width) != (H, W):
            raise GeometryError(f"{shot.depth}: {(H, W)} does not fit {shot.image}: {(height, width)}")
        if (height, width) != (H, W):
            cv2 = optional.load("cv2")
            image, camera = cv2.resize(image, (W, H), interpolation=cv2.INTER_AREA), camera.resized((W, H))
        if rig.depth_K is not None:
            depth = _registered(depth, rig.depth_K, camera.K, rig.color_from_depth)
        straight, straight_depth = undistort(to_tensor(image), camera, depth)
        return Frame(straight, camera.K, shot.cam_from_world, straight_depth)

    def overlap(self, source: int, target: int) -> float:
        """See PosedSet; measured between the depth maps as they are in the files."""
        if (source, target) in self._overlaps:
            return self._overlaps[source, target]
        share = overlap(self._view(source), self._view(target))
        if len(self._overlaps) < OVERLAPS_KEPT:
            self._overlaps[source, target] = share
        return share

    def _depth(self, index: int) -> Tensor:
        return read_depth_png(self.shots[index].depth, self.camera.units_per_metre, self.camera.unknown)

    def _view(self, index: int) -> CoarseView:
        if index not in self._views:
            pose, camera = self.shots[index].cam_from_world, self.camera
            if camera.color_from_depth is not None:
                pose = invert_rigid(camera.color_from_depth) @ pose
            K = camera.color.K if camera.depth_K is None else camera.depth_K
            self._views[index] = coarse_view(self._depth(index), K, pose)
        return self._views[index]


def _registered(depth: Tensor, depth_K: Tensor, color_K: Tensor, color_from_depth: Tensor | None) -> Tensor:
    """The depth map as the colour camera, of the same size, sees it."""
    if color_from_depth is None:
        return look_through(depth, depth_K, color_K)
    return move(depth, depth_K, color_K, color_from_depth.float())
