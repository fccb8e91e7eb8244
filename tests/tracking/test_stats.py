"""Track statistics by hand."""

import dataclasses
import json

import pytest
import torch

from traqpoint.tracking.stats import track_statistics
from traqpoint.types import Tracks

pytestmark = pytest.mark.usefixtures("device")


def tracks(observations: list[tuple[int, int]], num_frames: int) -> Tracks:
    """observations: (track, frame)."""
    rows = torch.tensor(observations, dtype=torch.long).reshape(-1, 2)
    return Tracks(
        rows[:, 1], torch.zeros(len(rows), dtype=torch.long), rows[:, 0], torch.zeros(len(rows), 2), num_frames
    )


def test_three_tracks_by_hand():
    """Tracks of 2, 2 and 4 observations; the one that dies early counts like the others; frame 4 is empty."""
    result = track_statistics(tracks([(0, 0), (0, 1), (3, 2), (3, 3), (7, 0), (7, 1), (7, 2), (7, 3)], 5))
    assert (result.num_frames, result.num_tracks, result.num_observations, result.max_length) == (5, 3, 8, 4)
    assert result.mean_length == 8 / 3
    assert result.length_histogram == (0, 0, 2, 0, 1)
    assert result.survival == (1.0, 1.0, 1.0, 1 / 3, 1 / 3)
    assert result.observations_per_frame == (2, 2, 2, 2, 0)


def test_no_tracks_are_valid_json():
    """An empty result has zeros and empty curves, and can be written."""
    result = track_statistics(tracks([], 3))
    assert (result.num_tracks, result.mean_length, result.survival) == (0, 0.0, ())
    assert result.observations_per_frame == (0, 0, 0)
    assert json.loads(json.dumps(dataclasses.asdict(result), allow_nan=False))["num_frames"] == 3
