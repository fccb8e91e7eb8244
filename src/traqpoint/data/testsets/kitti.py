"""KITTI's odometry sequences. Calibrations have integer pixel centres: 0.5 is added to the principal point."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from traqpoint.data.testsets.odometry import KITTI_CAMERAS, OdometrySequence
from traqpoint.errors import DataError
from traqpoint.geometry.camera import Camera
from traqpoint.geometry.pixels import colmap_K_from_opencv
from traqpoint.geometry.transforms import rigid
from traqpoint.image import first_size, list_images
from traqpoint.io.calibration import read_projection
from traqpoint.io.text import read_rows
from traqpoint.io.trajectory import Trajectory, read_kitti


def read_kitti_sequence(folder: str | Path) -> OdometrySequence:
    """``sequences/07`` of the official layout (calib.txt, times.txt, image_0 or image_2; poses in ``poses/07.txt``), or
    a folder that holds calib.txt, an image folder and poses.txt itself.

    Without times the timestamps are frame numbers, without poses there is no truth (sequences 11 to 21). Raises
    DataError if the folder is no such sequence, FormatError naming the file that is wrong.
    """
    folder = Path(folder)
    if (folder / "sequences").is_dir():
        raise DataError(f"{folder}: holds several sequences; give one of them, such as {folder / 'sequences' / '07'}")
    name = next((name for name in KITTI_CAMERAS if (folder / name).is_dir()), None)
    if name is None or not (folder / "calib.txt").is_file():
        raise DataError(f"{folder}: a KITTI sequence has calib.txt and a folder {', '.join(KITTI_CAMERAS)}")
    K, camera_from_0 = _calibration(folder / "calib.txt", KITTI_CAMERAS[name])
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
    """K (3, 3) for COLMAP's pixels, and camera_from_0 (4, 4), of the rectified camera `number`."""
    P = read_projection(path, number)
    offset = torch.linalg.inv(P[:, :3]) @ P[:, 3]
    return colmap_K_from_opencv(P[:, :3]), rigid(torch.eye(3, dtype=torch.float64), offset)
