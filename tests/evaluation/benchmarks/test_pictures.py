"""Each benchmark draws its results."""

from pathlib import Path

import numpy as np
import pytest

from traqpoint.data.testsets.odometry import OdometrySequence
from traqpoint.evaluation import (
    HomographyBenchmark,
    LocalizationBenchmark,
    OdometryBenchmark,
    PoseBenchmark,
    Result,
    SfmBenchmark,
    TracksBenchmark,
)
from traqpoint.image import read_image

pytest.importorskip("matplotlib")
X = Path("x")
PATH = np.array([[0.0, 0, 0], [1, 0, 0], [1, 0, 1]])
CURVES = {f"{name}_at": np.array([0.9, 0.5]) for name in ("completeness", "survival", "localization_px")}


def drawn(benchmark, folder, arrays, stats=None, protocol=None):
    """The pictures of two methods, the second one with other values."""
    worse = {key: values + 1 for key, values in arrays.items()}
    both = [
        Result(benchmark.kind, name, stats or {}, values, protocol or {})
        for name, values in (("traqpoint-s", arrays), ("SIFT", worse))
    ]
    benchmark.draw(both, folder, "a scene")
    return [read_image(path) for path in sorted(folder.glob("*.png"))]


def shows_both(picture):
    colours = ((0xE4, 0x57, 0x2E), (0x4C, 0x78, 0xA8))
    return all((np.abs(picture.astype(int) - colour).max(-1) < 8).sum() > 50 for colour in colours)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("benchmark", "arrays", "stats"),
    [
        (PoseBenchmark(truth=X), {"error_deg": np.array([[1.0, np.inf], [3.0, 4.0]])}, {}),
        (HomographyBenchmark(folder=X), {"corner_px": np.array([0.5, 2.0])}, {}),
        (LocalizationBenchmark(model=X, images=X), {"rotation_deg": np.array([0.1, np.inf])}, {}),
        (SfmBenchmark(images=X), {}, {"mean_track_length": 3.5}),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_one_picture_tells_methods_apart(tmp_path, benchmark, arrays, stats):
    (picture,) = drawn(benchmark, tmp_path, arrays, stats)
    assert shows_both(picture)


def test_tracks_have_a_curve_for_each_number_over_the_frames(tmp_path):
    pictures = drawn(TracksBenchmark(), tmp_path, CURVES, protocol={"dataset": {"name": "room"}})
    assert len(pictures) == 3 and all(map(shows_both, pictures))


def test_odometry_has_the_paths_beside_the_true_one(tmp_path):
    sequence = OdometrySequence.__new__(OdometrySequence)
    object.__setattr__(sequence, "name", "ride")
    arrays = {"centres_aligned": PATH, "centres_true": PATH}
    (picture,) = drawn(OdometryBenchmark().on(sequence), tmp_path, arrays, protocol={"alignment": "se3"})
    assert shows_both(picture)


def test_a_scene_that_no_method_could_map_has_an_empty_picture(tmp_path):
    drawn(SfmBenchmark(images=X), tmp_path, {}, {"mean_track_length": np.nan})
    assert (tmp_path / "plot.png").is_file()
