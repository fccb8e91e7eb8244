import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from traqpoint.errors import GeometryError
from traqpoint.geometry.pixels import (
    colmap_from_opencv,
    colmap_K_from_opencv,
    inside,
    opencv_from_colmap,
    opencv_K_from_colmap,
    pixel_grid,
)
from traqpoint.geometry.transforms import (
    check_rigid,
    invert_rigid,
    look_at,
    rigid,
    rotation_from_quaternion,
)

pytestmark = pytest.mark.usefixtures("device")

quaternions = st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: sum(x * x for x in q) > 1e-2)
vectors = st.lists(st.floats(-10, 10), min_size=3, max_size=3)


def test_the_first_pixel_s_centre_is_half_here_and_zero_in_opencv():
    assert opencv_from_colmap(torch.tensor([0.5, 0.5])).tolist() == [0, 0]
    assert colmap_from_opencv(np.zeros(2)).tolist() == [0.5, 0.5]


def test_a_projection_with_converted_calibration_lands_on_the_converted_pixel():
    K = torch.tensor([[500.0, 0, 320], [0, 510, 240], [0, 0, 1]])
    ray = torch.tensor([0.1, -0.2, 1.0])
    assert torch.allclose((colmap_K_from_opencv(K) @ ray)[:2], colmap_from_opencv((K @ ray)[:2]))
    assert torch.equal(opencv_K_from_colmap(colmap_K_from_opencv(K)), K)
    assert K[0, 2] == 320 and isinstance(colmap_K_from_opencv(K.cpu().numpy()), np.ndarray)


def test_the_pixel_grid_is_all_centres_row_by_row():
    assert pixel_grid(2, 3).tolist() == [[0.5, 0.5], [1.5, 0.5], [2.5, 0.5], [0.5, 1.5], [1.5, 1.5], [2.5, 1.5]]
    strided = pixel_grid(4, 6, stride=2)
    assert strided.dtype == torch.float32 and strided.tolist()[:4] == [[1, 1], [3, 1], [5, 1], [1, 3]]


def test_inside_includes_the_first_corner_excludes_the_last_and_refuses_nan():
    xy = torch.tensor([[0.0, 0.0], [3.999, 2.999], [4.0, 1.0], [1.0, 3.0], [-1e-6, 1.0], [torch.nan, 1.0]])
    assert inside(xy, 4, 3).tolist() == [True, True, False, False, False, False]
    assert inside(xy, 4, 3, margin=1.0).tolist() == [False] * 6


@given(quaternions, vectors, vectors)
def test_inverting_a_rigid_transform_undoes_it(q, t, x):
    pose = rigid(rotation_from_quaternion(torch.tensor(q, dtype=torch.float64)), torch.tensor(t, dtype=torch.float64))
    check_rigid(pose, "pose", tolerance=1e-9)
    torch.testing.assert_close(invert_rigid(pose) @ pose, torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-9)


def test_a_quaternion_of_a_quarter_turn_about_z_takes_x_to_y():
    R = rotation_from_quaternion(torch.tensor([1.0, 0, 0, 1.0]))
    torch.testing.assert_close(R @ torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0]))


@given(vectors, vectors)
def test_look_at_puts_the_target_on_the_optical_axis_and_down_downwards(eye, target):
    e, t = torch.tensor(eye, dtype=torch.float64), torch.tensor(target, dtype=torch.float64)
    across = (t - e)[[0, 2]].norm()
    if across < 1e-2:
        return  # Straight up or down has no "down".
    pose = look_at(e, t)
    check_rigid(pose, "pose", tolerance=1e-9)
    seen = pose[:3, :3] @ t + pose[:3, 3]
    torch.testing.assert_close(seen, torch.tensor([0, 0, (t - e).norm()], dtype=torch.float64), rtol=0, atol=1e-8)
    assert pose[1, 1] > 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p: p[:3], "4x4"),
        (lambda p: p * torch.nan, "NaN"),
        (lambda p: p * torch.tensor([1, 1, torch.inf, 1]), "NaN or infinity"),
        (lambda p: p @ torch.diag(torch.tensor([1.0, 1, -1, 1])), "not a rotation"),
        (lambda p: p @ torch.diag(torch.tensor([1.1, 1.1, 1.1, 1])), "not a rotation"),
        (lambda p: torch.zeros(4, 4), "not a rotation"),
        (lambda p: p + torch.eye(4)[3] * torch.tensor([[0.0], [0], [0], [1]]), "last row"),
    ],
)
def test_broken_poses_are_refused_by_name(change, reason):
    good = rigid(rotation_from_quaternion(torch.tensor([1.0, 0.2, 0.3, 0.1])), torch.ones(3))
    check_rigid(torch.stack([good, good]), "poses")
    with pytest.raises(GeometryError, match=f"frame 7.*{reason}"):
        check_rigid(change(good), "frame 7")
