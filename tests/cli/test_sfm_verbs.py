"""traqpoint sfm, eval sfm and eval localization on real photographs."""

import cv2
import numpy as np
import pytest
import research_data
from PIL import Image

pycolmap = pytest.importorskip("pycolmap")

from traqpoint.cli.main import main  # noqa: E402
from traqpoint.evaluation.result import Result  # noqa: E402
from traqpoint.geometry.orientation import stored_image  # noqa: E402
from traqpoint.image import write_image  # noqa: E402
from traqpoint.io.colmap_model import load_reconstruction  # noqa: E402

ENTRY = research_data.DATA / "posed/strecha/entry-P10"
SMALL = ["--max-keypoints", "512", "--long-side", "512", "--device", "cpu"]
# Of the photos in a row, RANSAC spends nine tenths of its time on those that hardly see the same.
NEIGHBOURS = ["--pairs", "sequential", "--window", "2"]
needs_entry = pytest.mark.skipif(not ENTRY.is_dir(), reason=f"{ENTRY} is absent")


@needs_entry
def test_ten_photos_become_one_coloured_model_of_all_ten(tmp_path, capsys):
    command = ["sfm", str(ENTRY / "images"), "--out", str(tmp_path / "x"), *SMALL, *NEIGHBOURS]
    assert main(command) == 0
    first = capsys.readouterr().out
    assert "sparse/0: 10 of 10 images registered" in first
    model = load_reconstruction(tmp_path / "x" / "sparse" / "0")
    assert model.num_reg_images() == 10 and model.num_cameras() == 1
    colours = [tuple(point.color) for point in model.points3D.values()]
    assert len(set(colours)) > len(colours) // 2 and (0, 0, 0) not in colours
    assert {"features.h5", "matches.h5", "database.db"} <= {path.name for path in (tmp_path / "x").iterdir()}
    written = (tmp_path / "x" / "sparse" / "0" / "points3D.bin").stat().st_mtime_ns
    assert main(command) == 0 and capsys.readouterr().out == first
    assert (tmp_path / "x" / "sparse" / "0" / "points3D.bin").stat().st_mtime_ns == written
    assert main([*command, "--mapper", "global"]) == 1
    assert "mapper: incremental there, global here" in capsys.readouterr().err


@pytest.mark.slow
@needs_entry
def test_a_table_against_the_laser(tmp_path, capsys):
    """With the true calibration the cameras are within decimetres of a scene that is ten metres wide."""
    command = ["eval", "sfm", str(ENTRY / "images"), "--truth", str(ENTRY), "--known-cameras"]
    assert main([*command, "--out", str(tmp_path), "--methods", "SIFT", *SMALL, *NEIGHBOURS]) == 0
    assert "entry-P10, 10 images" in capsys.readouterr().out
    result = Result.load(tmp_path / "incremental" / "SIFT" / "result.json")
    assert result.stats["registered"] == 10 and result.stats["centre_error_median"] < 0.2
    assert result.stats["rotation_error_median_deg"] < 1.5 and result.stats["auc_10"] > 0.8


def test_photos_that_show_nothing_in_common_are_told(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "photos" / name, rng.integers(0, 255, (96, 128, 3), dtype=np.uint8))
    assert main(["sfm", str(tmp_path / "photos"), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 1
    captured = capsys.readouterr()
    assert "0 of 2 images registered" in captured.out and "no two images fit together" in captured.err
    assert "nan" not in captured.out


def test_one_photo_is_told_to_be_too_few(tmp_path, capsys):
    photo = tmp_path / "a.png"
    write_image(photo, np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8))
    assert main(["sfm", str(photo), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 1
    assert "a.png: a model needs two images or more" in capsys.readouterr().err


@pytest.mark.slow
def test_photos_that_exif_turns_become_a_model_of_the_files_as_they_are(tmp_path):
    """Two walls at two distances pass by; the camera was held sideways, so the files lie on their side."""
    rng = np.random.default_rng(0)
    walls = [cv2.resize(rng.integers(0, 255, (30, 110, 3), dtype=np.uint8), (440, 120)) for _ in range(2)]
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "photos").mkdir()
    for t in range(4):
        upright = np.concatenate([wall[:, s * t : s * t + 320] for wall, s in zip(walls, (40, 20), strict=True)])
        stored = Image.fromarray(stored_image(upright, 6).copy())
        stored.save(tmp_path / "photos" / f"{t}.jpg", exif=exif, quality=97, subsampling=0)
    out = tmp_path / "out"
    command = ["sfm", str(tmp_path / "photos"), "--out", str(out), "--device", "cpu", "--num-threads", "1"]
    assert main(command) == 0
    model = load_reconstruction(out / "sparse" / "0")
    assert model.num_reg_images() == 4
    assert {(camera.width, camera.height) for camera in model.cameras.values()} == {(240, 320)}
    off = []
    for image in model.images.values():
        pixels = np.asarray(Image.open(tmp_path / "photos" / image.name)).astype(float)
        for point in image.points2D:
            if point.has_point3D():
                x, y = np.floor(point.xy).astype(int)
                off.append(np.abs(pixels[y, x] - model.points3D[point.point3D_id].color).mean())
    assert np.median(off) < 15  # of a point's colour from that of its pixel: 60 at random
    pycolmap.undistort_images(out / "dense", out / "sparse" / "0", tmp_path / "photos")
    assert len(list((out / "dense" / "images").iterdir())) == 4


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["eval", "localization", "MODEL", "IMAGES"], "no such folder of a COLMAP model"),
        (["eval", "sfm", "IMAGES"], "no such folder"),
        (["sfm", "IMAGES"], "no such file or folder"),
    ],
)
def test_missing_inputs_are_one_line(tmp_path, capsys, command, words):
    named = {"MODEL": str(tmp_path / "model"), "IMAGES": str(tmp_path / "images")}
    assert main([*(named.get(word, word) for word in command), "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert words in error and len(error.strip().splitlines()) == 1
