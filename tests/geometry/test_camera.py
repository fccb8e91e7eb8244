import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from traqpoint.errors import GeometryError
from traqpoint.geometry.camera import PARAMETERS, Camera, check_K, fit_camera
from traqpoint.geometry.homography import apply_homography
from traqpoint.geometry.pixels import colmap_K_from_opencv
from traqpoint.geometry.transforms import horizontal_flip, scaling, translation

CAMERAS = {
    "SIMPLE_PINHOLE": [500.0, 321.5, 238.0],
    "PINHOLE": [500.0, 520.0, 321.5, 238.0],
    "SIMPLE_RADIAL": [500.0, 321.5, 238.0, -0.12],
    "RADIAL": [500.0, 321.5, 238.0, -0.18, 0.03],
    "OPENCV": [500.0, 520.0, 321.5, 238.0, -0.21, 0.05, 1.5e-3, -8e-4],
    "FULL_OPENCV": [500.0, 520.0, 321.5, 238.0, -0.3, 0.1, 1.5e-3, -8e-4, 0.02, 0.05, -0.03, 0.004],
    "SIMPLE_RADIAL_FISHEYE": [300.0, 321.5, 238.0, -0.05],
    "RADIAL_FISHEYE": [300.0, 321.5, 238.0, -0.04, 0.01],
    "OPENCV_FISHEYE": [300.0, 310.0, 321.5, 238.0, -0.02, 0.01, 1e-3, -8e-4],
}


def make(model):
    return Camera(model, (640, 480), torch.tensor(CAMERAS[model], dtype=torch.float64))


def points(n=200):
    xyz = torch.rand(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return torch.cat([xyz[:, :2] - 0.5, 0.8 + xyz[:, 2:]], dim=1)


@pytest.mark.parametrize("model", PARAMETERS)
def test_projection_equals_pycolmap(model):
    pycolmap = pytest.importorskip("pycolmap")
    reference = pycolmap.Camera(model=model, width=640, height=480, params=CAMERAS[model])
    expected = reference.img_from_cam(points().numpy())
    np.testing.assert_allclose(make(model).project(points()).numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("model", PARAMETERS)
def test_unprojection_equals_pycolmap(model):
    pycolmap = pytest.importorskip("pycolmap")
    reference = pycolmap.Camera(model=model, width=640, height=480, params=CAMERAS[model])
    pixels = torch.rand(200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * torch.tensor(
        [640, 480]
    )
    rays = make(model).unproject(pixels)
    assert (rays[:, 2] == 1).all()
    np.testing.assert_allclose(rays[:, :2].numpy(), reference.cam_from_img(pixels.numpy()), rtol=0, atol=1e-6)


@pytest.mark.parametrize("model", PARAMETERS)
def test_the_middle_of_the_picture_is_the_axis(model):
    """Where a fisheye's distance from the axis is 0 / 0."""
    axis = torch.tensor([0.0, 0, 1], dtype=torch.float64)
    torch.testing.assert_close(make(model).project(axis), make(model).K[:2, 2], rtol=0, atol=1e-12)
    torch.testing.assert_close(make(model).unproject(make(model).K[:2, 2]), axis, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("model", "params", "widest"),
    [("SIMPLE_RADIAL", [500.0, 320, 240, -0.4], 0.60), ("RADIAL_FISHEYE", [300.0, 320, 240, -0.2, 0.01], 0.9)],
)
def test_beyond_the_radius_at_which_a_lens_folds_back_there_is_no_ray(model, params, widest):
    """As in pycolmap, and up to there the rays are its rays."""
    pycolmap = pytest.importorskip("pycolmap")
    reference = pycolmap.Camera(model=model, width=640, height=480, params=params)
    camera = Camera(model, (640, 480), torch.tensor(params, dtype=torch.float64))
    pixels = torch.tensor([320.0, 240], dtype=torch.float64) + params[0] * torch.tensor(
        [[widest, 0], [0, -widest], [widest + 0.02, 0], [-1.1 * widest, 0.0], [1.5 * widest, 0], [0, 2 * widest]]
    )
    rays = camera.unproject(pixels)
    assert rays.isnan().any(1).tolist() == [False, False, True, True, True, True]
    np.testing.assert_allclose(rays[:, :2].numpy(), reference.cam_from_img(pixels.numpy()), rtol=0, atol=1e-6)


@pytest.mark.parametrize("count", [0, 4, 5, 8])
def test_a_calibration_of_opencv_becomes_a_camera(count):
    cv2 = pytest.importorskip("cv2")
    K = torch.tensor([[500.0, 0, 321], [0, 520, 237.5], [0, 0, 1]], dtype=torch.float64)
    distortion = CAMERAS["FULL_OPENCV"][4:][:count]
    camera = Camera.from_matrix(colmap_K_from_opencv(K), (640, 480), distortion)
    expected, _ = cv2.projectPoints(points().numpy(), np.zeros(3), np.zeros(3), K.numpy(), np.array(distortion))
    np.testing.assert_allclose(camera.project(points()).numpy(), expected[:, 0] + 0.5, rtol=0, atol=1e-6)
    assert camera.model == {0: "PINHOLE", 4: "OPENCV"}.get(count, "FULL_OPENCV")
    assert torch.equal(camera.K, colmap_K_from_opencv(K))


@pytest.mark.parametrize("model", PARAMETERS)
def test_undistorted_pixels_are_those_of_the_pinhole_camera(model):
    camera = make(model)
    straight = camera.undistorted(camera.project(points()))
    torch.testing.assert_close(straight, camera.pinhole.project(points()), rtol=0, atol=1e-6)
    assert camera.distorted != torch.equal(camera.pinhole.project(points()), camera.project(points()))


def test_a_camera_follows_its_image_unless_that_shows_another_picture():
    camera = make("OPENCV")
    assert fit_camera(camera, (640, 480), "a.jpg") is camera
    assert fit_camera(camera, (320, 240), "a.jpg").params[0] == 250
    with pytest.raises(GeometryError, match=r"a\.jpg: 480x640 px, but its camera has 640x480 .*EXIF"):
        fit_camera(camera, (480, 640), "a.jpg")


def test_a_matrix_with_skew_or_of_another_shape_is_no_camera():
    K = make("PINHOLE").K
    for wrong in (K.T, 2 * K, K + torch.eye(3).roll(1, 1) * torch.tensor([1.0, 0, 0])[:, None]):
        with pytest.raises(GeometryError, match="calibration matrix without skew"):
            Camera.from_matrix(wrong, (640, 480))
    with pytest.raises(GeometryError, match="12 coefficients"):
        Camera.from_matrix(K, (640, 480), [0.01] * 12)


@pytest.mark.parametrize("model", PARAMETERS)
def test_unproject_undoes_project(model):
    rays = points() / points()[:, 2:]
    torch.testing.assert_close(make(model).unproject(make(model).project(rays)), rays, rtol=0, atol=1e-9)


def test_points_at_or_behind_the_camera_are_nan():
    behind = torch.tensor([[0.1, 0.2, 0.0], [0.1, 0.2, -1.0], [0.1, 0.2, 1.0]], dtype=torch.float64)
    assert make("OPENCV").project(behind).isnan().all(1).tolist() == [True, True, False]


sizes = st.integers(16, 3000)


@given(model=st.sampled_from(sorted(PARAMETERS)), width=sizes, height=sizes)
def test_resizing_commutes_with_projection(model, width, height):
    if "f" in PARAMETERS[model]:
        width, height = width * 4, width * 3
    sx, sy = width / 640, height / 480
    moved = apply_homography(scaling(sx, sy).double(), make(model).project(points(20)))
    torch.testing.assert_close(make(model).resized((width, height)).project(points(20)), moved, rtol=1e-5, atol=1e-3)


@given(model=st.sampled_from(sorted(PARAMETERS)), x=st.floats(-300, 300), y=st.floats(-300, 300))
def test_cropping_commutes_with_projection(model, x, y):
    moved = apply_homography(translation(-x, -y).double(), make(model).project(points(20)))
    cropped = make(model).cropped((x, y), (100, 80))
    assert cropped.image_size == (100, 80)
    torch.testing.assert_close(cropped.project(points(20)), moved, rtol=0, atol=1e-3)


@given(width=sizes, x=st.floats(-1, 1), y=st.floats(-1, 1))
def test_flipping_commutes_with_projection(width, x, y):
    camera = Camera("PINHOLE", (width, 480), torch.tensor([400.0, 410.0, 0.4 * width, 200.0], dtype=torch.float64))
    mirrored = Camera("PINHOLE", (width, 480), torch.tensor([400.0, 410.0, 0.6 * width, 200.0], dtype=torch.float64))
    point = torch.tensor([[x, y, 2.0]], dtype=torch.float64)
    flipped = apply_homography(horizontal_flip(width).double(), camera.project(point))
    torch.testing.assert_close(mirrored.project(point * torch.tensor([-1, 1, 1])), flipped, rtol=0, atol=1e-9)


def test_a_camera_with_one_focal_length_cannot_be_stretched():
    with pytest.raises(GeometryError, match="SIMPLE_PINHOLE cannot be resized"):
        make("SIMPLE_PINHOLE").resized((640, 300))


@pytest.mark.parametrize(
    ("model", "params", "message"),
    [
        ("FISHEYE", [1.0], "FISHEYE"),
        ("PINHOLE", [1.0, 2.0, 3.0], "fx, fy, cx, cy"),
        ("SIMPLE_PINHOLE", [float("nan"), 1.0, 1.0], "finite"),
        ("SIMPLE_PINHOLE", [0.0, 1.0, 1.0], "positive"),
        ("PINHOLE", [500.0, -500.0, 1.0, 1.0], "positive"),
    ],
)
def test_broken_cameras_are_refused(model, params, message):
    with pytest.raises(GeometryError, match=message):
        Camera(model, (640, 480), torch.tensor(params))


def test_a_calibration_fits_its_image_or_is_refused():
    K = make("PINHOLE").K
    assert check_K(K, (640, 480), "a.jpg") is K
    normalised = K / torch.tensor([640.0, 480.0, 1.0])[:, None]
    for wrong in (K.T, normalised, 4 * K, K * torch.nan, -K):
        with pytest.raises(GeometryError, match=r"a.jpg: K = .* cannot be of an image of 640x480 px"):
            check_K(wrong, (640, 480), "a.jpg")
