"""The TUM RGB-D benchmark: its lists of files by time, and its published cameras."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from traqpoint.errors import DataError, FormatError
from traqpoint.geometry.camera import Camera
from traqpoint.geometry.pixels import colmap_K_from_opencv
from traqpoint.io.text import read_lines

TUM_CAMERAS = {
    "1": ((517.306408, 516.469215, 318.643040, 255.313989), (0.262383, -0.953104, -0.005358, 0.002628, 1.163314)),
    "2": ((520.908620, 521.007327, 325.141442, 249.701764), (0.231222, -0.784899, -0.003257, -0.000105, 0.917205)),
    "3": ((535.4, 539.2, 320.1, 247.6), ()),
}
"""Freiburg 1, 2, 3: fx fy cx cy (integer centres) and k1 k2 p1 p2 k3, from the data set's page."""
TUM_UNITS_PER_METRE = 5000.0
TUM_MAX_SECONDS = 0.02
"""Between an image and its depth map or the nearest pose; the data set's own tool allows as much."""
TUM_IMAGE_SIZE = (640, 480)


def tum_camera(folder: Path) -> Camera:
    """The published colour camera of Freiburg 1, 2 or 3, whichever the name of `folder` says.

    The data set's calibrations have integer pixel centres: 0.5 is added to the principal point. Raises DataError if the
    name says none of them.
    """
    name = folder.resolve().name
    for number, ((fx, fy, cx, cy), distortion) in TUM_CAMERAS.items():
        if f"freiburg{number}" in name or f"fr{number}" in name:
            K = colmap_K_from_opencv(torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]))
            return Camera.from_matrix(K, TUM_IMAGE_SIZE, distortion)
    raise DataError(f"{folder}: which camera? Neither freiburg1, 2 nor 3 is in the folder's name, and no K is given")


def read_tum_list(path: Path) -> tuple[Tensor, list[str]]:
    """Times (N,) float64, ascending, and file names of a list. Raises FormatError naming file and line."""
    entries = []
    for number, line in enumerate(read_lines(path), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            entries.append((float(words[0]), words[1]))
        except (ValueError, IndexError):
            raise FormatError(f"{path}:{number}: expected a time and a file, got {line.strip()[:60]!r}") from None
    if not entries:
        raise FormatError(f"{path}: lists no file")
    entries.sort()
    return torch.tensor([time for time, _ in entries], dtype=torch.float64), [name for _, name in entries]
