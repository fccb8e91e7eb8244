"""pycolmap's camera of an image: calibrated, of EXIF, or guessed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from traqpoint import optional
from traqpoint.errors import FormatError
from traqpoint.geometry.camera import Camera

_FOCAL_FACTOR = 1.2
"""COLMAP's guess of the focal length where EXIF has none, as a share of the longer side."""


def pycolmap_camera(
    image_size: tuple[int, int], image_path: str | Path | None, camera: Camera | Any, model: str
) -> Any:
    """The known camera, or a guess of a `model` from EXIF, or 1.2 times the longer side: pycolmap's Camera, which says
    of its focal length whether it is more than that (has_prior_focal_length).

    Raises FormatError for a camera of another size than the image.
    """
    pycolmap = optional.load("pycolmap")
    width, height = image_size
    if isinstance(camera, pycolmap.Camera):
        return camera
    if camera is not None:
        if camera.image_size != image_size:
            raise FormatError(f"the camera is {camera.image_size} and the image {image_size} pixels large")
        return pycolmap.Camera(
            model=camera.model,
            width=width,
            height=height,
            params=camera.params.double().tolist(),
            has_prior_focal_length=True,
        )
    focal, known = _FOCAL_FACTOR * max(width, height), False
    if image_path is not None:
        # A ValueError is a format that COLMAP cannot read, WebP for one: no EXIF then.
        with suppress(ValueError):
            guess = pycolmap.infer_camera_from_image(image_path)
            known = guess.has_prior_focal_length
            focal = guess.mean_focal_length() * max(width, height) / max(guess.width, guess.height)
    out = pycolmap.Camera.create_from_model_name(0, model, focal, width, height)
    out.has_prior_focal_length = known
    return out
