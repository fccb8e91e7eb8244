import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from traqpoint.errors import GeometryError
from traqpoint.geometry.camera import PARAMETERS, Camera, check_K
from traqpoint.geometry.homography import apply_homography
from traqpoint.geometry.transforms import horizontal_flip, scaling, translation

CAMERAS = {
    "SIMPLE_PINHOLE": [500.0, 321.5, 238.0],
    "PINHOLE": [500.0, 520.0, 321.5, 238.0],
    "SIMPLE_RADIAL": [500.0, 321.5, 238.0, -0.12],
    "OPENCV": [500.0, 520.0, 321.5, 238.0, -0.21, 0.05, 1.5e-3, -8e-4],
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
def test_unproject_undoes_project(model):
    rays = points() / points()[:, 2:]
    torch.testing.assert_close(make(model).unproject(make(model).project(rays)), rays, rtol=0, atol=1e-9)


def test_points_at_or_behind_the_camera_are_nan():
    behind = torch.tensor([[0.1, 0.2, 0.0], [0.1, 0.2, -1.0], [0.1, 0.2, 1.0]], dtype=torch.float64)
    assert make("OPENCV").project(behind).isnan().all(1).tolist() == [True, True, False]


sizes = st.integers(16, 3000)


@given(model=st.sampled_from(sorted(PARAMETERS)), width=sizes, height=sizes)
def test_resizing_commutes_with_projection(model, width, height):
    if model.startswith("SIMPLE"):
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
