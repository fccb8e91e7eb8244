"""Relative pose: how exactly matches give the true motion between two images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from traqpoint.data.testsets.pairs import PosePair
from traqpoint.evaluation.metrics.auc import auc
from traqpoint.geometry.epipolar import angle_between, fundamental_from_pose, sampson_distance
from traqpoint.matching.config import RobustConfig
from traqpoint.matching.verify import estimate_relative_pose

THRESHOLDS_DEG = (5.0, 10.0, 20.0)


def translation_angle_deg(a: Tensor, b: Tensor) -> Tensor:
    """Angle (...,) in [0, 90] degrees between the lines along a, b (..., 3): the smaller of angle and 180 - angle.

    The sign is not judged, as in SuperGlue's and LoFTR's protocols. NaN if one of the vectors is zero.
    """
    sine, cosine = torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1).abs()
    angle = torch.rad2deg(torch.atan2(sine, cosine))
    undefined = (a.norm(dim=-1) == 0) | (b.norm(dim=-1) == 0)
    return torch.where(undefined, torch.full_like(angle, torch.nan), angle)


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


def score_pair(
    pair: PosePair,
    a: Tensor,
    b: Tensor,
    robust: RobustConfig | None = None,
    shuffles: int = 3,
    precision_px: float = 3.0,
    seed: int = 0,
) -> PairScore:
    """Score matched pixels a, b (N, 2) float64 of the pinhole cameras K_a and K_b.

    The pose is estimated from so many random orders of the matches, because estimators depend on the order.
    precision_px: see `match_precision`. seed: of the orders, and of PoseLib.
    """
    true_t = pair.b_from_a[:3, 3]
    rotations, translations, inliers = [], [], []
    for shuffle in range(shuffles):
        generator = torch.Generator().manual_seed(seed + shuffle)
        order = torch.randperm(len(a), generator=generator)
        found = estimate_relative_pose(a[order], b[order], pair.K_a, pair.K_b, robust, seed + shuffle)
        inliers.append(int(found.inliers.sum()))
        if found.b_from_a is None:
            rotations.append(np.inf)
            translations.append(np.inf)
        else:
            rotations.append(float(angle_between(pair.b_from_a[:3, :3], found.b_from_a[:3, :3])))
            translations.append(float(translation_angle_deg(true_t, found.b_from_a[:3, 3])))
    precision = match_precision(pair, a, b, precision_px)
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


def pose_stats(arrays: Mapping[str, np.ndarray]) -> dict[str, float]:
    """auc_5, auc_10, auc_20 in [0, 1] of error_deg (pairs, shuffles), mean over the shuffles, and auc_5_std over them;
    precision, inliers, matches: means over pairs; failed: share of pairs without an estimate.
    """
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
