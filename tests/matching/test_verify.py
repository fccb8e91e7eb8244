"""tp.verify on two views of a scene whose motion is known."""

import pytest
import torch

import traqpoint as tp
from traqpoint.errors import ConfigError, FormatError, GeometryError
from traqpoint.geometry.camera import Camera
from traqpoint.geometry.epipolar import angle_between, essential_from_pose, fundamental_from_pose, sampson_distance
from traqpoint.geometry.homography import apply_homography
from traqpoint.geometry.transforms import rigid, rotation_from_quaternion
from traqpoint.matching.config import ESTIMATORS

CAMERAS = (
    Camera("OPENCV", (640, 480), torch.tensor([600.0, 610, 320.5, 240.5, -0.1, 0.02, 0.001, -0.002])),
    Camera("SIMPLE_RADIAL", (1000, 760), torch.tensor([900.0, 500, 380, -0.05])),
)
B_FROM_A = rigid(
    rotation_from_quaternion(torch.tensor([1.0, 0.04, -0.12, 0.03], dtype=torch.float64)),
    torch.tensor([0.8, -0.1, 0.2], dtype=torch.float64),
)
N, WRONG = 150, 50


@pytest.fixture(autouse=True)
def libraries():
    pytest.importorskip("poselib")


def features(xy, camera) -> tp.Features:
    descriptors = torch.ones(len(xy), 4) / 2
    return tp.Features(xy.float(), torch.ones(len(xy)), descriptors, camera.image_size)


def two_views(cameras):
    """Features of both images in another order each, and matches of which the first WRONG point anywhere."""
    g = torch.Generator().manual_seed(0)
    x = torch.rand(N, 3, dtype=torch.float64, generator=g) * torch.tensor([4, 3, 4]) + torch.tensor([-2, -1.5, 4])
    y = x @ B_FROM_A[:3, :3].T + B_FROM_A[:3, 3]
    i, j = torch.randperm(N, generator=g), torch.randperm(N, generator=g)
    a, b = cameras[0].project(x)[i.argsort()], cameras[1].project(y)[j.argsort()]
    wrong = j.clone()
    wrong[:WRONG] = j[:WRONG].roll(7)
    return features(a, cameras[0]), features(b, cameras[1]), tp.Matches(torch.stack([i, wrong], -1), torch.rand(N))


def pinhole(camera):
    K = camera.K.double()
    return Camera("PINHOLE", camera.image_size, torch.stack([K[0, 0], K[1, 1], K[0, 2], K[1, 2]]))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_with_cameras_the_motion_is_found_through_their_distortion(estimator):
    a, b, matches = two_views(CAMERAS)
    found = tp.verify(matches, a, b, cameras=CAMERAS, config=tp.RobustConfig(estimator))
    assert found.inliers.shape == (N,) and found.inliers[WRONG:].all() and int(found.inliers[:WRONG].sum()) < 10
    assert torch.equal(found.matches.indices, matches.indices[found.inliers])
    assert torch.equal(found.matches.scores, matches.scores[found.inliers])
    assert angle_between(found.b_from_a[:3, :3], B_FROM_A[:3, :3]) < 0.05
    assert torch.equal(found.matrix, essential_from_pose(found.b_from_a))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_without_cameras_the_epipolar_lines_are_found(estimator):
    cameras = tuple(map(pinhole, CAMERAS))
    a, b, matches = two_views(cameras)
    found = tp.verify(matches, a, b, config=tp.RobustConfig(estimator))
    assert found.inliers[WRONG:].all() and int(found.inliers[:WRONG].sum()) < 10 and found.b_from_a is None
    i, j = matches.indices[WRONG:].unbind(1)
    assert sampson_distance(found.matrix, a.keypoints[i].double(), b.keypoints[j].double()).max() < 0.5
    true = fundamental_from_pose(B_FROM_A, cameras[0].K, cameras[1].K)
    cosine = (found.matrix / found.matrix.norm() * true / true.norm()).sum().abs()
    assert cosine > 0.999


def test_a_calibration_matrix_will_do_for_a_camera():
    cameras = tuple(map(pinhole, CAMERAS))
    a, b, matches = two_views(cameras)
    by_camera = tp.verify(matches, a, b, cameras=cameras)
    by_matrix = tp.verify(matches, a, b, cameras=(cameras[0].K.float(), cameras[1].K))
    assert torch.equal(by_camera.inliers, by_matrix.inliers)


def test_a_plane_is_verified_by_its_homography():
    H = torch.tensor([[1.1, 0.08, -20.0], [-0.05, 0.93, 12.0], [2e-4, -1e-4, 1.0]], dtype=torch.float64)
    xy = torch.rand(N, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 400
    a, b = features(xy, CAMERAS[0]), features(apply_homography(H, xy), CAMERAS[1])
    rows = torch.arange(N)
    wrong = torch.cat([rows[:WRONG].roll(3), rows[WRONG:]])
    found = tp.verify(tp.Matches(torch.stack([rows, wrong], -1), torch.ones(N)), a, b, "homography")
    assert found.inliers[WRONG:].all() and int(found.inliers[:WRONG].sum()) < 5
    torch.testing.assert_close(found.matrix / found.matrix[2, 2], H, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("model", ["fundamental", "homography", "essential"])
def test_too_few_matches_are_a_result_without_any(model):
    a, b, matches = two_views(CAMERAS)
    for count in (0, 3):
        few = tp.Matches(matches.indices[:count], matches.scores[:count])
        found = tp.verify(few, a, b, model, cameras=CAMERAS if model == "essential" else None)
        assert found.matrix is None and len(found.matches) == 0 and found.inliers.tolist() == [False] * count


def test_what_does_not_go_together_is_named():
    a, b, matches = two_views(CAMERAS)
    with pytest.raises(ConfigError, match="needs cameras"):
        tp.verify(matches, a, b, "essential")
    with pytest.raises(ConfigError, match="no use"):
        tp.verify(matches, a, b, "homography", cameras=CAMERAS)
    with pytest.raises(ConfigError, match="'affine' is not one of essential, fundamental, homography"):
        tp.verify(matches, a, b, "affine")
    with pytest.raises(FormatError, match="image b does not have: it has 10"):
        tp.verify(matches, a, features(torch.zeros(10, 2), CAMERAS[1]))
    with pytest.raises(GeometryError, match=r"\(640, 480\) pixels and the features of \(1000, 760\)"):
        tp.verify(matches, a, b, cameras=(CAMERAS[0], CAMERAS[0]))
    with pytest.raises(GeometryError, match=r"must be \(3, 3\)"):
        tp.verify(matches, a, b, cameras=(torch.eye(4), torch.eye(3)))
