"""``traqpoint eval vo`` and ``traqpoint vo`` on a rendered ride past two walls."""

import json
import sys

import cv2
import numpy as np
import pytest
from films import write_film
from webcam import plug_in_webcam

from traqpoint.cli.main import main
from traqpoint.evaluation.result import Result
from traqpoint.image import write_image
from traqpoint.io.trajectory import read_kitti, read_tum
from traqpoint.io.video import read_frames

WIDTH, HEIGHT, FOCAL, FRAMES, BASELINE = 320, 240, 200.0, 6, 0.5


@pytest.fixture(scope="module")
def ride(tmp_path_factory):
    """A KITTI sequence: the camera moves to the right, the upper wall by 8 px per frame, the lower one by 4."""
    folder = tmp_path_factory.mktemp("ride")
    rng = np.random.default_rng(0)
    walls = [
        cv2.resize(rng.integers(0, 255, (HEIGHT // 8, WIDTH // 2), dtype=np.uint8), (4 * WIDTH // 2, HEIGHT // 2))
        for _ in range(2)
    ]
    for t in range(FRAMES):
        grey = np.concatenate([wall[:, s * t : s * t + WIDTH] for wall, s in zip(walls, (8, 4), strict=True)])
        write_image(folder / "image_0" / f"{t:06}.png", np.repeat(grey[..., None], 3, axis=-1))
    rows = [f"1 0 0 {BASELINE * t} 0 1 0 0 0 0 1 0" for t in range(FRAMES)]
    (folder / "poses.txt").write_text("\n".join(rows) + "\n")
    centre = f"{WIDTH / 2 - 0.5} 0 0 {FOCAL} {HEIGHT / 2 - 0.5} 0 0 0 1 0"
    (folder / "calib.txt").write_text(f"P0: {FOCAL} 0 {centre}\n")
    (folder / "camera.txt").write_text(f"{FOCAL} {FOCAL} {WIDTH / 2 - 0.5} {HEIGHT / 2 - 0.5}\n")
    return folder


@pytest.mark.slow
def test_methods_are_judged_and_leave_a_table_paths_and_a_picture(ride, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["eval", "vo", "--kitti", str(ride), "--methods", "SIFT", "ORB", "--out", str(out)]
    command += ["--mode", "keyframe", "--max-keypoints", "300", "--threshold-px", "1"]
    assert main(command) == 0
    table = capsys.readouterr().out
    assert "| SIFT |" in table and "| ORB |" in table and "alignment se3" in table and "scale truth" in table
    assert (out / "paths.png").stat().st_size > 0 and (out / "table.md").is_file()
    result = Result.load(out / "SIFT" / "result.json")
    assert result.stats["ate_rmse_m"] < 0.05 and result.stats["failed_frames"] == 0
    for path in (read_tum(out / "SIFT" / "path_tum.txt"), read_kitti(out / "SIFT" / "path_kitti.txt")):
        assert path.centres[:, 0].tolist() == pytest.approx([BASELINE * t for t in range(FRAMES)], abs=0.1)
    # Nothing is done again, and the same table comes out.
    before = (out / "SIFT" / "result.npz").stat().st_mtime_ns
    assert main(command) == 0
    assert capsys.readouterr().out == table
    assert (out / "SIFT" / "result.npz").stat().st_mtime_ns == before


def test_one_sequence_with_a_true_path_is_asked_for(ride, tmp_path, capsys):
    assert main(["eval", "vo", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "traqpoint: error: give one sequence: --kitti DIR or --tum DIR\n"
    assert main(["eval", "vo", "--kitti", str(tmp_path / "none"), "--out", str(tmp_path)]) == 1
    assert "a KITTI sequence has calib.txt" in capsys.readouterr().err
    blind = tmp_path / "blind"
    blind.mkdir()
    (blind / "calib.txt").write_text((ride / "calib.txt").read_text())
    (blind / "image_0").symlink_to(ride / "image_0")
    assert main(["eval", "vo", "--kitti", str(blind), "--out", str(tmp_path / "out")]) == 1
    assert "blind: there is no true path to judge by" in capsys.readouterr().err


def vo(ride, source, out, *options):
    common = ["--calibration", str(ride / "camera.txt"), "--max-keypoints", "300", "--device", "cpu"]
    return main(["vo", str(source), *common, "--out", str(out), *options])


def test_a_folder_becomes_a_path_in_both_formats(ride, tmp_path, capsys):
    assert vo(ride, ride / "image_0", tmp_path / "out") == 0
    assert f"{FRAMES} poses, 0 of them lost" in capsys.readouterr().out
    path = read_tum(tmp_path / "out" / "path_tum.txt")
    # Unit: the first step, to the right; the others are as long.
    assert path.centres[:, 0].tolist() == pytest.approx(list(range(FRAMES)), abs=0.3)
    assert (read_kitti(tmp_path / "out" / "path_kitti.txt").centres - path.centres).abs().max() < 1e-9
    assert (tmp_path / "out" / "path.png").stat().st_size > 0
    protocol = json.loads((tmp_path / "out" / "result.json").read_text())["protocol"]
    assert protocol["odometry"]["scale"] == "none" and protocol["estimator"]["estimator"] == "opencv-magsac"


def test_of_a_video_every_second_frame_can_be_used(ride, tmp_path, capsys):
    write_film(tmp_path / "ride.avi", read_frames(ride / "image_0"), 10)
    assert vo(ride, tmp_path / "ride.avi", tmp_path / "out", "--every", "2", "--max-frames", "3") == 0
    assert "3 poses, 0 of them lost" in capsys.readouterr().out
    names = sorted(path.name for path in (tmp_path / "out" / "frames").iterdir())
    assert names == ["000000.png", "000002.png", "000004.png"]


def test_bad_input_is_one_line(ride, tmp_path, capsys):
    assert vo(ride, tmp_path / "none.mp4", tmp_path / "out") == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert vo(ride, ride / "image_0", tmp_path / "out", "--every", "0") == 1
    assert "need every >= 1" in capsys.readouterr().err
    (tmp_path / "camera.txt").write_text("500\n")
    command = ["vo", str(ride / "image_0"), "--calibration", str(tmp_path / "camera.txt"), "--out", str(tmp_path / "o")]
    assert main(command) == 1
    assert "camera.txt:1: expected 3 or 4 or 8 or 9 numbers, got 1" in capsys.readouterr().err


def test_a_video_has_seconds_and_a_missing_library_is_told_before_the_work(ride, tmp_path, capsys, monkeypatch):
    write_film(tmp_path / "ride.avi", list(read_frames(ride / "image_0"))[:3], 10)
    assert vo(ride, tmp_path / "ride.avi", tmp_path / "out") == 0
    assert read_tum(tmp_path / "out" / "path_tum.txt").timestamps.tolist() == pytest.approx([0, 0.1, 0.2])
    capsys.readouterr()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert vo(ride, ride / "image_0", tmp_path / "other") == 1
    assert "matplotlib is not installed" in capsys.readouterr().err and not (tmp_path / "other").exists()


def test_a_path_that_is_wholly_lost_is_told_and_exits_with_1(ride, tmp_path, capsys):
    for t in range(3):
        write_image(tmp_path / "black" / f"{t}.png", np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8))
    assert vo(ride, tmp_path / "black", tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert "2 of 3 frames lost" in captured.err and "3 poses, 2 of them lost" in captured.out


@pytest.mark.slow
def test_a_film_shows_the_path_and_stands_in_for_a_window_where_there_is_none(ride, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("traqpoint.viz.window.why_no_window", lambda: "there is no screen")
    assert vo(ride, ride / "image_0", tmp_path / "out", "--show") == 0
    assert f"there is no screen; watch {tmp_path / 'out' / 'path.webm'} instead" in capsys.readouterr().err
    assert len(list(read_frames(tmp_path / "out" / "path.webm"))) == FRAMES
    (tmp_path / "out" / "path.webm").unlink()
    assert vo(ride, ride / "image_0", tmp_path / "out") == 0 and not (tmp_path / "out" / "path.webm").exists()
    assert vo(ride, ride / "image_0", tmp_path / "out", "--film") == 0 and (tmp_path / "out" / "path.webm").is_file()


def test_a_webcam_is_a_source_and_two_sources_are_one_too_many(ride, tmp_path, capsys, monkeypatch):
    plug_in_webcam(monkeypatch, cv2.imread(str(ride / "image_0" / "000000.png")))
    common = ["--calibration", str(ride / "camera.txt"), "--max-keypoints", "100", "--device", "cpu", "--camera", "0"]
    assert main(["vo", *common, "--out", str(tmp_path / "out"), "--max-frames", "3"]) == 0
    captured = capsys.readouterr()
    assert "the camera does not move" in captured.err and "3 poses, 0 of them lost" in captured.out
    assert read_tum(tmp_path / "out" / "path_tum.txt").centres.abs().max() == 0
    assert main(["vo", str(ride / "image_0"), *common, "--out", str(tmp_path / "two")]) == 1
    assert main(["vo", *common[:-2], "--out", str(tmp_path / "none")]) == 1
    line = "traqpoint: error: vo needs a video, a folder of frames or --camera 0, and one of them only\n"
    assert capsys.readouterr().err == 2 * line
