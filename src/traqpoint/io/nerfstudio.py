"""nerfstudio's transforms.json. Its cameras are OpenGL's: they look along -z, y is up; its pixels are COLMAP's."""

from __future__ import annotations

from pathlib import Path

import torch

from traqpoint.errors import FormatError
from traqpoint.files import write_json
from traqpoint.geometry.transforms import invert_rigid
from traqpoint.io.colmap_model import ColmapModel

_OPENGL_FROM_COLMAP = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))


def write_transforms(path: str | Path, model: ColmapModel, images: str, points: str) -> None:
    """Write the cameras of `model`, which are pinholes, with the world as it is.

    images: folder of the image files, points: file of the sparse points (.ply), both from where `path` lies. Raises
    FormatError for a camera with distortion: undistort first.
    """
    frames = []
    for name, image in model.images.items():
        if image.camera.model not in ("PINHOLE", "SIMPLE_PINHOLE"):
            raise FormatError(f"{name}: a {image.camera.model} camera, and transforms.json gets pinholes")
        (fx, _, cx), (_, fy, cy), _ = image.camera.K.tolist()
        width, height = image.camera.image_size
        world_from_cam = invert_rigid(image.cam_from_world) @ _OPENGL_FROM_COLMAP
        frames.append(
            {
                "file_path": f"{images}/{name}",
                "transform_matrix": world_from_cam.tolist(),
                **{"w": width, "h": height, "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy},
            }
        )
    write_json(Path(path), {"camera_model": "PINHOLE", "ply_file_path": points, "frames": frames})
