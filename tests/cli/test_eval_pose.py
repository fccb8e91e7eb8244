import json

import numpy as np
import pytest
import torch

from traqpoint.cli.main import main
from traqpoint.geometry.homography import apply_homography
from traqpoint.geometry.pixels import colmap_K_from_opencv, pixel_grid
from traqpoint.geometry.sampling import warp_image
from traqpoint.image import write_image

OPENCV_K = np.array([[300.0, 0, 119.5], [0, 300, 89.5], [0, 0, 1]])
WIDTH, HEIGHT = 240, 180


def texture(generator):
    """Blobs of several sizes: SIFT finds them to a tenth of a pixel."""
    image = torch.zeros(3, 360, 480)
    for side in (15, 30, 60):
        noise = torch.rand(1, 3, 360 * 2 // side, 480 * 2 // side, generator=generator)
        image += torch.nn.functional.interpolate(noise, (360, 480), mode="bicubic")[0] / 3
    return image.clamp(0, 1)


def shown(wall, wall_from_image):
    xy = apply_homography(wall_from_image, pixel_grid(HEIGHT, WIDTH))
    pixels = warp_image(wall[None], xy.reshape(1, HEIGHT, WIDTH, 2))[0]
    return (pixels.permute(1, 2, 0) * 255).byte().numpy()


@pytest.fixture(scope="module")
def corner(tmp_path_factory):
    """Two photographs of two walls that meet in a corner (a pose needs more than a plane), and their list."""
    folder = tmp_path_factory.mktemp("corner")
    generator = torch.Generator().manual_seed(0)
    walls = [texture(generator), texture(generator)]
    K = colmap_K_from_opencv(torch.from_numpy(OPENCV_K)).float()
    angle = 0.15
    R = torch.tensor([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]).float()
    t = torch.tensor([-0.5, 0.05, 0.1])
    for name, (rotation, translation) in {"a": (torch.eye(3), torch.zeros(3)), "b": (R, t)}.items():
        image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
        for side, wall in zip((-1, 1), walls, strict=True):
            # Wall coordinates (u, v, 1) of the texture -> world: the corner is at x = 0, z = 4, walls come forward.
            world = torch.tensor([[side * 0.008, 0, 0], [0, 0.008, -1.44], [-0.006, 0, 4]])
            image_from_wall = K @ (rotation @ world + translation[:, None] * torch.tensor([0.0, 0, 1]))
            wall_from_image = torch.linalg.inv(image_from_wall)
            xy = apply_homography(wall_from_image, pixel_grid(HEIGHT, WIDTH))
            here = (xy[:, 0] >= 0).reshape(HEIGHT, WIDTH).numpy()  # False for NaN
            image[here] = shown(wall, wall_from_image)[here]
        write_image(folder / f"{name}.png", image)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = R.numpy(), t.numpy()
    numbers = " ".join(map(str, [*OPENCV_K.flatten(), *OPENCV_K.flatten(), *pose.flatten()]))
    (folder / "pairs.txt").write_text(f"a.png b.png 0 0 {numbers}\n")
    (folder / "more.txt").write_text(f"a.png b.png 0 0 {numbers}\na.png gone.png 0 0 {numbers}\na.png b.png\n")
    return folder


def run(*args):
    return main(["eval", "pose", *map(str, args)])


@pytest.mark.slow
def test_the_pose_of_photographs_of_a_known_scene_is_found_and_reported(corner, tmp_path, capsys):
    pytest.importorskip("poselib")
    args = [corner / "pairs.txt", "--images", corner, "--out", tmp_path, "--methods", "SIFT", "ORB"]
    args += ["--estimators", "opencv-ransac", "poselib", "--max-keypoints", "800"]
    assert run(*args) == 0
    shown_text = capsys.readouterr().out
    assert shown_text.count("| SIFT |") == 2 and "poselib" in shown_text
    for estimator in ("opencv-ransac", "poselib"):
        result = json.loads((tmp_path / estimator / "SIFT" / "result.json").read_text())
        assert result["stats"]["auc_5"] > 0.6 and result["stats"]["precision"] > 0.8
        assert result["protocol"]["estimator"]["estimator"] == estimator
        assert (tmp_path / estimator / "table.md").is_file()
    # Pass 1 was shared, and a finished run is loaded.
    assert sorted(path.name for path in (tmp_path / "predictions").iterdir()) == ["ORB", "SIFT"]
    before = (tmp_path / "poselib" / "SIFT" / "result.json").stat().st_mtime_ns
    assert run(*args) == 0
    assert (tmp_path / "poselib" / "SIFT" / "result.json").stat().st_mtime_ns == before


def test_what_is_missing_stops_the_run_or_counts_as_failed(corner, tmp_path, capsys):
    args = [corner / "more.txt", "--images", corner, "--out", tmp_path, "--methods", "SIFT"]
    assert run(*args) == 1
    assert "1 of 3 pairs have no ground truth" in capsys.readouterr().err
    assert run(*args, "--missing", "skip") == 0
    out = capsys.readouterr().out
    result = json.loads((tmp_path / "opencv-ransac" / "SIFT" / "result.json").read_text())
    assert result["stats"]["failed"] == 0.5 and result["protocol"]["dataset"]["pairs"] == 2
    for words in ("1 of 3 pairs have no ground truth", "1 of 2 pairs count as failed", "gone.png"):
        assert words in out


@pytest.mark.parametrize(
    ("args", "code", "reason"),
    [
        (["{corner}/none.txt", "--images", "{corner}"], 1, "none.txt: no such"),
        (["{corner}/pairs.txt"], 1, "images"),
        (["{corner}", "--images", "{corner}"], 1, "no scene_info"),
        (["{corner}/pairs.txt", "--images", "{corner}", "--shuffles", "0"], 2, "shuffles must be at least 1, got 0"),
        (["{corner}/pairs.txt", "--images", "{corner}", "--max-pairs", "0"], 1, "at least 1 pair"),
        (["{corner}/pairs.txt", "--images", "{corner}", "--estimators"], 2, "at least one estimator"),
    ],
)
def test_bad_input_is_one_line(args, code, reason, corner, tmp_path, capsys):
    filled = [arg.format(corner=corner) for arg in args]
    assert run(filled[0], "--out", tmp_path, "--methods", "SIFT", *filled[1:]) == code
    error = capsys.readouterr().err.strip()
    assert reason in error and len(error.splitlines()) == 1


def test_homographies_are_evaluated_from_the_command_line(tmp_path, capsys):
    wall = texture(torch.Generator().manual_seed(3))
    H = np.array([[1.0, 0.05, 3.0], [-0.03, 0.98, 2.0], [1e-4, 0, 1.0]])  # integer centres, image 1 -> 2
    shift = np.array([[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    second_from_first = torch.from_numpy(shift @ H @ np.linalg.inv(shift)).float()
    first = torch.eye(3)
    write_image(tmp_path / "v_wall" / "1.png", shown(wall, first))
    write_image(tmp_path / "v_wall" / "2.png", shown(wall, first @ torch.linalg.inv(second_from_first)))
    np.savetxt(tmp_path / "v_wall" / "H_1_2", H)
    assert main(["eval", "homography", str(tmp_path), "--out", str(tmp_path / "out"), "--methods", "SIFT"]) == 0
    assert "| SIFT |" in capsys.readouterr().out
    stats = json.loads((tmp_path / "out" / "opencv-ransac" / "SIFT" / "result.json").read_text())["stats"]
    assert stats["auc_1"] > 0.7 and stats["mma_1"] > 0.7 and stats["repeatability"] > 0.5
    assert main(["eval", "homography", str(tmp_path / "out"), "--out", str(tmp_path / "o")]) == 1
    assert "no HPatches sequences" in capsys.readouterr().err
