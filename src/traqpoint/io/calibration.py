"""Calibrations in text files. They are OpenCV's, with integer pixel centres: 0.5 is added to the principal point."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from traqpoint.errors import GeometryError
from traqpoint.geometry.camera import Camera, is_calibration
from traqpoint.geometry.pixels import colmap_K_from_opencv
from traqpoint.io.text import read_rows


def read_calibration(path: str | Path, image_size: tuple[int, int]) -> Camera:
    """The camera, float64, of images of `image_size` (W, H), from a file ``fx fy cx cy [k1 k2 p1 p2 [k3]]``.

    Raises FormatError naming the file, GeometryError for a focal length that is not positive.
    """
    (_, (fx, fy, cx, cy, *distortion)), *_ = read_rows(path, 4, 8, 9)
    if fx <= 0 or fy <= 0:
        raise GeometryError(f"{path}: focal lengths must be positive, got {fx:g} {fy:g}")
    K = torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)
    return Camera.from_matrix(colmap_K_from_opencv(K), image_size, distortion)


def read_matrix(path: str | Path, columns: int = 3) -> Tensor:
    """K (3, 3) float32, ours, from a file that holds a square matrix of so many columns.

    Raises FormatError or GeometryError naming the file.
    """
    matrix = torch.tensor([values for _, values in read_rows(path, columns)])
    if len(matrix) != columns or not is_calibration(matrix[:3, :3]):
        raise GeometryError(f"{path}: not a calibration matrix")
    return colmap_K_from_opencv(matrix[:3, :3])
