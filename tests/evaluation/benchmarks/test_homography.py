import math

import cv2
import numpy as np
import pytest
import research_data
import torch

from traqpoint.data.testsets.hpatches import HomographyPair, HomographyPairs, read_hpatches
from traqpoint.errors import ConfigError
from traqpoint.evaluation.benchmarks.homography import (
    HomographyConfig,
    corner_error,
    evaluate_homography,
    repeatability,
    score_plane,
)
from traqpoint.evaluation.methods.method import build_method
from traqpoint.evaluation.predict import Predictions, predict
from traqpoint.geometry.homography import apply_homography
from traqpoint.geometry.transforms import scaling, translation
from traqpoint.io.npz import NpzFeatures, NpzMatches
from traqpoint.matching.config import ESTIMATORS, RobustConfig
from traqpoint.types import Features, Matches

HOMOGRAPHY = research_data.DATA / "homography"
H = torch.tensor([[1.1, 0.08, -20.0], [-0.05, 0.93, 12.0], [2e-4, -1e-4, 1.0]], dtype=torch.float64)
SIZE = (320, 240)


def features(xy, image_size=SIZE):
    vectors = torch.zeros(len(xy), 4)
    vectors[:, 0] = 1
    return Features(xy.float(), torch.ones(len(xy)), vectors, image_size)


def one_to_one(count):
    index = torch.arange(count)
    return Matches(torch.stack([index, index], -1), torch.ones(count))


def keypoints(n=80):
    return torch.rand(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 180 + 30


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
    config = HomographyConfig(RobustConfig(estimator))
    score = score_plane(HomographyPair("a", "b", H, ""), a, b, one_to_one(80), config)
    assert score.accuracy == (1, 1, 1) and score.repeatability == 1 and score.matches == score.inliers == 80
    assert score.corner_px < 0.01


def test_accuracy_is_the_share_of_matches_within_each_threshold():
    xy = keypoints(4)
    off = torch.tensor([[0.5, 0], [0, 2.0], [4.0, 0], [9.0, 0]])
    pair = HomographyPair("a", "b", H, "")
    score = score_plane(pair, features(xy), features(apply_homography(H, xy) + off), one_to_one(4), HomographyConfig())
    assert score.accuracy == (0.25, 0.5, 0.75)
    none = score_plane(pair, features(xy), features(xy), one_to_one(0), HomographyConfig())
    assert none.accuracy == (0, 0, 0) and none.corner_px == math.inf


def test_pixels_of_a_smaller_judged_size_are_larger():
    """An offset of 4 px is 2 px where images count as half as large; images of two sizes each have their own scale."""
    xy = keypoints()
    pair = HomographyPair("a", "b", H, "")
    a, b = features(xy, (640, 480)), features(apply_homography(H, xy) + torch.tensor([4.0, 0]), (640, 480))
    full = score_plane(pair, a, b, one_to_one(80), HomographyConfig())
    half = score_plane(pair, a, b, one_to_one(80), HomographyConfig(judged_long_side=320))
    assert full.accuracy == (0, 0, 1) and half.accuracy == (0, 1, 1)
    assert half.corner_px == pytest.approx(full.corner_px / 2, rel=1e-3)
    double = scaling(2, 2).double()
    large_b = features(apply_homography(double @ H, xy), (1280, 960))
    mixed = HomographyPair("a", "b", double @ H, "")
    score = score_plane(mixed, a, large_b, one_to_one(80), HomographyConfig(judged_long_side=320))
    assert score.accuracy == (1, 1, 1) and score.corner_px < 0.01


def stored(folder, found, pairs, failed=()):
    store, matches = NpzFeatures(folder / "features"), NpzMatches(folder / "matches")
    for name, value in found.items():
        store.write(name, value)
    for a, b in pairs:
        if a in found and b in found:
            matches.write(a, b, one_to_one(min(len(found[a]), len(found[b]))))
    return Predictions("ours", store, matches, {"extractor": {}}, tuple(failed))


def test_means_are_over_all_pairs_with_failures_in_them_and_the_kinds_apart(tmp_path):
    xy = keypoints()
    found = {"v": features(xy), "w": features(apply_homography(H, xy)), "i": features(xy), "e": features(xy[:0])}
    pairs = (
        HomographyPair("v", "w", H, "viewpoint"),
        HomographyPair("v", "gone", H, "viewpoint"),
        HomographyPair("i", "e", torch.eye(3, dtype=torch.float64), "illumination"),
    )
    dataset = HomographyPairs("toy", {}, pairs)
    result = evaluate_homography(dataset, stored(tmp_path, found, dataset.names, ["gone.ppm: no such file"]))
    stats = result.stats
    assert stats["mma_3"] == pytest.approx(1 / 3) and stats["auc_5"] == pytest.approx(1 / 3, abs=1e-3)
    assert stats["failed"] == pytest.approx(2 / 3) and stats["repeatability"] == pytest.approx(1 / 3)
    assert stats["viewpoint_mma_3"] == 0.5 and stats["illumination_mma_3"] == stats["illumination_auc_5"] == 0
    assert stats["viewpoint_auc_1"] == pytest.approx(0.5, abs=1e-2)
    assert result.notes == (
        "1 of 3 pairs count as failed because an image could not be used",
        "1 of 3 pairs gave no homography: an infinite corner error",
        "gone.ppm: no such file",
    )
    assert result.protocol["estimator"]["threshold_px"] == 3.0


@pytest.mark.parametrize("wrong", [{"repeatable_px": 0.0}, {"judged_long_side": 0}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        HomographyConfig(**wrong)


@pytest.mark.skipif(not HOMOGRAPHY.is_dir(), reason="the research data is not there")
def test_on_a_real_sequence_the_accuracy_is_what_opencv_measures(tmp_path):
    """Recomputed from the files alone: OpenCV's pixels, OpenCV's perspectiveTransform, the published matrix."""
    dataset = read_hpatches(HOMOGRAPHY)
    method = build_method("SIFT", max_keypoints=500)
    predictions = predict(dataset.images, dataset.names, method, tmp_path)
    result = evaluate_homography(dataset, predictions)
    for row, k in enumerate(range(2, 7)):
        a, b, matches = predictions.pair("v_dogman/1.ppm", f"v_dogman/{k}.ppm")
        published = np.loadtxt(HOMOGRAPHY / "v_dogman" / f"H_1_{k}")
        source, target = (f.keypoints.double().numpy() - 0.5 for f in (a, b))
        i, j = matches.indices.numpy().T
        error = np.linalg.norm(cv2.perspectiveTransform(source[None], published)[0][i] - target[j], axis=1)
        expected = [(error <= t).mean() for t in (1, 3, 5)]
        np.testing.assert_allclose(result.arrays["accuracy"][row], expected, atol=2e-3)
    assert result.stats["mma_3"] > 0.4 and "viewpoint_mma_3" not in result.stats
