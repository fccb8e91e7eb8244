import numpy as np
import pytest
import torch

from traqpoint.errors import ConfigError
from traqpoint.evaluation.metrics.pose import translation_angle_deg
from traqpoint.geometry.epipolar import angle_between, fundamental_from_pose, sampson_distance
from traqpoint.geometry.homography import apply_homography
from traqpoint.geometry.transforms import rigid, rotation_from_quaternion
from traqpoint.matching.config import ESTIMATORS, RobustConfig
from traqpoint.matching.verify import (
    FUNDAMENTAL_USUAL,
    HOMOGRAPHY_USUAL,
    POSE_USUAL,
    estimate_fundamental,
    estimate_homography,
    estimate_relative_pose,
)

K_A = torch.tensor([[800.0, 0, 320.5], [0, 810, 240.5], [0, 0, 1]], dtype=torch.float64)
K_B = torch.tensor([[1200.0, 0, 500], [0, 1190, 380], [0, 0, 1]], dtype=torch.float64)
POSE = rigid(
    rotation_from_quaternion(torch.tensor([1.0, 0.04, -0.12, 0.03], dtype=torch.float64)),
    torch.tensor([0.8, -0.1, 0.2], dtype=torch.float64),
)
H = torch.tensor([[1.1, 0.08, -20.0], [-0.05, 0.93, 12.0], [2e-4, -1e-4, 1.0]], dtype=torch.float64)
each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)


@pytest.fixture(autouse=True)
def libraries():
    pytest.importorskip("poselib")


def scene(n=200, outliers=0, noise=0.0, seed=0):
    """Matched pixels of points in front of both cameras; the first `outliers` of them point anywhere."""
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 3, dtype=torch.float64, generator=g) * torch.tensor([4, 3, 4]) + torch.tensor([-2, -1.5, 4])
    y = x @ POSE[:3, :3].T + POSE[:3, 3]
    a, b = ((p @ K.T)[:, :2] / p[:, 2:] for K, p in ((K_A, x), (K_B, y)))
    b[:outliers] = torch.rand(outliers, 2, dtype=torch.float64, generator=g) * 700
    return (xy + noise * torch.randn(n, 2, dtype=torch.float64, generator=g) for xy in (a, b))


def errors(found):
    rotation = float(angle_between(found.b_from_a[:3, :3], POSE[:3, :3]))
    return rotation, float(translation_angle_deg(found.b_from_a[:3, 3], POSE[:3, 3]))


@each_estimator
@pytest.mark.parametrize("outliers", [0, 100])
def test_exact_matches_give_the_exact_pose(estimator, outliers):
    a, b = scene(outliers=outliers)
    found = estimate_relative_pose(a, b, K_A, K_B, RobustConfig(estimator))
    assert max(errors(found)) < 0.01
    assert float(found.b_from_a[:3, 3].norm()) == pytest.approx(1)
    assert float(found.b_from_a[:3, 3] @ POSE[:3, 3]) > 0  # in front of both cameras: the sign is found, too
    assert found.inliers[outliers:].all() and found.inliers.shape == (200,)
    on_line = sampson_distance(fundamental_from_pose(POSE, K_A, K_B), a, b) < 2
    assert not (found.inliers & ~on_line).any()


@pytest.mark.slow
@each_estimator
def test_more_noise_means_more_error(estimator):
    """A third of the matches wrong; the error stays of the order of the noise over the focal length."""
    medians = []
    for noise in (0.02, 0.3, 2.0):
        runs = (estimate_relative_pose(*scene(300, 100, noise, s), K_A, K_B, RobustConfig(estimator)) for s in range(3))
        medians.append(float(np.median([max(errors(found)) for found in runs])))
    assert medians[0] < medians[1] < medians[2]
    assert medians[0] < 0.5 and medians[2] < 15


def test_local_optimisation_is_nearer_than_a_single_sample():
    """Why a number without its estimator says nothing: the same matches, the same threshold."""
    got = {}
    for estimator in ("opencv-ransac", "poselib"):
        config = RobustConfig(estimator, threshold_px=1.0)
        runs = (estimate_relative_pose(*scene(300, 100, 0.5, s), K_A, K_B, config) for s in range(4))
        got[estimator] = np.mean([max(errors(found)) for found in runs])
    assert got["poselib"] < 0.7 * got["opencv-ransac"]


@pytest.mark.slow
@each_estimator
def test_the_threshold_is_in_pixels_of_the_mean_focal_length(estimator):
    """The same picture at twice the resolution, with twice the threshold, has the same inliers."""
    a, b = scene(200, 80, 0.5)
    double = torch.diag(torch.tensor([2.0, 2, 1], dtype=torch.float64))
    small = estimate_relative_pose(a, b, K_A, K_B, RobustConfig(estimator, 1.0))
    large = estimate_relative_pose(2 * a, 2 * b, double @ K_A, double @ K_B, RobustConfig(estimator, 2.0))
    strict = estimate_relative_pose(a, b, K_A, K_B, RobustConfig(estimator, 0.1))
    assert abs(int(small.inliers.sum()) - int(large.inliers.sum())) <= 6
    assert int(strict.inliers.sum()) < int(small.inliers.sum())


@each_estimator
def test_a_shift_of_pixels_and_principal_points_changes_nothing(estimator):
    a, b = scene(100, 30, 0.2)
    shifted = [K.clone() for K in (K_A, K_B)]
    for K in shifted:
        K[:2, 2] += 0.5
    first = estimate_relative_pose(a, b, K_A, K_B, RobustConfig(estimator))
    second = estimate_relative_pose(a + 0.5, b + 0.5, *shifted, RobustConfig(estimator))
    torch.testing.assert_close(first.b_from_a, second.b_from_a, rtol=0, atol=1e-4)


@each_estimator
@pytest.mark.parametrize("count", [0, 1, 4])
def test_fewer_than_five_matches_give_no_pose(estimator, count):
    a, b = (xy[:count] for xy in scene())
    found = estimate_relative_pose(a, b, K_A, K_B, RobustConfig(estimator))
    assert found.b_from_a is None and found.inliers.tolist() == [False] * count


@each_estimator
def test_five_matches_give_a_pose_that_fits_them_or_none(estimator):
    a, b = (xy[:5] for xy in scene())
    found = estimate_relative_pose(a, b, K_A, K_B, RobustConfig(estimator))
    if found.b_from_a is not None:
        F = fundamental_from_pose(found.b_from_a, K_A, K_B)
        assert sampson_distance(F, a[found.inliers], b[found.inliers]).max() < 0.5


@each_estimator
@pytest.mark.parametrize("count", [5, 8, 50])
def test_degenerate_matches_never_raise_or_give_nan(estimator, count):
    point = torch.full((count, 2), 100.0)
    line = torch.arange(count)[:, None] * torch.tensor([1.0, 2.0])
    for a, b in ((point, point), (line, line), (point, line)):
        config = RobustConfig(estimator, max_iterations=1000)
        for found in (
            estimate_relative_pose(a, b, K_A, K_B, config),
            estimate_homography(a, b, config),
            estimate_fundamental(a, b, config),
        ):
            assert found.inliers.shape == (count,)
            if found.b_from_a is None:
                assert not found.inliers.any()
            else:
                assert torch.isfinite(found.b_from_a).all() and found.inliers.any()


@each_estimator
def test_exact_matches_of_a_plane_give_its_homography(estimator):
    a = torch.rand(100, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 400
    b = apply_homography(H, a)
    b[:40] = b[:40].flip(0)
    found = estimate_homography(a, b, RobustConfig(estimator))
    torch.testing.assert_close(found.b_from_a / found.b_from_a[2, 2], H, rtol=1e-4, atol=1e-4)
    assert found.inliers[40:].all() and int(found.inliers.sum()) <= 65
    assert estimate_homography(a[:3], b[:3], RobustConfig(estimator)).b_from_a is None


@each_estimator
@pytest.mark.parametrize("outliers", [0, 100])
def test_exact_matches_give_the_fundamental_matrix(estimator, outliers):
    a, b = scene(outliers=outliers)
    found = estimate_fundamental(a, b, RobustConfig(estimator))
    assert found.inliers[outliers:].all() and int(found.inliers.sum()) <= 200 - 0.8 * outliers
    assert sampson_distance(found.b_from_a, a[outliers:], b[outliers:]).max() < 0.1
    assert estimate_fundamental(a[:7], b[:7], RobustConfig(estimator)).b_from_a is None


def test_numbers_left_open_are_filled_in_per_estimator():
    assert RobustConfig("poselib").resolved(POSE_USUAL) == RobustConfig("poselib", 2.0, 100_000)
    assert RobustConfig().resolved(POSE_USUAL).threshold_px == 0.5
    assert RobustConfig(threshold_px=0.7).resolved(HOMOGRAPHY_USUAL).threshold_px == 0.7
    assert set(POSE_USUAL) == set(HOMOGRAPHY_USUAL) == set(FUNDAMENTAL_USUAL) == set(ESTIMATORS)


@pytest.mark.parametrize(
    "wrong", [{"estimator": "ransac"}, {"threshold_px": 0.0}, {"confidence": 1.0}, {"max_iterations": 0}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        RobustConfig(**wrong)
