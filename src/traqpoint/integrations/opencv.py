"""OpenCV's KeyPoint and DMatch, whose pixels have integer centres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from traqpoint import optional
from traqpoint.errors import FormatError
from traqpoint.geometry.pixels import colmap_from_opencv, opencv_from_colmap
from traqpoint.types import Features, Matches


def keypoints_of(features: Features, size_px: float = 8.0) -> list[Any]:
    """A ``cv2.KeyPoint`` per keypoint, in order, with its score as response; angle -1, OpenCV's "none", and one size,
    unless they are of resized and turned copies.

    size_px: the diameter of a keypoint of the image as it is; OpenCV draws it, and its own descriptors look that far.
    """
    cv2 = optional.load("cv2")
    xy = opencv_from_colmap(features.keypoints.detach().cpu()).tolist()
    n = len(features)
    sizes = [size_px] * n if features.scales is None else (size_px * features.scales).tolist()
    angles = [-1.0] * n if features.angles_deg is None else features.angles_deg.tolist()
    rows = zip(xy, sizes, angles, features.scores.tolist(), strict=True)
    return [cv2.KeyPoint(x, y, size, angle, score) for (x, y), size, angle, score in rows]


def dmatches_of(matches: Matches, features_a: Features, features_b: Features) -> list[Any]:
    """A ``cv2.DMatch`` per match, in order: queryIdx in image a, trainIdx in image b, distance of the descriptors (L2,
    as of ``cv2.BFMatcher(cv2.NORM_L2)``)."""
    cv2 = optional.load("cv2")
    i, j = matches.indices.unbind(-1)
    distances = (features_a.descriptors[i] - features_b.descriptors[j]).norm(dim=-1)
    rows = zip(i.tolist(), j.tolist(), distances.tolist(), strict=True)
    return [cv2.DMatch(query, train, distance) for query, train, distance in rows]


def features_from(keypoints: Sequence[Any], descriptors: np.ndarray | None, image_size: tuple[int, int]) -> Features:
    """What ``detectAndCompute`` gives, best first, so that our matchers, trackers and files take it.

    descriptors: (N, D) of any type, or None as OpenCV has it for no keypoint; brought to unit norm in float32.
    image_size: (W, H). Raises FormatError if the two are not equally many.
    """
    found = np.zeros((0, 1)) if descriptors is None else descriptors
    if len(found) != len(keypoints):
        raise FormatError(f"{len(keypoints)} keypoints and {len(found)} descriptors: OpenCV gives as many of both")
    xy = torch.tensor([k.pt for k in keypoints], dtype=torch.float32).reshape(-1, 2)
    scores = torch.tensor([k.response for k in keypoints], dtype=torch.float32)
    vectors = torch.nn.functional.normalize(torch.from_numpy(np.asarray(found, dtype=np.float32)), dim=-1)
    order = scores.argsort(descending=True, stable=True)
    return Features(colmap_from_opencv(xy)[order], scores[order], vectors[order], image_size)


def matches_from(dmatches: Sequence[Any]) -> Matches:
    """``cv2.DMatch`` -> index pairs (K, 2), scored by the cosine that belongs to the distance of unit descriptors."""
    indices = torch.tensor([(m.queryIdx, m.trainIdx) for m in dmatches], dtype=torch.long).reshape(-1, 2)
    distances = torch.tensor([m.distance for m in dmatches], dtype=torch.float32)
    return Matches(indices, 1 - distances.square() / 2)
