"""Scenes of the Strecha benchmark."""

import numpy as np
import pytest
import research_data
import torch

from traqpoint.errors import FormatError, GeometryError, ImageError
from traqpoint.image import write_image
from traqpoint.io.strecha import read_strecha, read_strecha_cameras

ENTRY = research_data.DATA / "posed/strecha/entry-P10"
LINE = "a.jpg 100 110 31.5 23.5 0 -1 0 1 0 0 0 0 1 7 8 9"


def test_principal_points_gain_half_a_pixel_and_poses_stay(tmp_path):
    (tmp_path / "cameras.txt").write_text(f"# header\n{LINE}\n")
    write_image(tmp_path / "images/a.jpg", np.zeros((48, 64, 3), dtype=np.uint8))
    view = read_strecha(tmp_path).images["a.jpg"]
    assert view.camera.model == "PINHOLE" and view.camera.image_size == (64, 48)
    assert view.camera.params.tolist() == [100, 110, 32, 24]
    expected = [[0, -1, 0, 7], [1, 0, 0, 8], [0, 0, 1, 9], [0, 0, 0, 1]]
    assert torch.equal(view.cam_from_world, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (f"{LINE} 1", FormatError, "cameras.txt:1: a camera is a name and 16 numbers, got 17"),
        (LINE.replace("7", "x"), FormatError, "cameras.txt:1"),
        (LINE.replace("-1", "-2"), GeometryError, "cameras.txt:1"),
        ("# nothing", FormatError, "no camera"),
        (LINE, ImageError, "a.jpg: no such file"),
    ],
)
def test_bad_files_are_told_by_file_and_line(tmp_path, text, error, words):
    (tmp_path / "cameras.txt").write_text(text)
    with pytest.raises(error, match=words):
        read_strecha(tmp_path)


def test_a_folder_without_cameras_is_told(tmp_path):
    with pytest.raises(FormatError, match=r"cameras\.txt: cannot be read"):
        read_strecha_cameras(tmp_path)


@pytest.mark.skipif(not ENTRY.is_dir(), reason=f"{ENTRY} is absent")
def test_entry_has_ten_cameras_of_one_calibration():
    views = list(read_strecha(ENTRY).images.values())
    assert len(views) == 10 and {view.camera.image_size for view in views} == {(1024, 683)}
    assert views[0].camera.params[2] == pytest.approx(507.06, abs=0.01)  # 506.56 in the file, from pixel centres
