import math

import pytest
import torch
from planes import SIZE, H, features, keypoints, one_to_one

from traqpoint.data.testsets.hpatches import HomographyPair
from traqpoint.evaluation.metrics.homography import corner_error, repeatability, score_plane
from traqpoint.geometry.homography import apply_homography
from traqpoint.geometry.transforms import scaling, translation
from traqpoint.matching.config import ESTIMATORS, RobustConfig


def test_repeatability_counts_both_directions_and_only_what_the_other_image_sees():
    shift = translation(100.0, 0.0).double()  # a's x < 220 is seen by b at x + 100
    a = torch.tensor([[50.0, 50.0], [60.0, 100.0], [300.0, 50.0]], dtype=torch.float64)  # the last one leaves b
    b = torch.tensor([[150.0, 52.0], [20.0, 20.0]], dtype=torch.float64)  # near the first; the other was never in a
    # Seen: two of a, one of b. Repeated: one of a, one of b.
    assert repeatability(a, b, shift, SIZE, SIZE, 3.0) == pytest.approx(2 / 3)
    assert repeatability(a, b, shift, SIZE, SIZE, 2.0) == 0  # at the threshold is not below it
    assert repeatability(a, a[:0], shift, SIZE, SIZE, 3.0) == 0
    assert math.isnan(repeatability(a[2:], a[:0], shift, SIZE, SIZE, 3.0))


def test_repeatability_does_not_depend_on_the_direction():
    a, b = keypoints(), keypoints().flip(1)
    forth = repeatability(a, b, H, SIZE, SIZE, 3.0)
    assert 0 < forth < 1
    assert repeatability(b, a, torch.linalg.inv(H), SIZE, SIZE, 3.0) == forth


def test_the_corner_error_is_the_mean_over_the_corners():
    assert corner_error(H, H, SIZE) == 0
    moved = translation(3.0, 4.0).double()
    assert corner_error(moved @ H, H, SIZE) == pytest.approx(5)
    assert corner_error(-7 * moved @ H, H, SIZE) == pytest.approx(5)  # homographies have no scale and no sign
    eye = torch.eye(3, dtype=torch.float64)
    assert corner_error(scaling(1.1, 1.0).double(), eye, SIZE) == pytest.approx((0 + 32 + 32 + 0) / 4)
    horizon = eye.clone()
    horizon[2, 0] = -1 / 200
    assert corner_error(horizon, eye, SIZE) == math.inf


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_exact_matches_score_exactly(estimator):
    pytest.importorskip("poselib")
    xy = keypoints()
    a, b = features(xy), features(apply_homography(H, xy))
    score = score_plane(HomographyPair("a", "b", H, ""), a, b, one_to_one(80), RobustConfig(estimator))
    assert score.accuracy == (1, 1, 1) and score.repeatability == 1 and score.matches == score.inliers == 80
    assert score.corner_px < 0.01


def test_accuracy_is_the_share_of_matches_within_each_threshold():
    xy = keypoints(4)
    off = torch.tensor([[0.5, 0], [0, 2.0], [4.0, 0], [9.0, 0]])
    pair = HomographyPair("a", "b", H, "")
    score = score_plane(pair, features(xy), features(apply_homography(H, xy) + off), one_to_one(4))
    assert score.accuracy == (0.25, 0.5, 0.75)
    none = score_plane(pair, features(xy), features(xy), one_to_one(0))
    assert none.accuracy == (0, 0, 0) and none.corner_px == math.inf


def test_pixels_of_a_smaller_judged_size_are_larger():
    """An offset of 4 px is 2 px where images count as half as large; images of two sizes each have their own scale."""
    xy = keypoints()
    pair = HomographyPair("a", "b", H, "")
    a, b = features(xy, (640, 480)), features(apply_homography(H, xy) + torch.tensor([4.0, 0]), (640, 480))
    full = score_plane(pair, a, b, one_to_one(80))
    half = score_plane(pair, a, b, one_to_one(80), judged_long_side=320)
    assert full.accuracy == (0, 0, 1) and half.accuracy == (0, 1, 1)
    assert half.corner_px == pytest.approx(full.corner_px / 2, rel=1e-3)
    double = scaling(2, 2).double()
    large_b = features(apply_homography(double @ H, xy), (1280, 960))
    mixed = HomographyPair("a", "b", double @ H, "")
    score = score_plane(mixed, a, large_b, one_to_one(80), judged_long_side=320)
    assert score.accuracy == (1, 1, 1) and score.corner_px < 0.01
