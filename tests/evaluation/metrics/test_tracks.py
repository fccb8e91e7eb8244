import math

import pytest
import torch

from traqpoint.evaluation.metrics.tracks import NO_SCORES, track_scores
from traqpoint.geometry.warp import HomographyGeometry
from traqpoint.types import Features, SequenceBatch


def sequence(T=3, side=100, shift=10.0):
    """T frames of a plane, each shifted by `shift` px to the left of the one before."""
    H = torch.stack([torch.tensor([[1.0, 0, -shift * t], [0, 1, 0], [0, 0, 1]]) for t in range(T)])[None]
    return SequenceBatch(torch.zeros(1, T, 3, side, side), HomographyGeometry(H, torch.ones(1, T, side, side).bool()))


def features(xy, ids):
    """Keypoints with one-hot descriptors by identity."""
    return Features(torch.tensor(xy).reshape(-1, 2), torch.ones(len(xy)), torch.eye(16)[ids], (100, 100))


def perfect(frames=3):
    points = torch.tensor([[50.0, 20], [60, 40], [70, 60], [5, 80]])
    out = []
    for t in range(frames):
        moved = points - torch.tensor([10.0 * t, 0])
        keep = moved[:, 0] >= 0
        out.append(features(moved[keep].tolist(), keep.nonzero().flatten().tolist()))
    return out


def test_perfect_features_score_perfectly_and_a_point_that_left_is_not_missed():
    scores = track_scores(perfect(), sequence())
    summary = scores.summary()
    assert scores.visible == 6  # three points in two targets; the fourth has left the image
    assert summary["completeness"] == summary["precision"] == summary["repeatability"] == 1
    assert summary["localization_px"] == 0
    assert scores.length_histogram == (1, 0, 3)
    assert summary["track_length"] == pytest.approx((1 + 3 * 3) / 4)


def test_known_noise_gives_the_known_error():
    found = perfect()
    noisy = [found[0]] + [
        Features(f.keypoints + torch.tensor([0.6, 0.8]), f.scores, f.descriptors, f.image_size) for f in found[1:]
    ]
    summary = track_scores(noisy, sequence()).summary()
    assert summary["localization_px"] == pytest.approx(1.0, abs=1e-4)
    assert summary["completeness"] == 1


def test_a_match_beyond_the_threshold_is_wrong():
    found = perfect(2)
    off = Features(found[1].keypoints + 4, found[1].scores, found[1].descriptors, (100, 100))
    summary = track_scores([found[0], off], sequence(2)).summary()
    assert summary["completeness"] == summary["precision"] == summary["repeatability"] == 0


def test_a_match_of_a_point_that_left_is_wrong():
    reference = features([[5.0, 50]], [0])
    target = features([[50.0, 50]], [0])
    scores = track_scores([reference, target], sequence(2))
    assert (scores.matches, scores.found, scores.visible) == (1, 0, 0)


def test_a_dead_track_still_counts():
    found = perfect()
    nothing = features([], [])
    summary = track_scores([found[0], found[1], nothing], sequence()).summary()
    assert summary["completeness"] == 0.5
    assert summary["track_length"] == pytest.approx((1 + 3 * 2) / 4)


def test_no_keypoints_give_zero_scores_not_an_error():
    nothing = features([], [])
    summary = track_scores([nothing, nothing], sequence(2)).summary()
    assert math.isnan(summary.pop("localization_px")) and all(value == 0 for value in summary.values())


def test_scores_of_sequences_add_up():
    one = track_scores(perfect(), sequence())
    both = NO_SCORES + one + one
    assert both.visible == 2 * one.visible and both.references == 2
    assert both.summary() == pytest.approx(one.summary())
