"""How long tracks live."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from traqpoint.types import Tracks


@dataclass(frozen=True)
class TrackStatistics:
    """Numbers over all tracks of a video or collection, those that ended early included."""

    num_frames: int
    num_tracks: int
    num_observations: int
    mean_length: float
    """Observations per track; 0 without tracks."""
    max_length: int
    length_histogram: tuple[int, ...]
    """Entry n: how many tracks have exactly n observations; up to max_length."""
    survival: tuple[float, ...]
    """Entry n: share of the tracks with at least n observations; starts with 1, 1 for n = 0, 1."""
    observations_per_frame: tuple[int, ...]
    """(num_frames,) tracks seen in each frame."""


def track_statistics(tracks: Tracks) -> TrackStatistics:
    """Lengths, survival and coverage of `tracks`."""
    lengths = tracks.track_id.unique(return_counts=True)[1]
    histogram = lengths.bincount() if lengths.numel() else torch.zeros(1, dtype=torch.long)
    at_least = histogram.flip(0).cumsum(0).flip(0)
    count = lengths.numel()
    return TrackStatistics(
        num_frames=tracks.num_frames,
        num_tracks=count,
        num_observations=tracks.frame.numel(),
        mean_length=tracks.frame.numel() / count if count else 0.0,
        max_length=int(lengths.max()) if count else 0,
        length_histogram=tuple(histogram.tolist()),
        survival=tuple((at_least.double() / count).tolist()) if count else (),
        observations_per_frame=tuple(tracks.frame.bincount(minlength=tracks.num_frames).tolist()),
    )
