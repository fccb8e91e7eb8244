"""Is it still the same point? Tracks of a whole video, births and deaths included, against its true geometry."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from traqpoint.types import Geometry, PointState, Tracks

LONG_TRACK = 10
"""Correct observations that make a track a long one."""


@dataclass(frozen=True)
class VideoTrackScores:
    """How well tracks of two or more observations stay on the point at which they began."""

    tracks: int
    """Tracks with two observations or more."""
    mean_length: float
    """Correct observations per track, the first one included."""
    precision: float
    """Share of the later observations, as far as their truth is known, that are correct."""
    long_tracks: int
    """Tracks with at least LONG_TRACK correct observations."""


def judge_observations(tracks: Tracks, geometry: Geometry, threshold_px: float = 3.0) -> tuple[Tensor, Tensor]:
    """(correct, known), both (M,) bool: each observation against its track's first one, carried by `geometry` (B = 1).

    Correct is within `threshold_px` of where the first observation's point is truly seen: small errors that add up
    count, and so does every frame after a jump to another point. Known is False where the truth is UNKNOWN; first
    observations are correct and known.
    """
    _, track, count = tracks.track_id.unique_consecutive(return_inverse=True, return_counts=True)
    first = (count.cumsum(0) - count)[track]
    begin = tracks.frame[first]
    correct, known = (torch.ones(len(tracks.frame), dtype=torch.bool) for _ in range(2))
    for source in begin.unique().tolist():
        for target in tracks.frame[begin == source].unique().tolist():
            if target == source:
                continue
            chosen = ((begin == source) & (tracks.frame == target)).nonzero().squeeze(1)
            truth = geometry.warp(source, target, tracks.xy[first[chosen]][None])
            near = (truth.xy[0] - tracks.xy[chosen]).norm(dim=-1) < threshold_px
            correct[chosen] = truth.visible[0] & near
            known[chosen] = truth.state[0] != PointState.UNKNOWN
    return correct, known


def video_track_scores(tracks: Tracks, geometry: Geometry, threshold_px: float = 3.0) -> VideoTrackScores:
    """Scores of the tracks that an OnlineTracker (or `build_tracks`) made of one sequence (batch size 1)."""
    correct, known = judge_observations(tracks, geometry, threshold_px)
    _, track, count = tracks.track_id.unique_consecutive(return_inverse=True, return_counts=True)
    length = torch.zeros(len(count), dtype=torch.long).index_add(0, track, correct.long())[count > 1]
    later = int(known.sum()) - len(count)
    return VideoTrackScores(
        tracks=len(length),
        mean_length=float(length.double().mean()) if len(length) else 0.0,
        precision=(int(correct.sum()) - len(count)) / max(later, 1),
        long_tracks=int((length >= LONG_TRACK).sum()),
    )
