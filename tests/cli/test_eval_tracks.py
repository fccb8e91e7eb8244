"""``traqpoint eval tracks`` from each of its sources."""

from functools import partial

import cv2
import numpy as np
import pytest
from random_inputs import blocks, write_pictures

from traqpoint.cli.main import main
from traqpoint.data.worlds.config import WorldsConfig
from traqpoint.evaluation.result import Result
from traqpoint.image import write_image

WIDTH, HEIGHT, FOCAL, DEPTH, SHIFT = 160, 120, 100.0, 2.0, 3


@pytest.fixture
def photos(tmp_path):
    return write_pictures(tmp_path / "photos", (blocks(320, 320, i) for i in range(2)))


@pytest.fixture
def recording(tmp_path):
    """The plain RGB-D layout: a wall at DEPTH that moves by SHIFT px per frame."""
    folder, wall = tmp_path / "recording", blocks(HEIGHT, 300, 0)
    for t in range(8):
        write_image(folder / "images" / f"{t:03}.png", np.ascontiguousarray(wall[:, SHIFT * t : SHIFT * t + WIDTH]))
        (folder / "depth").mkdir(exist_ok=True)
        cv2.imwrite(str(folder / "depth" / f"{t:03}.png"), np.full((HEIGHT, WIDTH), 1000 * DEPTH, dtype=np.uint16))
    rows = [f"1 0 0 {SHIFT * t * DEPTH / FOCAL} 0 1 0 0 0 0 1 0 0 0 0 1" for t in range(8)]
    (folder / "poses.txt").write_text("\n".join(rows) + "\n")
    (folder / "K.txt").write_text(f"{FOCAL} 0 {WIDTH / 2}\n0 {FOCAL} {HEIGHT / 2}\n0 0 1\n")
    return folder


def run(out, *options):
    return main(["eval", "tracks", "--out", str(out), "--max-keypoints", "200", "--device", "cpu", *map(str, options)])


@pytest.mark.slow
def test_methods_are_compared_on_the_same_windows_and_curves_are_drawn(recording, tmp_path, capsys):
    out = tmp_path / "out"
    options = ("--rgbd", recording, "--frames", "3", "--methods", "SIFT", "ORB")
    assert run(out, *options) == 0
    table = capsys.readouterr().out
    assert "| SIFT |" in table and "| ORB |" in table
    assert "dataset recording (sequences 2, frames 3, gap 1, stride 3, first 0" in table
    sift = Result.load(out / "SIFT" / "result.json")
    assert sift.stats["completeness"] > 0.8 and sift.stats["localization_px"] < 0.3  # the shift is a whole number
    assert sift.arrays["completeness"].shape == (2,) and sift.arrays["survival_at"].shape == (2,)
    for name in ("completeness", "survival", "localization_px"):
        assert (out / f"{name}.png").stat().st_size > 0
    assert run(out, *options) == 0
    assert capsys.readouterr().out == table
    # Another threshold is judged from the same features.
    before = (out / "predictions" / "SIFT" / "features" / "0000" / "0000.npz").stat().st_mtime_ns
    assert run(out, *options, "--threshold-px", "0.01") == 0
    assert Result.load(out / "SIFT" / "result.json").stats["completeness"] < sift.stats["completeness"]
    assert (out / "predictions" / "SIFT" / "features" / "0000" / "0000.npz").stat().st_mtime_ns == before


@pytest.mark.slow
def test_photos_become_homography_sequences(photos, tmp_path, capsys):
    assert run(tmp_path / "out", "--photos", photos, "--methods", "ORB", "--frames", "3", "--limit", "1") == 0
    assert "dataset homographies of photos (sequences 1, image_size 480, num_frames 3" in capsys.readouterr().out


@pytest.mark.slow
def test_worlds_need_no_data_and_our_weights_are_the_default(tmp_path, capsys, monkeypatch):
    # The default forty textures take seconds to make.
    monkeypatch.setattr(
        "traqpoint.data.worlds.source.WorldsConfig", partial(WorldsConfig, image_size=(96, 96), num_textures=2)
    )
    assert run(tmp_path / "out", "--worlds", "1", "--frames", "2") == 0
    out = capsys.readouterr().out
    assert "dataset worlds (sequences 1" in out and "| traqpoint-s |" in out


@pytest.mark.parametrize("options", [(), ("--worlds", "1", "--photos", "x")])
def test_one_source_is_asked_for(tmp_path, capsys, options):
    assert run(tmp_path / "out", *options) == 1
    assert capsys.readouterr().err == (
        "traqpoint: error: give one source of sequences: --photos, --rgbd, --colmap, --worlds\n"
    )


def test_bad_input_is_one_line(recording, tmp_path, capsys):
    for options, message in (
        (("--rgbd", tmp_path / "none"), "no such folder"),
        (("--colmap", tmp_path / "none"), "no such folder"),
        (("--rgbd", recording, "--first", "7"), "too few for a window of 5"),
        (("--rgbd", recording, "--gap", "0"), "gap >= 1"),
        (("--photos", tmp_path / "none"), "no such folder"),
    ):
        assert run(tmp_path / "out", *options) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and message in error
