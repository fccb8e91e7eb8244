"""Against OpenCV's own detector, matcher and estimator."""

import cv2
import numpy as np
import pytest
import torch

from traqpoint.errors import FormatError
from traqpoint.inference.copies import of_copy
from traqpoint.integrations.opencv import dmatches_of, features_from, keypoints_of, matches_from


def test_keypoints_survive_the_way_to_opencv_and_back(views):
    keypoints = keypoints_of(views[0])
    assert keypoints[0].pt == tuple((views[0].keypoints[0] - 0.5).tolist())
    back = features_from(keypoints, views[0].descriptors.numpy(), views[0].image_size)
    torch.testing.assert_close(back.keypoints, views[0].keypoints)
    torch.testing.assert_close(back.descriptors, views[0].descriptors)
    assert torch.equal(back.scores, views[0].scores)


def test_our_matches_are_those_of_opencvs_matcher(views, matches):
    expected = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True).match(*(f.descriptors.numpy() for f in views))
    ours = {(m.queryIdx, m.trainIdx): m.distance for m in dmatches_of(matches, *views)}
    theirs = {(m.queryIdx, m.trainIdx): m.distance for m in expected}
    assert ours.keys() == theirs.keys() and len(ours) > 100
    assert all(abs(ours[pair] - theirs[pair]) < 1e-4 for pair in ours)
    back = matches_from(dmatches_of(matches, *views))
    assert torch.equal(back.indices, matches.indices)
    torch.testing.assert_close(back.scores, matches.scores, atol=1e-4, rtol=0)


def test_opencv_draws_them(pictures, views, matches):
    keypoints = [keypoints_of(features) for features in views]
    drawn = cv2.drawMatches(pictures[0], keypoints[0], pictures[1], keypoints[1], dmatches_of(matches, *views), None)
    assert drawn.shape == (240, 640, 3) and not np.array_equal(drawn[:, :320], pictures[0])


def test_what_opencv_detects_is_features_best_first(pictures):
    keypoints, descriptors = cv2.SIFT_create(100).detectAndCompute(cv2.cvtColor(pictures[0], cv2.COLOR_RGB2GRAY), None)
    found = features_from(keypoints, descriptors, (320, 240))
    assert len(found) == len(keypoints) and bool((found.scores.diff() <= 0).all())
    torch.testing.assert_close(found.descriptors.norm(dim=-1), torch.ones(len(found)))
    best = max(keypoints, key=lambda keypoint: keypoint.response)
    torch.testing.assert_close(found.keypoints[0] - 0.5, torch.tensor(best.pt))


def test_nothing_is_nothing_and_unequal_numbers_are_told():
    assert len(features_from([], None, (4, 3))) == 0 and len(matches_from([])) == 0
    with pytest.raises(FormatError, match="1 keypoints and 2 descriptors"):
        features_from([cv2.KeyPoint(1, 1, 1)], np.zeros((2, 8)), (4, 3))


def test_size_and_angle_of_a_copy_are_opencvs(views):
    """In the image turned to the left, right is what was down: 90 degrees clockwise."""
    found = of_copy(views[0], 1)
    assert [(k.size, k.angle) for k in keypoints_of(found, 6)[:2]] == [(6, 90)] * 2
    assert keypoints_of(views[0])[0].angle == -1
