"""Are the files of a binary COLMAP model whole? COLMAP itself crashes on cut ones, or reads on for ever."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from traqpoint import optional
from traqpoint.errors import FormatError


def check_complete(folder: Path) -> None:
    """Walk through cameras.bin, images.bin and points3D.bin. Raises FormatError naming the one that is cut or longer
    than its content; files that do not exist are not looked at."""
    for name, end_of in (("cameras", _end_of_camera), ("images", _end_of_image), ("points3D", _end_of_point)):
        path = folder / f"{name}.bin"
        if path.is_file():
            _walk(path, end_of)


def _walk(path: Path, end_of: Callable[[bytes, int], int]) -> None:
    data = path.read_bytes()
    try:
        (count,) = struct.unpack_from("<Q", data)
        position = 8
        for _ in range(count):
            position = end_of(data, position)
    except (struct.error, ValueError):
        position = -1
    if position != len(data):
        raise FormatError(f"{path}: the file is cut off, or no part of a COLMAP model")


def _end_of_camera(data: bytes, start: int) -> int:
    pycolmap = optional.load("pycolmap")
    _, model, _, _ = struct.unpack_from("<iiQQ", data, start)
    camera = pycolmap.Camera.create_from_model_id(1, pycolmap.CameraModelId(model), 1.0, 1, 1)
    return start + 24 + 8 * len(camera.params)


def _end_of_image(data: bytes, start: int) -> int:
    name = start + 64  # id, quaternion, translation, camera
    points = data.index(b"\0", name) + 1
    return points + 8 + 24 * struct.unpack_from("<Q", data, points)[0]


def _end_of_point(data: bytes, start: int) -> int:
    track = start + 43  # id, position, colour, error
    return track + 8 + 8 * struct.unpack_from("<Q", data, track)[0]
