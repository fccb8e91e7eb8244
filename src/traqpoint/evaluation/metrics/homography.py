"""Planes: how repeatable keypoints are, how exact matches, and how exact the plane's map that they give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from traqpoint.data.testsets.hpatches import HomographyPair
from traqpoint.evaluation.metrics.auc import auc
from traqpoint.geometry.homography import apply_homography
from traqpoint.geometry.pixels import inside
from traqpoint.geometry.transforms import scaling
from traqpoint.matching.config import RobustConfig
from traqpoint.matching.verify import estimate_homography
from traqpoint.types import Features, Matches

THRESHOLDS_PX = (1.0, 3.0, 5.0)


@dataclass(frozen=True)
class PlaneScore:
    """One pair. repeatability: NaN if no keypoint of either image is seen by the other. accuracy: share of matches
    within each of THRESHOLDS_PX, 0 without matches. corner_px: mean over the corners of image a, inf after a failure.
    """

    repeatability: float
    accuracy: tuple[float, ...]
    corner_px: float
    inliers: int
    matches: int


FAILED = PlaneScore(0.0, (0.0,) * len(THRESHOLDS_PX), float("inf"), 0, 0)
"""A pair of which an image could not be used."""


def repeatability(
    a: Tensor, b: Tensor, b_from_a: Tensor, size_a: tuple[int, int], size_b: tuple[int, int], threshold_px: float
) -> float:
    """Share of the keypoints a (N, 2), b (M, 2) that the other image sees and has a keypoint within `threshold_px` of.

    Both directions together; distances are measured in the image that a keypoint is carried into. NaN if the images
    see none of each other's keypoints. Keypoints in dense clusters repeat by chance: compare at equal numbers, and read
    it beside the matching accuracy.
    """
    seen, repeated = 0, 0
    for source, target, size, H in ((a, b, size_b, b_from_a), (b, a, size_a, torch.linalg.inv(b_from_a))):
        carried = apply_homography(H, source)
        carried = carried[inside(carried, *size)]
        seen += len(carried)
        if len(carried) and len(target):
            repeated += int((torch.cdist(carried, target).amin(1) < threshold_px).sum())
    return repeated / seen if seen else float("nan")


def corner_error(estimated: Tensor, true: Tensor, image_size: tuple[int, int]) -> float:
    """Mean distance in pixels of the corners of an image (W, H) carried by two homographies (3, 3), or inf."""
    width, height = image_size
    corners = true.new_tensor([[0, 0], [width, 0], [width, height], [0, height]])
    # An estimate is known up to its sign, and a corner beyond its horizon is wrong by any measure.
    sign = torch.sign((estimated @ true.new_tensor([width / 2, height / 2, 1.0]))[2])
    distance = (apply_homography(sign * estimated, corners) - apply_homography(true, corners)).norm(dim=-1)
    return float(distance.mean().nan_to_num(torch.inf))


def score_plane(
    pair: HomographyPair,
    a: Features,
    b: Features,
    matches: Matches,
    robust: RobustConfig | None = None,
    repeatable_px: float = 3.0,
    judged_long_side: int | None = None,
    seed: int = 0,
) -> PlaneScore:
    """Score the features and matches of one pair.

    repeatable_px: see `repeatability`. judged_long_side: pixels are those of images shrunk to this size; without it,
    of the images as they are. seed: of PoseLib.
    """
    (xy_a, size_a, scale_a), (xy_b, size_b, scale_b) = (_judged(f, judged_long_side) for f in (a, b))
    b_from_a = scale_b @ pair.b_from_a @ torch.linalg.inv(scale_a)
    source, target = xy_a[matches.indices[:, 0]], xy_b[matches.indices[:, 1]]
    distance = (apply_homography(b_from_a, source) - target).norm(dim=-1)
    accuracy = tuple(float((distance <= t).double().mean()) if len(matches) else 0.0 for t in THRESHOLDS_PX)
    found = estimate_homography(source, target, robust, seed)
    corner_px = float("inf") if found.b_from_a is None else corner_error(found.b_from_a, b_from_a, size_a)
    share = repeatability(xy_a, xy_b, b_from_a, size_a, size_b, repeatable_px)
    return PlaneScore(share, accuracy, corner_px, int(found.inliers.sum()), len(matches))


def _judged(features: Features, long_side: int | None) -> tuple[Tensor, tuple[int, int], Tensor]:
    """float64 keypoints (N, 2) and image size at which thresholds count, and the scaling (3, 3) to there."""
    width, height = features.image_size
    shrink = 1.0 if long_side is None else min(1.0, long_side / max(width, height))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    scale = scaling(size[0] / width, size[1] / height).double()
    return features.keypoints.double() * scale.diagonal()[:2], size, scale


def plane_stats(arrays: Mapping[str, np.ndarray]) -> dict[str, float]:
    """repeatability; mma_1, mma_3, mma_5: mean share of matches within 1, 3, 5 px; auc_1, auc_3, auc_5 in [0, 1] of the
    corner error; inliers, matches: means; failed: share of pairs without an estimate.
    """
    seen = arrays["repeatability"][~np.isnan(arrays["repeatability"])]
    areas = auc(arrays["corner_px"], THRESHOLDS_PX)
    return {
        "repeatability": float(seen.mean()) if len(seen) else float("nan"),
        **{f"mma_{t:g}": float(v) for t, v in zip(THRESHOLDS_PX, arrays["accuracy"].mean(0), strict=True)},
        **{f"auc_{t:g}": v for t, v in zip(THRESHOLDS_PX, areas, strict=True)},
        "inliers": float(arrays["inliers"].mean()),
        "matches": float(arrays["matches"].mean()),
        "failed": float(np.isinf(arrays["corner_px"]).mean()),
    }
