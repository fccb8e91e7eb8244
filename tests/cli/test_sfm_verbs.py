"""traqpoint sfm, eval sfm and eval localization on real photographs."""

import numpy as np
import pytest
import research_data

pytest.importorskip("pycolmap")

from traqpoint.cli.main import main
from traqpoint.evaluation.result import Result
from traqpoint.image import write_image
from traqpoint.io.colmap_model import load_reconstruction

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
