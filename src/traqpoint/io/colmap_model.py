"""COLMAP's sparse models, read through pycolmap. Pixels and poses are COLMAP's own: nothing to convert."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.errors import FormatError, GeometryError
from traqpoint.geometry.camera import Camera
from traqpoint.io.colmap_binary import check_complete

NO_POINT = -1
"""In ModelImage.point3D: this keypoint observes no 3D point."""
_FILES = ("cameras", "images", "points3D")


@dataclass(frozen=True)
class ModelImage:
    """One registered image of a model.

    name: as in the model, with slashes for folders. cam_from_world: (4, 4) float64. xy: (N, 2) float64 pixels of its
    keypoints. point3D: (N,) int64 ids of the points that they observe, NO_POINT for none.
    """

    name: str
    camera: Camera
    cam_from_world: Tensor
    xy: Tensor
    point3D: Tensor


@dataclass(frozen=True)
class ColmapModel:
    """Registered images by name, in order of names, and the 3D points.

    point_ids: (P,) int64, ascending. xyz: (P, 3) float64, in the model's own unit. errors: (P,) float64, mean
    reprojection error in pixels, NaN if the model does not say.
    """

    images: dict[str, ModelImage]
    point_ids: Tensor
    xyz: Tensor
    errors: Tensor

    def rows(self, point3D: Tensor) -> Tensor:
        """Rows of `xyz` that belong to point ids (K,) int64, all of which must be in the model."""
        return torch.searchsorted(self.point_ids, point3D.contiguous())


def read_model(folder: str | Path) -> ColmapModel:
    """The model in `folder`: cameras, images and points3D as .bin or .txt; images without a pose are left out.

    Raises FormatError naming the folder if it holds no readable model, or a camera model that Camera lacks.
    """
    return model_from_pycolmap(load_reconstruction(folder), folder)


def load_reconstruction(folder: str | Path) -> Any:
    """The pycolmap.Reconstruction in `folder`. Raises FormatError naming the folder."""
    pycolmap = optional.load("pycolmap")
    folder = Path(folder)
    if not folder.is_dir():
        raise FormatError(f"{folder}: no such folder of a COLMAP model")
    if not any(all((folder / f"{stem}{suffix}").is_file() for stem in _FILES) for suffix in (".bin", ".txt")):
        raise FormatError(f"{folder}: a COLMAP model is cameras, images and points3D, all .bin or all .txt")
    check_complete(folder)
    try:
        return pycolmap.Reconstruction(folder)
    except (RuntimeError, ValueError, IndexError) as error:
        raise FormatError(f"{folder}: not a readable COLMAP model ({' '.join(str(error).split())})") from None


def model_from_pycolmap(reconstruction: Any, name: str | Path = "model") -> ColmapModel:
    """The registered images and points of a pycolmap.Reconstruction; `name` begins the message of a FormatError.

    Points that images name and the model lacks (some data sets come without points) count as NO_POINT.
    """
    ids = sorted(reconstruction.points3D)
    points = [reconstruction.points3D[i] for i in ids]
    errors = np.array([point.error for point in points], dtype=np.float64)
    point_ids = torch.tensor(ids, dtype=torch.int64)
    images = {}
    for image in reconstruction.images.values():
        if image.has_pose:
            images[image.name] = _model_image(image, reconstruction.cameras[image.camera_id], point_ids, name)
    return ColmapModel(
        dict(sorted(images.items())),
        point_ids,
        torch.from_numpy(np.array([point.xyz for point in points], dtype=np.float64).reshape(-1, 3)),
        torch.from_numpy(np.where(errors < 0, np.nan, errors)),  # COLMAP's -1: never computed
    )


def _model_image(image: Any, camera: Any, point_ids: Tensor, name: str | Path) -> ModelImage:
    pose = np.eye(4)
    pose[:3] = image.cam_from_world().matrix()
    xy = np.array([point.xy for point in image.points2D], dtype=np.float64).reshape(-1, 2)
    observed = [point.point3D_id if point.has_point3D() else NO_POINT for point in image.points2D]
    point3D = torch.tensor(observed, dtype=torch.int64)
    point3D[~torch.isin(point3D, point_ids)] = NO_POINT
    try:
        known = Camera(camera.model_name, (camera.width, camera.height), torch.from_numpy(np.array(camera.params)))
    except GeometryError as error:
        raise FormatError(f"{name}: image {image.name!r}: {error}") from None
    return ModelImage(image.name, known, torch.from_numpy(pose), torch.from_numpy(xy), point3D)


def shared_points(model: ColmapModel) -> tuple[Tensor, Tensor]:
    """Pairs (M, 2) int64 of images (by their place in model.images, first < second) that see a common point, and the
    number (M,) of common points."""
    views = model.images.values()
    size = max(len(views), 1)
    codes = [view.point3D[view.point3D != NO_POINT] * size + i for i, view in enumerate(views)]
    # Sorted by point and then by image, an image once per point: a pair is two entries of one point.
    sorted_codes = torch.cat([*codes, torch.empty(0, dtype=torch.int64)]).unique()
    point, image = sorted_codes // size, sorted_codes % size
    found = [torch.empty(0, dtype=torch.int64)]
    for step in range(1, size):
        same = point[step:] == point[:-step]
        if not bool(same.any()):
            break
        found.append(image[:-step][same] * size + image[step:][same])
    pair, count = torch.cat(found).unique(return_counts=True)
    return torch.stack([pair // size, pair % size], dim=-1), count
