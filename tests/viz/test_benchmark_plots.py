import numpy as np
import pytest

from traqpoint.image import read_image
from traqpoint.viz.benchmarks import plot_benchmark

pytest.importorskip("matplotlib")


@pytest.mark.parametrize(
    ("kind", "arrays", "stats"),
    [
        ("pose", {"error_deg": np.array([[1.0, np.inf], [3.0, 4.0]])}, {}),
        ("homography", {"corner_px": np.array([0.5, 2.0])}, {}),
        ("localization", {"rotation_deg": np.array([0.1, np.inf])}, {}),
        ("sfm", {}, {"mean_track_length": 3.5}),
    ],
)
def test_each_benchmark_has_a_picture_that_tells_methods_apart(tmp_path, kind, arrays, stats):
    worse = {key: values + 1 for key, values in arrays.items()}
    both = {"traqpoint-s": arrays, "SIFT": worse}
    assert plot_benchmark(kind, both, {"traqpoint-s": stats, "SIFT": stats}, tmp_path / "plot.png", "a scene")
    picture = read_image(tmp_path / "plot.png")
    for colour in ((0xE4, 0x57, 0x2E), (0x4C, 0x78, 0xA8)):
        assert (np.abs(picture.astype(int) - colour).max(-1) < 8).sum() > 50


def test_a_scene_that_no_method_could_map_has_an_empty_picture(tmp_path):
    assert plot_benchmark("sfm", {}, {"SIFT": {"mean_track_length": np.nan}}, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").is_file()


def test_what_has_no_picture_here_is_not_drawn(tmp_path):
    assert not plot_benchmark("vo", {}, {}, tmp_path / "plot.png")
    assert not (tmp_path / "plot.png").exists()
