"""Calibrations in text files: OpenCV's, and what is wrong with them."""

import cv2
import numpy as np
import pytest
import torch

from traqpoint.errors import FormatError, GeometryError
from traqpoint.io.calibration import read_calibration, read_matrix


@pytest.mark.parametrize(
    "distortion", ["", " -0.2 0.05 0.002 -0.001", " 0.262383 -0.953104 -0.005358 0.002628 1.163314"]
)
def test_a_calibration_projects_as_opencv_does_half_a_pixel_beside(tmp_path, distortion):
    (tmp_path / "camera.txt").write_text(f"# fx fy cx cy k1 k2 p1 p2 k3\n500 510 320 240{distortion}\n")
    camera = read_calibration(tmp_path / "camera.txt", (640, 480))
    points = np.array([[0.1, 0.2, 1], [-0.5, 0.3, 1], [0, 0, 1]])
    K = np.array([[500.0, 0, 320], [0, 510, 240], [0, 0, 1]])
    expected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), K, np.array(distortion.split(), dtype=float))
    pixels = camera.project(torch.from_numpy(points))
    np.testing.assert_allclose(pixels.numpy(), expected[:, 0] + 0.5, atol=1e-9)
    straight = torch.from_numpy(points @ K.T)[:, :2] + 0.5
    torch.testing.assert_close(camera.undistorted(pixels), straight, rtol=0, atol=1e-9)
    assert camera.undistorted(torch.empty(0, 2)).shape == (0, 2)


def test_a_matrix_is_read_with_its_principal_point_moved_to_our_pixels(tmp_path):
    np.savetxt(tmp_path / "K.txt", [[500, 0, 319.5], [0, 510, 239.5], [0, 0, 1]])
    assert read_matrix(tmp_path / "K.txt").tolist() == [[500, 0, 320], [0, 510, 240], [0, 0, 1]]
    np.savetxt(tmp_path / "K.txt", [[500, 2, 319.5], [0, 510, 239.5], [0, 0, 1]])
    with pytest.raises(GeometryError, match=r"K\.txt: not a calibration matrix"):
        read_matrix(tmp_path / "K.txt")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("1 2 3\n", FormatError, "expected 3 rows of 3 numbers"),
        ("1 2 3 4 5\n", FormatError, "expected 3 or 4 or 8 or 9 numbers, got 5"),
        ("-5 5 3 3\n", GeometryError, "focal lengths must be positive"),
        ("", FormatError, "no numbers"),
    ],
)
def test_a_wrong_calibration_is_told(tmp_path, text, error, message):
    path = tmp_path / "camera.txt"
    path.write_text(text)
    with pytest.raises(error, match=r"camera\.txt.*" + message):
        read_calibration(path, (640, 480))


SIZE = (640, 480)


def in_rows(folder):
    path = folder / "K.txt"
    path.write_text("500 0 319.5\n0 510 239.5\n0 0 1\n")
    return path


def of_kitti(folder):
    path = folder / "calib.txt"
    path.write_text("P0: 500 0 319.5 0 0 510 239.5 0 0 0 1 0\nP1: 1 0 0 0 0 1 0 0 0 0 1 0\n")
    return path


def of_kitti_without_labels(folder):
    path = folder / "calib.txt"
    path.write_text("500 0 319.5 0 0 510 239.5 0 0 0 1 0\n1 0 0 0 0 1 0 0 0 0 1 0\n")
    return path


def of_opencv(folder):
    path = folder / "camera.yaml"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", 640)
    storage.write("image_height", 480)
    storage.write("camera_matrix", np.array([[500, 0, 319.5], [0, 510, 239.5], [0, 0, 1]]))
    storage.write("distortion_coefficients", np.zeros((5, 1)))
    storage.release()
    return path


def of_colmap(folder):
    pycolmap = pytest.importorskip("pycolmap")
    model = pycolmap.Reconstruction()
    for number, size in enumerate((SIZE, (1000, 1000)), start=1):
        model.add_camera(
            pycolmap.Camera(
                camera_id=number, model="PINHOLE", width=size[0], height=size[1], params=[500, 510, 320, 240]
            )
        )
    model.write_text(folder)
    return folder / "cameras.txt"


@pytest.mark.parametrize("write", [in_rows, of_kitti, of_kitti_without_labels, of_opencv, of_colmap])
def test_every_kind_of_file_is_the_same_camera_and_of_its_image_size_alone(tmp_path, write):
    path = write(tmp_path)
    camera = read_calibration(path, SIZE)
    assert camera.K.tolist() == [[500, 0, 320], [0, 510, 240], [0, 0, 1]] and not camera.distorted
    for wrong in ((1280, 960), (320, 240)):
        with pytest.raises(GeometryError, match=f"{wrong[0]}x{wrong[1]}"):
            read_calibration(path, wrong)


def test_a_photograph_in_place_of_a_calibration_is_told(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(FormatError, match=r"a\.jpg: cannot be read \(not a text file\)"):
        read_calibration(tmp_path / "a.jpg", SIZE)
