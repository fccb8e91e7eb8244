"""Homographies: how repeatable keypoints are, how exact matches, and how exact the plane's map that they give."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import Tensor

from traqpoint.data.testsets.hpatches import HomographyPair, HomographyPairs
from traqpoint.errors import ConfigError
from traqpoint.evaluation.benchmarks.pose import auc
from traqpoint.evaluation.predict import Predictions
from traqpoint.evaluation.result import Result
from traqpoint.geometry.homography import apply_homography
from traqpoint.geometry.pixels import inside
from traqpoint.geometry.transforms import scaling
from traqpoint.matching.config import RobustConfig
from traqpoint.matching.verify import HOMOGRAPHY_USUAL, estimate_homography
from traqpoint.types import Features, Matches

THRESHOLDS_PX = (1.0, 3.0, 5.0)


@dataclass(frozen=True)
class HomographyConfig:
    """How a homography benchmark is judged."""

    robust: RobustConfig = field(default_factory=RobustConfig)
    """The estimator."""
    repeatable_px: float = 3.0
    """A keypoint is repeated if the other image has one within this distance of where it is seen."""
    judged_long_side: int | None = None
    """Thresholds are pixels of images shrunk to this size (SuperGlue: 640); without it, of the images as they are."""
    seed: int = 0
    """Of PoseLib."""

    def __post_init__(self) -> None:
        if not self.repeatable_px > 0:
            raise ConfigError(f"repeatable_px must be positive, got {self.repeatable_px}")
        if self.judged_long_side is not None and self.judged_long_side < 32:
            raise ConfigError(f"judged_long_side must be at least 32, got {self.judged_long_side}")


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
    pair: HomographyPair, a: Features, b: Features, matches: Matches, config: HomographyConfig
) -> PlaneScore:
    """Score the features and matches of one pair."""
    (xy_a, size_a, scale_a), (xy_b, size_b, scale_b) = (_judged(f, config.judged_long_side) for f in (a, b))
    b_from_a = scale_b @ pair.b_from_a @ torch.linalg.inv(scale_a)
    source, target = xy_a[matches.indices[:, 0]], xy_b[matches.indices[:, 1]]
    distance = (apply_homography(b_from_a, source) - target).norm(dim=-1)
    accuracy = tuple(float((distance <= t).double().mean()) if len(matches) else 0.0 for t in THRESHOLDS_PX)
    found = estimate_homography(source, target, config.robust, config.seed)
    corner_px = float("inf") if found.b_from_a is None else corner_error(found.b_from_a, b_from_a, size_a)
    share = repeatability(xy_a, xy_b, b_from_a, size_a, size_b, config.repeatable_px)
    return PlaneScore(share, accuracy, corner_px, int(found.inliers.sum()), len(matches))


def _judged(features: Features, long_side: int | None) -> tuple[Tensor, tuple[int, int], Tensor]:
    """float64 keypoints (N, 2) and image size at which thresholds count, and the scaling (3, 3) to there."""
    width, height = features.image_size
    shrink = 1.0 if long_side is None else min(1.0, long_side / max(width, height))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    scale = scaling(size[0] / width, size[1] / height).double()
    return features.keypoints.double() * scale.diagonal()[:2], size, scale


def evaluate_homography(
    dataset: HomographyPairs, predictions: Predictions, config: HomographyConfig | None = None
) -> Result:
    """Score every pair of `dataset`.

    stats, over all pairs: repeatability; mma_1, mma_3, mma_5: mean share of matches within 1, 3, 5 px; auc_1, auc_3,
    auc_5 in [0, 1] of the corner error; inliers, matches: means; failed: share of pairs without an estimate. If there
    are changes of viewpoint and of illumination, mma and auc of each as well, as viewpoint_mma_3.
    """
    config = config or HomographyConfig()
    scores, unreadable = [], 0
    for pair in dataset.pairs:
        found = predictions.pair(pair.name_a, pair.name_b)
        unreadable += found is None
        scores.append(FAILED if found is None else score_plane(pair, *found, config))
    names = ("repeatability", "accuracy", "corner_px", "inliers", "matches")
    arrays = {name: np.array([getattr(score, name) for score in scores]) for name in names}
    kinds = np.array([pair.kind for pair in dataset.pairs])
    arrays |= {"kind": kinds, "name_a": np.array([pair.name_a for pair in dataset.pairs])}
    arrays |= {"name_b": np.array([pair.name_b for pair in dataset.pairs])}
    stats = _stats(arrays)
    if {"viewpoint", "illumination"} <= set(kinds):
        for kind in ("viewpoint", "illumination"):
            some = _stats({name: values[kinds == kind] for name, values in arrays.items()})
            stats |= {f"{kind}_{key}": value for key, value in some.items() if key.startswith(("mma", "auc"))}
    protocol = {
        "dataset": {"name": dataset.name, "pairs": len(dataset.pairs)},
        "estimator": asdict(config.robust.resolved(HOMOGRAPHY_USUAL)),
        "repeatable_px": config.repeatable_px,
        "judged_long_side": config.judged_long_side,
        "seed": config.seed,
        **predictions.protocol,
    }
    notes = (*_notes(arrays, unreadable), *predictions.failed)
    return Result("homography", predictions.method, stats, arrays, protocol, notes)


def _stats(arrays: dict[str, np.ndarray]) -> dict[str, float]:
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


def _notes(arrays: dict[str, np.ndarray], unreadable: int) -> list[str]:
    total = len(arrays["corner_px"])
    lines = (
        (unreadable, "pairs count as failed because an image could not be used"),
        (int(np.isinf(arrays["corner_px"]).sum()) - unreadable, "pairs gave no homography: an infinite corner error"),
        (int(np.isnan(arrays["repeatability"]).sum()), "pairs share no visible keypoint and have no repeatability"),
    )
    return [f"{count} of {total} {text}" for count, text in lines if count]
