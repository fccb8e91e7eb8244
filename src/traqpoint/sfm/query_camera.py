"""What camera took a photograph that is to be located: guesses, the most trusted first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from traqpoint.geometry.camera import Camera
from traqpoint.io.colmap_camera import pycolmap_camera
from traqpoint.io.colmap_model import ColmapModel

SAME_FOCAL = 0.1
"""Share by which EXIF's focal length may differ from a camera's that was calibrated by a model: EXIF is rounded, and a
lens that focuses nearer is longer."""


@dataclass(frozen=True)
class Guess:
    """focal: whether the camera's focal length is known, refined with the pose, or estimated with it. source: in
    words."""

    camera: Camera
    source: str
    focal: Literal["known", "refined", "estimated"]


def guesses(image_size: tuple[int, int], path: Path | None, known: Camera | None, model: ColmapModel) -> list[Guess]:
    """Cameras that an image of (W, H) pixels may have been taken with.

    known: its calibration, which is then the only one. Else that of the model's images of this size, if they have one
    in common that EXIF of the file does not contradict; and what EXIF says, or an unknown focal length.
    """
    if known is not None:
        return [Guess(known, "the calibration", "known")]
    found = pycolmap_camera(image_size, path, None, "SIMPLE_PINHOLE")
    from_file = Camera("SIMPLE_PINHOLE", image_size, torch.tensor(found.params, dtype=torch.float64))
    has_focal = found.has_prior_focal_length
    last = Guess(from_file, "EXIF, refined", "refined") if has_focal else Guess(from_file, "estimated", "estimated")
    shared = _shared(image_size, model)
    if shared is None or (has_focal and abs(float(from_file.K[0, 0] / shared.K[0, 0]) - 1) > SAME_FOCAL):
        return [last]
    return [Guess(shared, "the map's", "known"), last]


def _shared(image_size: tuple[int, int], model: ColmapModel) -> Camera | None:
    """The one camera of the model's images of this size, None if there is none, or there are several."""
    cameras = {
        (camera.model, tuple(camera.params.tolist())): camera
        for camera in (image.camera for image in model.images.values())
        if camera.image_size == image_size
    }
    return next(iter(cameras.values())) if len(cameras) == 1 else None
