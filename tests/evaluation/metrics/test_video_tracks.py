"""Tracks of a video against the truth, on a plane that moves 3 px to the right per frame."""

import torch

from traqpoint.evaluation.metrics.video_tracks import LONG_TRACK, judge_observations, video_track_scores
from traqpoint.geometry.warp import HomographyGeometry
from traqpoint.types import Tracks

H, W, FRAMES = 40, 100, 12


def moving_plane() -> HomographyGeometry:
    homographies = torch.eye(3).repeat(1, FRAMES, 1, 1)
    homographies[0, :, 0, 2] = 3.0 * torch.arange(FRAMES)
    return HomographyGeometry(homographies, torch.ones(1, FRAMES, H, W, dtype=torch.bool))


def make_tracks(*paths: list[tuple[int, float, float]]) -> Tracks:
    """Each path: (frame, x, y) of its observations."""
    rows = [(frame, i, x, y) for i, path in enumerate(paths) for frame, x, y in path]
    frame, track, x, y = (torch.tensor(column) for column in zip(*rows, strict=True))
    return Tracks(frame, torch.zeros_like(frame), track, torch.stack([x, y], dim=-1).float(), FRAMES)


def test_only_observations_on_the_first_point_are_correct():
    """A true track stays correct, a slow drift ends where it exceeds 3 px, and a jump never recovers elsewhere."""
    true = [(t, 10.0 + 3 * t, 5.0) for t in range(2, 6)]
    drift = [(t, 10.0 + 4 * t, 15.0) for t in range(6)]
    jump = [(0, 10.0, 25.0), (1, 13.0, 25.0), (2, 50.0, 25.0), (3, 53.0, 25.0), (4, 22.0, 25.0)]
    correct, known = judge_observations(make_tracks(true, drift, jump), moving_plane())
    expected = [True] * 4 + [True] * 3 + [False] * 3 + [True, True, False, False, True]
    assert correct.tolist() == expected and known.all()


def test_a_match_of_a_point_that_left_the_image_is_wrong_and_unknown_truth_is_not_counted():
    """OUTSIDE is a mistake, UNKNOWN (the first point lies on padding) is neither right nor wrong."""
    geometry = moving_plane()
    geometry.mask[0, 0, 30:] = False
    gone = [(0, 95.0, 5.0), (1, 98.0, 5.0), (2, 99.0, 5.0)]
    unknown = [(0, 10.0, 35.0), (1, 13.0, 35.0)]
    tracks = make_tracks(gone, unknown)
    correct, known = judge_observations(tracks, geometry)
    assert correct.tolist() == [True, True, False, True, False]
    assert known.tolist() == [True, True, True, True, False]
    assert video_track_scores(tracks, geometry).precision == 0.5


def test_scores_count_tracks_of_two_or_more_and_their_correct_part():
    """Two tracks of 12 and 4 frames, the second correct in 2 of them, and a lone keypoint that is no track."""
    long = [(t, 10.0 + 3 * t, 5.0) for t in range(12)]
    broken = [(0, 10.0, 25.0), (1, 13.0, 25.0), (2, 60.0, 25.0), (3, 60.0, 25.0)]
    scores = video_track_scores(make_tracks(long, broken, [(3, 40.0, 35.0)]), moving_plane())
    assert (scores.tracks, scores.mean_length, scores.long_tracks) == (2, 7.0, 1)
    assert scores.precision == 12 / 14 and LONG_TRACK == 10


def test_no_tracks_have_scores_too():
    """An empty result is zeros, no division by nothing."""
    empty = torch.empty(0, dtype=torch.long)
    scores = video_track_scores(Tracks(empty, empty, empty, torch.empty(0, 2), FRAMES), moving_plane())
    assert (scores.tracks, scores.mean_length, scores.precision, scores.long_tracks) == (0, 0.0, 0.0, 0)
