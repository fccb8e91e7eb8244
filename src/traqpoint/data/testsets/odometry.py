"""Image sequences of one calibrated camera: what visual odometry runs on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.data.posed.rgbd_layouts import TUM_MAX_SECONDS, interpolate, read_tum_list, tum_camera
from traqpoint.errors import DataError, GeometryError
from traqpoint.geometry.pixels import colmap_K_from_opencv
from traqpoint.io.trajectory import Trajectory, nearest, read_rows, read_tum


@dataclass(frozen=True)
class OdometrySequence:
    """Images in order of time.

    images: name -> file. timestamps: (N,) float64, seconds or frame numbers. K: (3, 3) float64, for COLMAP's pixels.
    distortion: k1 k2 p1 p2 [k3], OpenCV's. truth: one pose per image, or None. notes: what was left out, with counts.
    Raises DataError for fewer than two images, GeometryError if the parts do not fit each other.
    """

    name: str
    images: Mapping[str, Path]
    timestamps: Tensor
    K: Tensor
    distortion: tuple[float, ...] = ()
    truth: Trajectory | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.images)
        if n < 2:
            raise DataError(f"{self.name}: odometry needs two images or more, found {n}")
        if len(self.timestamps) != n or (self.truth is not None and len(self.truth) != n):
            poses = "" if self.truth is None else f" and {len(self.truth)} poses"
            raise GeometryError(f"{self.name}: {n} images, {len(self.timestamps)} timestamps{poses}")
        if self.K.shape != (3, 3) or not bool((self.K.diagonal() > 0).all()):
            raise GeometryError(f"{self.name}: {self.K.tolist()} is not a calibration matrix")

    def undistorted(self, xy: Tensor) -> Tensor:
        """Pixels (N, 2) -> float64 pixels (N, 2) of the pinhole camera with the same K."""
        xy = xy.double()
        if not any(self.distortion) or not len(xy):
            return xy
        K = self.K.double().numpy()
        points = optional.load("cv2").undistortPoints(xy.unsqueeze(1).numpy(), K, np.array(self.distortion), P=K)
        return torch.from_numpy(points[:, 0])


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
        K, distortion = read_calibration(calibration)
    else:
        camera = tum_camera(folder)
        K, distortion = camera.K.double(), camera.distortion or ()
    return OdometrySequence(folder.name, {n: folder / n for n in names}, times, K, distortion, truth, notes)


def read_image_sequence(images: Sequence[Path], calibration: str | Path) -> OdometrySequence:
    """Image files in their order, named by their path from the folder common to all; without truth.

    calibration: see `read_calibration`. Raises DataError for fewer than two images.
    """
    if not images:
        raise DataError("odometry needs two images or more, found none")
    root = Path(os.path.commonpath([path.parent for path in images]))
    K, distortion = read_calibration(calibration)
    times = torch.arange(len(images), dtype=torch.float64)
    named = {path.relative_to(root).as_posix(): path for path in images}
    return OdometrySequence(root.name, named, times, K, distortion)


def read_calibration(path: str | Path) -> tuple[Tensor, tuple[float, ...]]:
    """K (3, 3) float64 for COLMAP's pixels, and the distortion, of a text file ``fx fy cx cy [k1 k2 p1 p2 [k3]]``.

    The file is OpenCV's, with integer pixel centres: 0.5 is added to the principal point. Raises FormatError naming
    the file, GeometryError for a focal length that is not positive.
    """
    (_, (fx, fy, cx, cy, *distortion)), *_ = read_rows(path, 4, 8, 9)
    if fx <= 0 or fy <= 0:
        raise GeometryError(f"{path}: focal lengths must be positive, got {fx:g} {fy:g}")
    K = torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)
    return colmap_K_from_opencv(K), tuple(distortion)
