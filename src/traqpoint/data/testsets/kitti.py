"""KITTI's odometry sequences. Calibrations have integer pixel centres: 0.5 is added to the principal point."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from traqpoint.data.testsets.odometry import OdometrySequence
from traqpoint.errors import DataError, FormatError
from traqpoint.geometry.camera import Camera, is_calibration
from traqpoint.geometry.pixels import colmap_K_from_opencv
from traqpoint.geometry.transforms import rigid
from traqpoint.image import first_size, list_images
from traqpoint.io.text import read_lines, read_rows
from traqpoint.io.trajectory import Trajectory, read_kitti

CAMERAS = {"image_0": 0, "image_l": 0, "image_2": 2}
"""Folder of images -> number of its camera; the first that is there is used. 0 is the left grey one, 2 the left one
with colour; poses are those of camera 0."""


def read_kitti_sequence(folder: str | Path) -> OdometrySequence:
    """``sequences/07`` of the official layout (calib.txt, times.txt, image_0 or image_2; poses in ``poses/07.txt``), or
    a folder that holds calib.txt, an image folder and poses.txt itself.

    Without times the timestamps are frame numbers, without poses there is no truth (sequences 11 to 21). Raises
    DataError if the folder is no such sequence, FormatError naming the file that is wrong.
    """
    folder = Path(folder)
    if (folder / "sequences").is_dir():
        raise DataError(f"{folder}: holds several sequences; give one of them, such as {folder / 'sequences' / '07'}")
    name = next((name for name in CAMERAS if (folder / name).is_dir()), None)
    if name is None or not (folder / "calib.txt").is_file():
        raise DataError(f"{folder}: a KITTI sequence has calib.txt and a folder {', '.join(CAMERAS)}")
    K, camera_from_0 = _calibration(folder / "calib.txt", CAMERAS[name])
    images = list_images(folder / name)
    times = folder / "times.txt"
    if times.is_file():
        timestamps = torch.tensor([t for _, (t,) in read_rows(times, 1)], dtype=torch.float64)
    else:
        timestamps = torch.arange(len(images), dtype=torch.float64)
    poses = next((path for path in _pose_files(folder) if path.is_file()), None)
    truth = None
    if poses is not None:
        path = read_kitti(poses, times if times.is_file() else None)
        truth = Trajectory(path.timestamps, camera_from_0 @ path.cam_from_world)
    camera = Camera.from_matrix(K, first_size(images))
    return OdometrySequence(folder.resolve().name, {i.name: i for i in images}, timestamps, camera, truth)


def _pose_files(folder: Path) -> tuple[Path, Path]:
    folder = folder.resolve()
    return folder / "poses.txt", folder.parent.parent / "poses" / f"{folder.name}.txt"


def _calibration(path: Path, number: int) -> tuple[Tensor, Tensor]:
    """K (3, 3) for COLMAP's pixels, and camera_from_0 (4, 4), of the rectified camera `number`.

    Its line is ``Pn: `` and 3x4 numbers, or row n of a file without labels.
    """
    lines = [line.split() for line in read_lines(path) if line.strip()]
    labelled = {words[0]: words[1:] for words in lines if words[0].endswith(":")}
    words = labelled.get(f"P{number}:") or (lines[number] if not labelled and number < len(lines) else [])
    try:
        P = torch.tensor([float(word) for word in words], dtype=torch.float64).reshape(3, 4)
    except (ValueError, RuntimeError):
        raise FormatError(f"{path}: no 12 numbers of the projection P{number}") from None
    K = P[:, :3]
    if not bool(torch.isfinite(P).all()) or not is_calibration(K):
        raise FormatError(f"{path}: P{number} is not a projection of a rectified camera")
    offset = torch.linalg.inv(K) @ P[:, 3]
    return colmap_K_from_opencv(K), rigid(torch.eye(3, dtype=torch.float64), offset)
