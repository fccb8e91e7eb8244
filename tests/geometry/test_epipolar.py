import numpy as np
import pytest
import torch

from traqpoint.geometry.epipolar import (
    angle_between,
    essential_from_pose,
    fundamental_from_pose,
    sampson_distance,
    skew,
)
from traqpoint.geometry.transforms import rigid, rotation_from_quaternion

pytestmark = pytest.mark.usefixtures("device")

K0 = torch.tensor([[500.0, 0, 320], [0, 510, 240], [0, 0, 1]], dtype=torch.float64)
K1 = torch.tensor([[450.0, 0, 300], [0, 440, 250], [0, 0, 1]], dtype=torch.float64)
POSE = rigid(
    rotation_from_quaternion(torch.tensor([1.0, 0.05, -0.1, 0.03], dtype=torch.float64)),
    torch.tensor([0.4, -0.1, 0.2], dtype=torch.float64),
)


def matches(n=60):
    x = torch.rand(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 + torch.tensor(
        [-1, -1, 3]
    )
    y = x @ POSE[:3, :3].T + POSE[:3, 3]
    project = lambda K, p: (p @ K.T)[:, :2] / p[:, 2:]  # noqa: E731
    return x, y, project(K0, x), project(K1, y)


def test_skew_is_the_cross_product():
    a, b = torch.rand(2, 7, 3)
    torch.testing.assert_close((skew(a) @ b.unsqueeze(-1)).squeeze(-1), torch.linalg.cross(a, b))


def test_rays_and_pixels_of_the_same_point_satisfy_the_constraint():
    x, y, p, q = matches()
    assert ((y @ essential_from_pose(POSE)) * x).sum(1).abs().max() < 1e-12
    assert sampson_distance(fundamental_from_pose(POSE, K0, K1), p, q).max() < 1e-9


def test_sampson_distance_is_opencv_s():
    cv2 = pytest.importorskip("cv2")
    _, _, p, q = matches()
    q = q + torch.randn(q.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 3
    F = fundamental_from_pose(POSE, K0, K1)
    one = lambda v: np.append(v.cpu().numpy(), 1.0).reshape(3, 1)  # noqa: E731
    expected = [cv2.sampsonDistance(one(a), one(b), F.cpu().numpy()) ** 0.5 for a, b in zip(p, q, strict=True)]
    np.testing.assert_allclose(sampson_distance(F, p, q).cpu().numpy(), expected, rtol=1e-6)


def test_sampson_distance_of_a_sideways_camera_is_the_row_difference_over_root_two():
    F = fundamental_from_pose(rigid(torch.eye(3), torch.tensor([1.0, 0, 0])), torch.eye(3), torch.eye(3))
    got = sampson_distance(F, torch.tensor([[3.0, 5.0]]), torch.tensor([[9.0, 7.0]]))
    torch.testing.assert_close(got, torch.tensor([2 / 2**0.5]))


@pytest.mark.parametrize("degrees", [0.0, 1e-4, 0.1, 30.0, 90.0, 179.99, 180.0])
def test_angles_are_exact_from_tiny_to_half_a_turn(degrees):
    half = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64)) / 2
    axis = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    R = rotation_from_quaternion(torch.cat([half.cos()[None], half.sin() * axis]))
    base = POSE[:3, :3]
    assert float(angle_between(base, base @ R)) == pytest.approx(degrees, abs=1e-7)
