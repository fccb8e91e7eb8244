"""A model to locate images in: which point each of our keypoints observes, whoever made the model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from traqpoint.io.colmap_model import NO_POINT, ColmapModel, ModelImage
from traqpoint.io.stores import FeatureReader
from traqpoint.types import Features

TIE_PX = 3.0
"""How far a keypoint may lie from the pixel at which the model says that a point is seen, in pixels of the image that
the keypoint was found in."""
_SAME_PX = 0.01
"""hloc's files move keypoints by half a pixel and back, in float32."""


@dataclass(frozen=True)
class Reference:
    """features: of the model's images, under their names. observed: by name, the id of the point that each of these
    keypoints sees, (N,) int64, NO_POINT for none; without images that have no features."""

    model: ColmapModel
    features: FeatureReader
    observed: Mapping[str, Tensor]


def reference(model: ColmapModel, features: FeatureReader) -> Reference:
    """The model with features of its images, which may be those that it was made of, or others."""
    observed = {
        name: observed_points(image, features.read(name)) for name, image in model.images.items() if name in features
    }
    return Reference(model, features, observed)


def observed_points(image: ModelImage, features: Features) -> Tensor:
    """(N,) int64 ids of the points that the keypoints observe, NO_POINT for none.

    Where they are not the model's own, a keypoint takes the nearest observation within TIE_PX.
    """
    if is_made_of(image, features):
        return image.point3D
    point = torch.full((len(features),), NO_POINT)
    seen = image.point3D != NO_POINT
    if not bool(seen.any()) or not len(features):
        return point
    size = torch.tensor(features.found_at or features.image_size, dtype=torch.float64)
    ours = features.keypoints.double() * (size / torch.tensor(features.image_size))
    theirs = image.xy[seen] * (size / torch.tensor(image.camera.image_size))
    away, which = torch.cdist(ours, theirs).min(dim=1)
    near = away <= TIE_PX
    point[near] = image.point3D[seen][which[near]]
    return point


def is_made_of(image: ModelImage, features: Features) -> bool:
    """Whether these keypoints, in this order, are the model's."""
    if len(image.xy) != len(features) or image.camera.image_size != features.image_size:
        return False
    return bool(((image.xy - features.keypoints.double()).abs() <= _SAME_PX).all())


def content_of(model: ColmapModel) -> str:
    """A hash of the model's names, poses and points."""
    digest = hashlib.sha256(model.point_ids.numpy().tobytes() + model.xyz.numpy().tobytes())
    for name, image in model.images.items():
        digest.update(name.encode() + image.cam_from_world.numpy().tobytes() + image.xy.numpy().tobytes())
    return digest.hexdigest()
