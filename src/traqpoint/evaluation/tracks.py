"""How long do keypoints live? Tracks of one reference frame against the true geometry of a sequence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from traqpoint.matching.mutual import match
from traqpoint.types import Features, PointState, Sequence

Method = Callable[[Tensor], Features]
"""Image (3, H, W) float in [0, 1] -> Features."""


@dataclass(frozen=True)
class TrackScores:
    """Sums over frames, so that scores of many sequences add up. Frame 0 is the reference, all others are targets.

    A match is correct if it lies within `threshold_px` of the true projection; points whose truth is UNKNOWN are not
    counted anywhere, a match of a point that the target does not see is wrong.
    """

    keypoints: int
    """In reference frames."""
    references: int
    """Reference frames."""
    visible: int
    """(keypoint, target) pairs in which the reference keypoint is visible."""
    found: int
    """Of these, how many were correctly matched: a track that died still counts in `visible`."""
    matches: int
    """Matches with known truth."""
    error_sum: float
    """Pixels, over correct matches."""
    repeatable: int
    """Keypoints of either frame with a keypoint of the other within threshold_px of where they are seen."""
    candidates: int
    """Keypoints of either frame that the other one sees."""
    length_histogram: tuple[int, ...]
    """Entry k: reference keypoints found in exactly k targets."""

    def __add__(self, other: TrackScores) -> TrackScores:
        if not self.length_histogram:
            return other
        if len(self.length_histogram) != len(other.length_histogram):
            raise ValueError("scores of sequences of different lengths cannot be added")
        histogram = tuple(a + b for a, b in zip(self.length_histogram, other.length_histogram, strict=True))
        names = [name for name in self.__dataclass_fields__ if name != "length_histogram"]
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        return TrackScores(**sums, length_histogram=histogram)

    def summary(self) -> dict[str, float]:
        """Shares in [0, 1], lengths in frames (the reference included), localization error in pixels."""
        tracks = sum(self.length_histogram)
        length = sum((k + 1) * n for k, n in enumerate(self.length_histogram)) / max(tracks, 1)
        return {
            "keypoints": self.keypoints / max(self.references, 1),
            "repeatability": self.repeatable / max(self.candidates, 1),
            "precision": self.found / max(self.matches, 1),
            "correct_matches": self.found / max(self.references * (len(self.length_histogram) - 1), 1),
            "track_length": length,
            "completeness": self.found / max(self.visible, 1),
            "localization_px": self.error_sum / max(self.found, 1),
        }


NO_SCORES = TrackScores(0, 0, 0, 0, 0, 0.0, 0, 0, ())
"""Neutral element of the sum."""


def track_scores(features: list[Features], sequence: Sequence, threshold_px: float = 3.0) -> TrackScores:
    """Scores of the features of one sequence (batch size 1), matched by plain mutual nearest neighbours."""
    reference = features[0]
    length = torch.zeros(len(reference), dtype=torch.long)
    visible = found = matches = repeatable = candidates = 0
    error_sum = 0.0
    for t in range(1, len(features)):
        target = features[t]
        forth = sequence.geometry.warp(0, t, reference.keypoints[None])
        back = sequence.geometry.warp(t, 0, target.keypoints[None])
        seen, seen_back = forth.visible[0], back.visible[0]
        near = _near(forth.xy[0][seen], target.keypoints, threshold_px)
        near_back = _near(back.xy[0][seen_back], reference.keypoints, threshold_px)
        repeatable += int(near.sum() + near_back.sum())
        candidates += int(seen.sum() + seen_back.sum())

        i, j = match(reference, target).indices.unbind(1)
        known = forth.state[0, i] != PointState.UNKNOWN
        error = (forth.xy[0, i] - target.keypoints[j]).norm(dim=-1)
        correct = seen[i] & (error < threshold_px)
        length[i[correct]] += 1
        visible += int(seen.sum())
        found += int(correct.sum())
        matches += int(known.sum())
        error_sum += float(error[correct].sum())
    histogram = torch.bincount(length, minlength=len(features))
    return TrackScores(
        keypoints=len(reference),
        references=1,
        visible=visible,
        found=found,
        matches=matches,
        error_sum=error_sum,
        repeatable=repeatable,
        candidates=candidates,
        length_histogram=tuple(histogram.tolist()),
    )


def _near(xy: Tensor, keypoints: Tensor, threshold_px: float) -> Tensor:
    if not len(xy) or not len(keypoints):
        return torch.zeros(len(xy), dtype=torch.bool)
    # The default mode squares coordinates of hundreds of pixels in float32, and is off by tenths of a pixel.
    return torch.cdist(xy, keypoints, compute_mode="donot_use_mm_for_euclid_dist").amin(1) < threshold_px


def evaluate(method: Method, sequence: Sequence, threshold_px: float = 3.0) -> TrackScores:
    """Run `method` on every frame of one sequence (batch size 1) and score it."""
    return track_scores([method(image) for image in sequence.images[0]], sequence, threshold_px)
