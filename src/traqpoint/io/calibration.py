"""Calibrations in files. COLMAP's apart, they have integer pixel centres: 0.5 is added to the principal point."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from traqpoint.errors import FormatError, GeometryError
from traqpoint.geometry.camera import PARAMETERS, Camera, is_calibration
from traqpoint.geometry.pixels import colmap_K_from_opencv
from traqpoint.io.colmap_model import load_reconstruction
from traqpoint.io.text import read_lines, read_rows

_CENTRE = 0.3, 0.7
"""Where a principal point may lie, as a share of the image's width and height. That of an image twice or half as large
is outside."""


def read_calibration(path: str | Path, image_size: tuple[int, int], kitti_camera: int = 0) -> Camera:
    """The camera, float64, of images of `image_size` (W, H), from any of

    - a text file ``fx fy cx cy [k1 k2 p1 p2 [k3]]``, or of the matrix K in three rows;
    - KITTI's calib.txt, with labels or without, of which the projection P`kitti_camera` is taken;
    - a COLMAP model (its folder, or cameras.txt or .bin in it) with one camera of this size;
    - OpenCV's YAML, or that of ROS: camera_matrix, distortion_coefficients, image_width, image_height.

    Raises FormatError naming the file, GeometryError for numbers that are no calibration, or one of images of another
    size; where the file does not state a size, the principal point tells.
    """
    path = Path(path)
    if path.is_dir() or path.name in ("cameras.txt", "cameras.bin"):
        return _colmap(path if path.is_dir() else path.parent, image_size)
    lines = read_lines(path)
    if any(line.startswith("P0:") for line in lines) or (lines and len(lines[0].split()) == 12):
        camera = Camera.from_matrix(_K(path, read_projection(path, kitti_camera)[:, :3]), image_size)
    elif path.suffix.lower() in (".yaml", ".yml") or lines[:1] == ["%YAML:1.0"]:
        camera = _opencv_yaml(path, lines, image_size)
    else:
        camera = _text(path, image_size)
    centre = camera.K[:2, 2] / torch.tensor(image_size)
    if not bool(((centre >= _CENTRE[0]) & (centre <= _CENTRE[1])).all()):
        x, y = camera.K[:2, 2].tolist()
        raise GeometryError(
            f"{path}: the principal point ({x:g}, {y:g}) is far from the middle of the images, which are "
            f"{image_size[0]}x{image_size[1]}: this is the calibration of another image size"
        )
    return camera


def read_matrix(path: str | Path, columns: int = 3) -> Tensor:
    """K (3, 3) float32, ours, from a file that holds a square matrix of so many columns.

    Raises FormatError or GeometryError naming the file.
    """
    matrix = torch.tensor([values for _, values in read_rows(path, columns)])
    if len(matrix) != columns:
        raise GeometryError(f"{path}: not a calibration matrix")
    return _K(path, matrix[:3, :3])


def read_projection(path: str | Path, number: int) -> Tensor:
    """The projection (3, 4), float64, of camera `number` of KITTI's calib.txt.

    Its line is ``Pn: `` and 3x4 numbers, or row n of a file without labels. Raises FormatError naming the file.
    """
    lines = [line.split() for line in read_lines(path) if line.strip()]
    labelled = {words[0]: words[1:] for words in lines if words[0].endswith(":")}
    words = labelled.get(f"P{number}:") or (lines[number] if not labelled and number < len(lines) else [])
    try:
        P = torch.tensor([float(word) for word in words], dtype=torch.float64).reshape(3, 4)
    except (ValueError, RuntimeError):
        raise FormatError(f"{path}: no 12 numbers of the projection P{number}") from None
    if not bool(torch.isfinite(P).all()) or not is_calibration(P[:, :3]):
        raise FormatError(f"{path}: P{number} is not a projection of a rectified camera")
    return P


def _K(path: str | Path, matrix: Tensor) -> Tensor:
    if not is_calibration(matrix):
        raise GeometryError(f"{path}: not a calibration matrix")
    return colmap_K_from_opencv(matrix)


def _text(path: Path, image_size: tuple[int, int]) -> Camera:
    rows = [values for _, values in read_rows(path, 3, 4, 8, 9)]
    if [len(row) for row in rows] == [3, 3, 3]:
        return Camera.from_matrix(_K(path, torch.tensor(rows, dtype=torch.float64)), image_size)
    if len(rows[0]) == 3:
        raise FormatError(f"{path}: expected 3 rows of 3 numbers, or one row fx fy cx cy [k1 k2 p1 p2 [k3]]")
    fx, fy, cx, cy, *distortion = rows[0]
    if fx <= 0 or fy <= 0:
        raise GeometryError(f"{path}: focal lengths must be positive, got {fx:g} {fy:g}")
    K = torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)
    return Camera.from_matrix(colmap_K_from_opencv(K), image_size, distortion)


def _opencv_yaml(path: Path, lines: Sequence[str], image_size: tuple[int, int]) -> Camera:
    text = "\n".join(line for line in lines if not line.startswith("%")).replace("!!opencv-matrix", "")
    try:
        content = yaml.safe_load(text)
        found = {key: _array(content[key]) for key in ("camera_matrix", "distortion_coefficients")}
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        raise FormatError(f"{path}: no camera_matrix and distortion_coefficients, as OpenCV writes them") from None
    stated = content.get("image_width"), content.get("image_height")
    if None not in stated:
        _check_size(path, stated, image_size)
    K = _K(path, torch.from_numpy(found["camera_matrix"]).reshape(3, 3))
    return Camera.from_matrix(K, image_size, found["distortion_coefficients"].tolist())


def _array(entry: Any) -> np.ndarray:
    return np.array(entry["data"] if isinstance(entry, dict) else entry, dtype=np.float64).ravel()


def _colmap(folder: Path, image_size: tuple[int, int]) -> Camera:
    cameras = list(load_reconstruction(folder).cameras.values())
    fitting = [camera for camera in cameras if (camera.width, camera.height) == image_size]
    if not cameras:
        raise FormatError(f"{folder}: a model without cameras")
    if not fitting:
        _check_size(folder, (cameras[0].width, cameras[0].height), image_size)
    if len(fitting) > 1:
        raise FormatError(f"{folder}: {len(fitting)} cameras of {image_size[0]}x{image_size[1]} pixels; which?")
    if fitting[0].model_name not in PARAMETERS:
        raise FormatError(f"{folder}: the camera model {fitting[0].model_name} is not supported")
    return Camera(fitting[0].model_name, image_size, torch.from_numpy(np.array(fitting[0].params, dtype=np.float64)))


def _check_size(path: Path, calibrated: tuple[int, int], image_size: tuple[int, int]) -> None:
    if tuple(calibrated) != image_size:
        raise GeometryError(
            f"{path}: a calibration of {calibrated[0]}x{calibrated[1]} pixels, and the images are "
            f"{image_size[0]}x{image_size[1]}"
        )
