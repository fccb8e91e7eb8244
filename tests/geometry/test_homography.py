import cv2
import numpy as np
import pytest
import torch

from traqpoint.errors import GeometryError
from traqpoint.geometry.homography import apply_homography, check_homography, homography_from_points
from traqpoint.geometry.pixels import colmap_from_opencv, opencv_from_colmap
from traqpoint.geometry.transforms import scaling, translation

pytestmark = pytest.mark.usefixtures("device")

H = torch.tensor([[1.1, 0.08, -20.0], [-0.05, 0.93, 12.0], [2e-4, -1e-4, 1.0]], dtype=torch.float64)


def pixels(n=50):
    return torch.rand(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 400


def test_applying_equals_opencv():
    expected = cv2.perspectiveTransform(pixels().cpu().numpy()[None], H.cpu().numpy())[0]
    np.testing.assert_allclose(apply_homography(H, pixels()).cpu().numpy(), expected, rtol=0, atol=1e-9)


def test_a_homography_of_opencv_pixels_needs_the_half_pixel_on_both_sides(device):
    shift = translation(0.5, 0.5).to(device, torch.float64)
    ours = apply_homography(shift @ H @ torch.linalg.inv(shift), pixels())
    theirs = cv2.perspectiveTransform(opencv_from_colmap(pixels().cpu().numpy())[None], H.cpu().numpy())[0]
    np.testing.assert_allclose(ours.cpu().numpy(), colmap_from_opencv(theirs), rtol=0, atol=1e-9)


def test_four_points_give_the_homography_that_opencv_gives():
    source = torch.tensor([[0.0, 0], [100, 5], [90, 120], [-8, 80]], dtype=torch.float64)
    target = apply_homography(H, source)
    expected = cv2.getPerspectiveTransform(
        source.cpu().numpy().astype(np.float32), target.cpu().numpy().astype(np.float32)
    )
    got = homography_from_points(source, target)
    np.testing.assert_allclose(got.cpu().numpy(), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(got, H, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(homography_from_points(source.expand(3, 4, 2), target.expand(3, 4, 2))[2], H)


def test_resizing_an_image_in_opencv_is_scaling_here(device):
    """cv2.resize samples as scaling of corner coordinates does, without any half pixel."""
    ramp = np.tile((np.arange(80, dtype=np.float32) + 0.5), (20, 1))
    small = cv2.resize(ramp, (40, 10), interpolation=cv2.INTER_AREA)
    centres = torch.stack([torch.arange(40) + 0.5, torch.full((40,), 0.5)], dim=-1)
    back = apply_homography(torch.linalg.inv(scaling(0.5, 0.5).to(device)), centres)
    np.testing.assert_allclose(small[0], back[:, 0].cpu().numpy(), atol=1e-5)


def test_points_behind_the_horizon_are_nan():
    tilted = torch.tensor([[1.0, 0, 0], [0, 1, 0], [-0.01, 0, 1]])
    got = apply_homography(tilted, torch.tensor([[50.0, 1.0], [100.0, 1.0], [150.0, 1.0]]))
    assert got.isnan().all(1).tolist() == [False, True, True]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_collinear_points_are_refused(dtype):
    line = torch.tensor([[0.0, 0], [10, 10], [20, 20], [5, 30]], dtype=dtype)
    square = torch.tensor([[0.0, 0], [10, 0], [10, 10], [0, 10]], dtype=dtype)
    with pytest.raises(GeometryError, match="collinear"):
        homography_from_points(line, square)


@pytest.mark.parametrize(
    ("matrix", "reason"),
    [
        (torch.full((3, 3), torch.nan), "NaN"),
        (torch.zeros(3, 3), "singular"),
        (torch.tensor([[1.0, 2, 3], [2, 4, 6], [0, 0, 1]]), "singular"),
        (torch.eye(4), "3x3"),
    ],
)
def test_broken_homographies_are_refused_by_name(matrix, reason):
    with pytest.raises(GeometryError, match=f"H_1_2.*{reason}"):
        check_homography(matrix, "H_1_2")


def test_a_proper_homography_passes_at_any_scale():
    for scale in (1.0, 1e-6, 1e6):
        assert torch.equal(check_homography(H * scale, "H"), H * scale)
