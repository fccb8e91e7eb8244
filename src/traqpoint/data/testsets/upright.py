"""Upright copies of images that are stored lying on their side, and the geometry of the turn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from traqpoint.image import read_image, write_image


def upright_image(path: Path, rotation: int, folder: str | Path | None) -> tuple[Path, tuple[int, int] | None]:
    """File of the image turned by `rotation` quarter turns counter-clockwise, and the size (W, H) it had before.

    The copy is a PNG in `folder`, made once. The original and None for rotation 0 and for missing files.
    """
    if not rotation or folder is None or not path.is_file():
        return path, None
    image = read_image(path)
    copy = Path(folder) / f"{path.as_posix().strip('/').replace('/', '-')}.rot{rotation}.png"
    if not copy.is_file():
        write_image(copy, np.rot90(image, rotation))
    return copy, (image.shape[1], image.shape[0])


def turned_camera(K: Tensor, rotation: int, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """K (3, 3) of the image turned by quarter turns counter-clockwise, and turned_from_camera (4, 4).

    image_size: (W, H) before. One turn carries pixel (x, y) to (y, W - x) and the camera's axes likewise.
    """
    turned_from_camera = torch.eye(4, dtype=K.dtype)
    quarter = torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]], dtype=K.dtype)
    width, height = image_size
    for _ in range(rotation):
        pixels = quarter.clone()
        pixels[1, 2] = width
        K = pixels @ K @ quarter.T
        turned_from_camera[:3, :3] = quarter @ turned_from_camera[:3, :3]
        width, height = height, width
    return K, turned_from_camera
