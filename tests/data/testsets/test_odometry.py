"""Sequences for odometry: KITTI's layouts, TUM's, and plain images with a calibration."""

import numpy as np
import pytest
import research_data

from traqpoint.data.testsets.kitti import read_kitti_sequence
from traqpoint.data.testsets.odometry import read_image_sequence, read_tum_sequence
from traqpoint.errors import DataError, FormatError, GeometryError
from traqpoint.image import write_image

KITTI = research_data.DATA / "vo/kitti_07_start"
P0 = "700 0 600 0 0 700 180 0 0 0 1 0"
P2 = "700 0 600 42 0 700 180 0 0 0 1 0"
POSES = "1 0 0 0 0 1 0 0 0 0 1 0\n1 0 0 0 0 1 0 0 0 0 1 2\n"


def images(folder, names=("000000.png", "000001.png")):
    for name in names:
        write_image(folder / name, np.zeros((8, 16, 3), dtype=np.uint8))


def official(folder, camera="image_0", name="07", poses=True):
    """sequences/07 and poses/07.txt below `folder`; returns the sequence's folder."""
    sequence = folder / "sequences" / name
    images(sequence / camera)
    (sequence / "calib.txt").write_text(f"P0: {P0}\nP1: {P0}\nP2: {P2}\nP3: {P0}\nTr: {P0}\n")
    (sequence / "times.txt").write_text("0.0\n1.037e-01\n")
    if poses:
        (folder / "poses").mkdir()
        (folder / "poses" / f"{name}.txt").write_text(POSES)
    return sequence


def test_the_official_layout_of_kitti_is_read(tmp_path):
    sequence = read_kitti_sequence(official(tmp_path))
    assert sequence.name == "07" and list(sequence.images) == ["000000.png", "000001.png"]
    assert sequence.camera.K.tolist() == [[700, 0, 600.5], [0, 700, 180.5], [0, 0, 1]]  # integer centres in the file
    assert sequence.timestamps.tolist() == [0.0, 0.1037]
    assert sequence.truth.centres.tolist() == [[0, 0, 0], [0, 0, 2]]


def test_poses_are_those_of_the_camera_that_took_the_images(tmp_path):
    """Camera 2 is 42 / 700 m to the left of where camera 0 is: its centre is at x = -0.06."""
    sequence = read_kitti_sequence(official(tmp_path, camera="image_2"))
    assert sequence.truth.centres[:, 0].tolist() == pytest.approx([-0.06, -0.06])
    assert sequence.truth.centres[:, 2].tolist() == [0, 2]


def test_the_hidden_sequences_of_kitti_have_no_truth(tmp_path):
    assert read_kitti_sequence(official(tmp_path, name="11", poses=False)).truth is None


@pytest.mark.skipif(not KITTI.is_dir(), reason="research data is not there")
def test_a_folder_that_holds_everything_itself_is_read():
    sequence = read_kitti_sequence(KITTI)
    assert len(sequence.images) == len(sequence.truth) == 51
    assert sequence.camera.K[:2, 2].tolist() == pytest.approx([602.3873, 183.6104])
    assert float(sequence.truth.centres.diff(dim=0).norm(dim=-1).sum()) == pytest.approx(59.86, abs=0.01)


def test_what_is_wrong_with_a_kitti_folder_is_told(tmp_path):
    with pytest.raises(DataError, match=r"calib\.txt and a folder image_0"):
        read_kitti_sequence(tmp_path)
    sequence = official(tmp_path)
    with pytest.raises(DataError, match="holds several sequences"):
        read_kitti_sequence(tmp_path)
    images(sequence / "image_0", ["000002.png"])
    with pytest.raises(GeometryError, match="3 images, 2 timestamps and 2 poses"):
        read_kitti_sequence(sequence)
    for text in ("P0: 1 2 3\n", "P1: 1\n", f"P0: {P0.replace('700', 'x')}\n", ""):
        (sequence / "calib.txt").write_text(text)
        with pytest.raises(FormatError, match=r"calib\.txt: no 12 numbers of the projection P0"):
            read_kitti_sequence(sequence)
    (sequence / "calib.txt").write_text(f"P0: {P0.replace('700', '0')}\n")
    with pytest.raises(FormatError, match="P0 is not a projection"):
        read_kitti_sequence(sequence)


def tum(folder, poses="1.0 0 0 0 0 0 0 1\n2.0 1 0 0 0 0 0 1\n"):
    images(folder / "rgb", ["a.png", "b.png", "c.png"])
    (folder / "rgb.txt").write_text("# color images\n1.01 rgb/a.png\n1.99 rgb/b.png\n2.5 rgb/c.png\n")
    if poses:
        (folder / "groundtruth.txt").write_text(poses)
    return folder


def test_tum_images_take_the_pose_of_their_moment_and_those_without_are_told(tmp_path):
    sequence = read_tum_sequence(tum(tmp_path / "rgbd_dataset_freiburg1_desk"))
    assert list(sequence.images) == ["rgb/a.png", "rgb/b.png"]
    assert sequence.truth.centres[:, 0].tolist() == pytest.approx([0.01, 0.99])
    assert sequence.notes == ("1 of 3 images have no true pose at their time: left out",)
    assert sequence.camera.K[0, 2] == pytest.approx(318.643040 + 0.5)
    assert sequence.camera.distortion[4] == pytest.approx(1.163314)


def test_a_tum_sequence_of_another_camera_needs_a_calibration(tmp_path):
    folder = tum(tmp_path / "own", poses="")
    with pytest.raises(DataError, match="which camera"):
        read_tum_sequence(folder)
    (tmp_path / "camera.txt").write_text("500 500 8 4\n")
    sequence = read_tum_sequence(folder, tmp_path / "camera.txt")
    assert len(sequence.images) == 3 and sequence.truth is None and not sequence.camera.distorted


def test_plain_images_are_named_from_their_common_folder(tmp_path):
    images(tmp_path / "a", ["1.png"])
    images(tmp_path / "b", ["1.png"])
    (tmp_path / "camera.txt").write_text("# fx fy cx cy k1 k2 p1 p2\n500 510 8 4 0.1 0.01 0 0\n")
    sequence = read_image_sequence([tmp_path / "a" / "1.png", tmp_path / "b" / "1.png"], tmp_path / "camera.txt")
    assert list(sequence.images) == ["a/1.png", "b/1.png"]
    assert sequence.camera.K[1].tolist() == [0, 510, 4.5] and sequence.camera.image_size == (16, 8)
    assert sequence.camera.distortion.tolist() == [0.1, 0.01, 0, 0, 0, 0, 0, 0]
    with pytest.raises(DataError, match="two images or more, found 1"):
        read_image_sequence([tmp_path / "a" / "1.png"], tmp_path / "camera.txt")
