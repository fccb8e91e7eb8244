"""Image sequences of one calibrated camera: what visual odometry runs on."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from traqpoint.errors import DataError, GeometryError
from traqpoint.geometry.camera import Camera
from traqpoint.image import first_size
from traqpoint.io.calibration import read_calibration
from traqpoint.io.trajectory import Trajectory, interpolate, nearest, read_tum
from traqpoint.io.tum import TUM_MAX_SECONDS, read_tum_list, tum_camera

KITTI_CAMERAS = {"image_0": 0, "image_l": 0, "image_2": 2}
"""KITTI's folders of images -> number of their camera; the first that is there is used. 0 is the left grey one, 2 the
left one with colour; poses are those of camera 0."""


@dataclass(frozen=True)
class OdometrySequence:
    """Images in order of time.

    images: name -> file. timestamps: (N,) float64, seconds or frame numbers. camera: of all images, float64. truth: one
    pose per image, or None. notes: what was left out, with counts.
    Raises DataError for fewer than two images, GeometryError if the parts do not fit each other.
    """

    name: str
    images: Mapping[str, Path]
    timestamps: Tensor
    camera: Camera
    truth: Trajectory | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.images)
        if n < 2:
            raise DataError(f"{self.name}: odometry needs two images or more, found {n}")
        if len(self.timestamps) != n or (self.truth is not None and len(self.truth) != n):
            poses = "" if self.truth is None else f" and {len(self.truth)} poses"
            raise GeometryError(f"{self.name}: {n} images, {len(self.timestamps)} timestamps{poses}")


def read_tum_sequence(folder: str | Path, calibration: str | Path | None = None) -> OdometrySequence:
    """A sequence of the TUM RGB-D benchmark: rgb.txt and, if it is there, groundtruth.txt.

    Images further than TUM_MAX_SECONDS from any pose cannot be judged and are left out; poses are interpolated at the
    images' times. calibration: see `read_calibration`; without it that of Freiburg 1, 2 or 3, by the folder's name.
    """
    folder = Path(folder)
    times, names = read_tum_list(folder / "rgb.txt")
    truth: Trajectory | None = None
    notes: tuple[str, ...] = ()
    if (folder / "groundtruth.txt").is_file():
        path = read_tum(folder / "groundtruth.txt")
        near = (path.timestamps[nearest(times, path.timestamps)] - times).abs() <= TUM_MAX_SECONDS
        if not bool(near.all()):
            notes = (f"{int((~near).sum())} of {len(times)} images have no true pose at their time: left out",)
        times, names = times[near], [names[i] for i in near.nonzero().flatten().tolist()]
        truth = Trajectory(times, interpolate(path, times))
    if calibration is not None:
        camera = read_calibration(calibration, first_size([folder / name for name in names]))
    else:
        camera = tum_camera(folder).double()
    return OdometrySequence(folder.name, {n: folder / n for n in names}, times, camera, truth, notes)


def read_image_sequence(
    images: Sequence[Path], calibration: str | Path, timestamps: Tensor | None = None
) -> OdometrySequence:
    """Image files in their order, named by their path from the folder common to all; without truth.

    calibration: see `read_calibration`. timestamps: (N,) float64; by default what the names say, see `times_of`.
    Raises DataError for fewer than two images.
    """
    if not images:
        raise DataError("odometry needs two images or more, found none")
    root = Path(os.path.commonpath([path.parent for path in images]))
    camera = read_calibration(calibration, first_size(images), KITTI_CAMERAS.get(root.name, 0))
    times = times_of(images) if timestamps is None else timestamps
    named = {path.relative_to(root).as_posix(): path for path in images}
    return OdometrySequence(root.name, named, times, camera)


def times_of(images: Sequence[Path]) -> Tensor:
    """(N,) float64, increasing: seconds if all names are, with a decimal point (TUM), or nanoseconds (EuRoC: 16 digits
    or more); else the numbers that are the names; else 0, 1, 2, …
    """
    stems = [path.stem for path in images]
    times = torch.arange(len(images), dtype=torch.float64)
    if all(re.fullmatch(r"\d+(\.\d+)?", stem) for stem in stems):
        unit = 1e-9 if all(re.fullmatch(r"\d{16,}", stem) for stem in stems) else 1.0
        named = torch.tensor([float(stem) * unit for stem in stems], dtype=torch.float64)
        times = named if bool((named.diff() > 0).all()) else times
    return times
