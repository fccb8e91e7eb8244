"""Relative pose: how often, and how exactly, matches give the true motion between two images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import Tensor

from traqpoint.data.testsets.pairs import PosePair, PosePairs
from traqpoint.errors import ConfigError
from traqpoint.evaluation.predict import Predictions
from traqpoint.evaluation.result import Result
from traqpoint.geometry.epipolar import angle_between, fundamental_from_pose, sampson_distance
from traqpoint.matching.config import RobustConfig
from traqpoint.matching.verify import POSE_USUAL, estimate_relative_pose
from traqpoint.types import Features, Matches

THRESHOLDS_DEG = (5.0, 10.0, 20.0)


@dataclass(frozen=True)
class PoseConfig:
    """How a relative-pose benchmark is judged."""

    robust: RobustConfig = field(default_factory=RobustConfig)
    """The estimator."""
    shuffles: int = 3
    """The matches are estimated from in so many random orders, because estimators depend on the order."""
    precision_px: float = 3.0
    """A match is precise within this Sampson distance to the true epipolar geometry."""
    seed: int = 0
    """Of the orders, and of PoseLib."""

    def __post_init__(self) -> None:
        if self.shuffles < 1:
            raise ConfigError(f"shuffles must be at least 1, got {self.shuffles}")
        if not self.precision_px > 0:
            raise ConfigError(f"precision_px must be positive, got {self.precision_px}")


def translation_angle_deg(a: Tensor, b: Tensor) -> Tensor:
    """Angle (...,) in [0, 90] degrees between the lines along a, b (..., 3): the smaller of angle and 180 - angle.

    The sign is not judged, as in SuperGlue's and LoFTR's protocols. NaN if one of the vectors is zero.
    """
    sine, cosine = torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1).abs()
    angle = torch.rad2deg(torch.atan2(sine, cosine))
    undefined = (a.norm(dim=-1) == 0) | (b.norm(dim=-1) == 0)
    return torch.where(undefined, torch.full_like(angle, torch.nan), angle)


def auc(errors: Sequence[float] | np.ndarray, thresholds: Sequence[float]) -> list[float]:
    """Area under the recall curve up to each threshold, over the threshold: 1 if all errors are 0, 0 if none is below.

    The curve of SuperGlue's pose_auc: linear from (0, 0) through (i-th smallest error, i / n), then level up to the
    threshold. Failures are infinite errors. Raises ConfigError for NaN, negative or no errors.
    """
    e = np.sort(np.asarray(errors, dtype=np.float64))
    if not len(e) or np.isnan(e).any() or e[0] < 0:
        raise ConfigError("AUC needs at least one error, none of them NaN or negative")
    recall = np.arange(len(e) + 1) / len(e)
    e = np.concatenate([[0.0], e])
    out = []
    for threshold in thresholds:
        last = int(np.searchsorted(e, threshold))  # errors equal to the threshold are not below it
        x, y = np.append(e[:last], threshold), np.append(recall[:last], recall[last - 1])
        out.append(float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum() / threshold))
    return out


@dataclass(frozen=True)
class PairScore:
    """One pair. rotation_deg, translation_deg, inliers: one entry per shuffle; a failure is inf, inf, 0.

    translation_deg is NaN where the true baseline is zero; precision is NaN there, too.
    """

    rotation_deg: tuple[float, ...]
    translation_deg: tuple[float, ...]
    inliers: tuple[int, ...]
    precision: float
    matches: int

    @property
    def error_deg(self) -> tuple[float, ...]:
        """The larger of both errors per shuffle; the rotation's alone without a baseline."""
        pairs = zip(self.rotation_deg, self.translation_deg, strict=True)
        return tuple(R if np.isnan(t) else max(R, t) for R, t in pairs)


def score_pair(pair: PosePair, a: Tensor, b: Tensor, config: PoseConfig) -> PairScore:
    """Score matched pixels a, b (N, 2) float64 of the pinhole cameras K_a and K_b."""
    true_t = pair.b_from_a[:3, 3]
    rotations, translations, inliers = [], [], []
    for shuffle in range(config.shuffles):
        generator = torch.Generator().manual_seed(config.seed + shuffle)
        order = torch.randperm(len(a), generator=generator)
        seed = config.seed + shuffle
        found = estimate_relative_pose(a[order], b[order], pair.K_a, pair.K_b, config.robust, seed)
        inliers.append(int(found.inliers.sum()))
        if found.b_from_a is None:
            rotations.append(np.inf)
            translations.append(np.inf)
        else:
            rotations.append(float(angle_between(pair.b_from_a[:3, :3], found.b_from_a[:3, :3])))
            translations.append(float(translation_angle_deg(true_t, found.b_from_a[:3, 3])))
    precision = match_precision(pair, a, b, config.precision_px)
    return PairScore(tuple(rotations), tuple(translations), tuple(inliers), precision, len(a))


def match_precision(pair: PosePair, a: Tensor, b: Tensor, threshold_px: float) -> float:
    """Share of matches a, b (N, 2) within `threshold_px` (Sampson) of the true epipolar geometry; 0 without matches.

    NaN without a baseline, where there is no epipolar geometry.
    """
    if not bool(pair.b_from_a[:3, 3].any()):
        return float("nan")
    if not len(a):
        return 0.0
    distance = sampson_distance(fundamental_from_pose(pair.b_from_a, pair.K_a, pair.K_b), a, b)
    return float((distance < threshold_px).double().mean())


def evaluate_pose(dataset: PosePairs, predictions: Predictions, config: PoseConfig | None = None) -> Result:
    """Score every pair of `dataset`.

    stats: auc_5, auc_10, auc_20 in [0, 1], of the larger of rotation and translation error, mean over the shuffles, and
    auc_5_std over them; precision, inliers, matches: means over pairs; failed: share of pairs without an estimate.
    Pairs of unreadable images and failed estimates are infinite errors (RDD's published script counts them as 0).
    """
    config = config or PoseConfig()
    scores, unreadable = [], 0
    for pair in dataset.pairs:
        found = predictions.pair(pair.name_a, pair.name_b)
        if found is None:
            unreadable += 1
        a, b = _matched(dataset, pair, found)
        scores.append(score_pair(pair, a, b, config))
    arrays = {
        **{name: np.array([getattr(score, name) for score in scores]) for name in _PER_PAIR},
        "name_a": np.array([pair.name_a for pair in dataset.pairs]),
        "name_b": np.array([pair.name_b for pair in dataset.pairs]),
    }
    protocol = {
        "dataset": {"name": dataset.name, "pairs": len(dataset.pairs)},
        "estimator": asdict(config.robust.resolved(POSE_USUAL)),
        "shuffles": config.shuffles,
        "precision_px": config.precision_px,
        "seed": config.seed,
        **predictions.protocol,
    }
    notes = (*dataset.notes, *_notes(arrays, unreadable), *predictions.failed)
    return Result("pose", predictions.method, _stats(arrays), arrays, protocol, notes)


_PER_PAIR = ("rotation_deg", "translation_deg", "error_deg", "inliers", "precision", "matches")


def _matched(
    dataset: PosePairs, pair: PosePair, found: tuple[Features, Features, Matches] | None
) -> tuple[Tensor, Tensor]:
    if found is None:
        nothing = torch.zeros(0, 2, dtype=torch.float64)
        return nothing, nothing
    *both, matches = found
    a, b = (
        dataset.pinhole_pixels(name, features.keypoints[matches.indices[:, side]], features.image_size)
        for side, (name, features) in enumerate(zip((pair.name_a, pair.name_b), both, strict=True))
    )
    return a, b


def _stats(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    per_shuffle = np.array([auc(errors, THRESHOLDS_DEG) for errors in arrays["error_deg"].T])
    precision = arrays["precision"][~np.isnan(arrays["precision"])]
    return {
        **{f"auc_{t:g}": float(value) for t, value in zip(THRESHOLDS_DEG, per_shuffle.mean(0), strict=True)},
        "auc_5_std": float(per_shuffle[:, 0].std()),
        "precision": float(precision.mean()) if len(precision) else float("nan"),
        "inliers": float(arrays["inliers"].mean()),
        "matches": float(arrays["matches"].mean()),
        "failed": float(np.isinf(arrays["error_deg"]).mean()),
    }


def _notes(arrays: dict[str, np.ndarray], unreadable: int) -> list[str]:
    total = len(arrays["error_deg"])
    estimates = int(np.isinf(arrays["error_deg"]).any(1).sum()) - unreadable
    still = int(np.isnan(arrays["precision"]).sum())
    lines = (
        (unreadable, "pairs count as failed because an image could not be used"),
        (estimates, "pairs gave no pose in at least one shuffle and count as infinite errors there"),
        (still, "pairs have no baseline: only their rotation is judged, and they have no precision"),
    )
    return [f"{count} of {total} {text}" for count, text in lines if count]
