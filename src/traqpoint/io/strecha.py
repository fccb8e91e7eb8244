"""The laser-surveyed scenes of the Strecha benchmark: a folder with ``images/`` and cameras.txt."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from traqpoint.errors import FormatError, GeometryError
from traqpoint.geometry.camera import Camera
from traqpoint.geometry.pixels import colmap_K_from_opencv
from traqpoint.geometry.transforms import check_rigid, rigid
from traqpoint.image import read_image
from traqpoint.io.colmap_model import ColmapModel, ModelImage
from traqpoint.io.text import read_lines


def read_strecha_cameras(folder: str | Path) -> dict[str, tuple[Tensor, Tensor]]:
    """K (3, 3) and cam_from_world (4, 4), float64, metres, by image name.

    Lines of cameras.txt are ``name fx fy cx cy R(9) t(3)``. Pixels: principal points there count from the first
    pixel's centre; half a pixel is added. Raises FormatError or GeometryError naming file and line.
    """
    path = Path(folder) / "cameras.txt"
    cameras: dict[str, tuple[Tensor, Tensor]] = {}
    for number, words in enumerate(map(str.split, read_lines(path)), start=1):
        if not words or words[0].startswith("#"):
            continue
        where = f"{path}:{number}"
        try:
            values = torch.tensor([float(word) for word in words[1:]], dtype=torch.float64)
        except ValueError as error:
            raise FormatError(f"{where}: {error}") from None
        if len(values) != 16:
            raise FormatError(f"{where}: a camera is a name and 16 numbers, got {len(values)}")
        K = torch.eye(3, dtype=torch.float64)
        K[[0, 1, 0, 1], [0, 1, 2, 2]] = values[:4]
        cameras[words[0]] = colmap_K_from_opencv(K), check_rigid(rigid(values[4:13].reshape(3, 3), values[13:]), where)
    return cameras


def read_strecha(folder: str | Path) -> ColmapModel:
    """The scene as a model without points; image sizes are those of the files in ``images/``.

    Raises what `read_strecha_cameras` and `read_image` raise, FormatError if cameras.txt lists no camera.
    """
    images = {}
    for name, (K, pose) in read_strecha_cameras(folder).items():
        height, width = read_image(Path(folder) / "images" / name).shape[:2]
        try:
            camera = Camera.from_matrix(K, (width, height))
        except GeometryError as error:
            raise GeometryError(f"{Path(folder) / 'cameras.txt'}: {name}: {error}") from None
        images[name] = ModelImage(name, camera, pose, pose.new_zeros(0, 2), torch.zeros(0, dtype=torch.int64))
    if not images:
        raise FormatError(f"{Path(folder) / 'cameras.txt'}: no camera in this file")
    empty = torch.zeros(0, dtype=torch.float64)
    return ColmapModel(images, torch.zeros(0, dtype=torch.int64), empty.reshape(0, 3), empty)
