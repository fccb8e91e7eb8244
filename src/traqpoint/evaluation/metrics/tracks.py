"""How long do keypoints live? Tracks of one reference frame against the true geometry of a sequence.

The definitions in words: docs/track_metrics.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from traqpoint.matching.mutual import match
from traqpoint.matching.run import Matcher
from traqpoint.types import Features, PointState, SequenceBatch

THRESHOLD_PX = 3.0
"""Farthest that a correct match may lie from the true projection."""


@dataclass(frozen=True)
class TrackScores:
    """Sums over frames, so that scores of many sequences add up. Frame 0 is the reference, all others are targets.

    A match is correct if it lies within the threshold of the true projection; points whose truth is UNKNOWN are not
    counted anywhere, a match of a point that the target does not see is wrong. Tuples have an entry per target.
    """

    keypoints: int
    """In reference frames."""
    references: int
    """Reference frames."""
    matches: int
    """Matches with known truth."""
    unknown: int
    """(keypoint, target) pairs whose truth is unknown."""
    repeatable: int
    """Keypoints of either frame with a keypoint of the other within the threshold of where they are seen."""
    candidates: int
    """Keypoints of either frame that the other one sees."""
    visible_at: tuple[int, ...]
    """Reference keypoints that the target sees."""
    found_at: tuple[int, ...]
    """Of these, how many were correctly matched: a track that died still counts in `visible_at`."""
    error_at: tuple[float, ...]
    """Sum over the correct matches, in pixels."""
    visible_through: tuple[int, ...]
    """Reference keypoints that this target and all before it see."""
    found_through: tuple[int, ...]
    """Of these, how many were correctly matched in all of them: the tracks that have not broken yet."""
    length_histogram: tuple[int, ...]
    """Entry k: reference keypoints found in exactly k targets; one entry more than there are targets."""

    @property
    def visible(self) -> int:
        """(keypoint, target) pairs in which the reference keypoint is visible."""
        return sum(self.visible_at)

    @property
    def found(self) -> int:
        """(keypoint, target) pairs that are correctly matched."""
        return sum(self.found_at)

    def __add__(self, other: TrackScores) -> TrackScores:
        if not self.length_histogram:
            return other
        if len(self.length_histogram) != len(other.length_histogram):
            raise ValueError("scores of sequences of different lengths cannot be added")
        sums: dict[str, Any] = {}
        for field in fields(self):
            a, b = getattr(self, field.name), getattr(other, field.name)
            sums[field.name] = tuple(x + y for x, y in zip(a, b, strict=True)) if isinstance(a, tuple) else a + b
        return TrackScores(**sums)

    def summary(self) -> dict[str, float]:
        """Shares in [0, 1], lengths in frames (the reference included), localization error in pixels.

        Without any correct match the error is NaN: 0 would be the best of all.
        """
        tracks = sum(self.length_histogram)
        length = sum((k + 1) * n for k, n in enumerate(self.length_histogram)) / max(tracks, 1)
        return {
            "keypoints": self.keypoints / max(self.references, 1),
            "repeatability": self.repeatable / max(self.candidates, 1),
            "precision": self.found / max(self.matches, 1),
            "matching_score": 2 * self.found / max(self.candidates, 1),
            "correct_matches": self.found / max(self.references * len(self.visible_at), 1),
            "track_length": length,
            "completeness": self.found / max(self.visible, 1),
            "survival": self.found_through[-1] / max(self.visible_through[-1], 1) if self.found_through else 0.0,
            "localization_px": sum(self.error_at) / self.found if self.found else math.nan,
        }

    def curves(self) -> dict[str, np.ndarray]:
        """Per target, float64 (T - 1,), NaN where nothing is visible (or found): completeness, survival, error."""
        return {
            "completeness_at": _ratio(self.found_at, self.visible_at),
            "survival_at": _ratio(self.found_through, self.visible_through),
            "localization_px_at": _ratio(self.error_at, self.found_at),
        }


NO_SCORES = TrackScores(0, 0, 0, 0, 0, 0, (), (), (), (), (), ())
"""Neutral element of the sum."""


def track_scores(
    features: list[Features],
    sequence: SequenceBatch,
    threshold_px: float = THRESHOLD_PX,
    matcher: Matcher = match,
) -> TrackScores:
    """Scores of the features of one sequence (batch size 1); by default matched by plain mutual nearest neighbours."""
    reference = features[0]
    matches = unknown = repeatable = candidates = 0
    visible, found = (torch.zeros(len(features) - 1, len(reference), dtype=torch.bool) for _ in range(2))
    errors = []
    for t in range(1, len(features)):
        target = features[t]
        forth = sequence.geometry.warp(0, t, reference.keypoints[None])
        back = sequence.geometry.warp(t, 0, target.keypoints[None])
        seen, seen_back = forth.visible[0], back.visible[0]
        near = _near(forth.xy[0][seen], target.keypoints, threshold_px)
        near_back = _near(back.xy[0][seen_back], reference.keypoints, threshold_px)
        repeatable += int(near.sum() + near_back.sum())
        candidates += int(seen.sum() + seen_back.sum())

        i, j = matcher(reference, target).indices.unbind(1)
        known = forth.state[0] != PointState.UNKNOWN
        error = (forth.xy[0, i] - target.keypoints[j]).norm(dim=-1)
        correct = seen[i] & (error < threshold_px)
        visible[t - 1] = seen
        found[t - 1, i[correct]] = True
        matches += int(known[i].sum())
        unknown += int((~known).sum())
        errors.append(float(error[correct].sum()))
    through = visible.cumprod(0).bool()
    return TrackScores(
        keypoints=len(reference),
        references=1,
        matches=matches,
        unknown=unknown,
        repeatable=repeatable,
        candidates=candidates,
        visible_at=tuple(visible.sum(1).tolist()),
        found_at=tuple(found.sum(1).tolist()),
        error_at=tuple(errors),
        visible_through=tuple(through.sum(1).tolist()),
        found_through=tuple((through & found.cumprod(0).bool()).sum(1).tolist()),
        length_histogram=tuple(found.sum(0).bincount(minlength=len(features)).tolist()),
    )


def bootstrap(scores: list[TrackScores], seed: int = 0, rounds: int = 1000) -> dict[str, float]:
    """95 % intervals (percentiles over `rounds`) of completeness and track length if other sequences had been drawn.

    Sequences are drawn with replacement, and summed before the division, as the totals are. NaN below two sequences.
    """
    names = ("completeness", "track_length")
    if len(scores) < 2:
        return {f"{name}_{end}": float("nan") for name in names for end in ("low", "high")}
    found, visible, keypoints = (
        np.array([getattr(score, name) for score in scores], dtype=np.float64)
        for name in ("found", "visible", "keypoints")
    )
    drawn = np.random.default_rng(seed).integers(len(scores), size=(rounds, len(scores)))
    total_found, total_keypoints = found[drawn].sum(1), np.maximum(keypoints[drawn].sum(1), 1)
    values = {
        "completeness": total_found / np.maximum(visible[drawn].sum(1), 1),
        "track_length": 1 + total_found / total_keypoints,
    }
    out = {}
    for name in names:
        out[f"{name}_low"], out[f"{name}_high"] = np.percentile(values[name], (2.5, 97.5)).tolist()
    return out


def _ratio(numerator: tuple[float, ...], denominator: tuple[int, ...]) -> np.ndarray:
    below = np.array(denominator, dtype=np.float64)
    return np.array(numerator, dtype=np.float64) / np.where(below > 0, below, np.nan)


def _near(xy: Tensor, keypoints: Tensor, threshold_px: float) -> Tensor:
    if not len(xy) or not len(keypoints):
        return torch.zeros(len(xy), dtype=torch.bool)
    # The default mode squares coordinates of hundreds of pixels in float32, and is off by tenths of a pixel.
    return torch.cdist(xy, keypoints, compute_mode="donot_use_mm_for_euclid_dist").amin(1) < threshold_px
