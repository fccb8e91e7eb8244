"""Localization on an exact scene, where every number is known."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("pycolmap")
pytest.importorskip("poselib")

from traqpoint.errors import ConfigError, DataError
from traqpoint.evaluation.benchmarks.localization import LocalizationBenchmark, Reference
from traqpoint.io.colmap_model import NO_POINT
from traqpoint.io.npz import NpzMatches
from traqpoint.types import Matches

THIRD = {"every": 3}


def benchmark(scene, truth=None, **options):
    anywhere = {"model": Path("sparse"), "images": Path("images")}
    reference = Reference("exact", scene.images, truth or scene.truth)
    return LocalizationBenchmark(**anywhere, **(options or THIRD)).on(reference)


def localize(scene, out, truth=None, predictions=None, **options):
    return benchmark(scene, truth, **options).score(predictions or scene.predictions, out=out)


def test_exact_features_localize_exactly(exact_scene, tmp_path):
    result = localize(exact_scene, tmp_path)
    assert result.stats["queries"] == 3 and result.stats["failed"] == 0
    assert all(value == 1 for key, value in result.stats.items() if key.startswith("recall"))
    assert result.stats["position_error_median_units"] < 1e-4 and result.stats["rotation_error_median_deg"] < 1e-3
    assert result.stats["map_points"] == 150 and result.stats["inliers"] == 150
    assert list(result.arrays["name"]) == list(exact_scene.truth.images)[::3]
    assert "not in metres" in " ".join(result.notes) and "PoseLib" in result.protocol["estimator"]


def test_a_known_error_of_the_pose_is_the_error_that_is_found(exact_scene, tmp_path):
    """Queries whose true centres are 0.3 units off: inside 0.5, outside 0.25; a scale of 2 makes them 0.6 m."""
    queries = set(benchmark(exact_scene).split().queries)
    images = dict(exact_scene.truth.images)
    for name in queries:
        pose = images[name].cam_from_world.clone()
        pose[0, 3] += 0.3
        images[name] = dataclasses.replace(images[name], cam_from_world=pose)
    truth = dataclasses.replace(exact_scene.truth, images=images)
    stats = localize(exact_scene, tmp_path / "a", truth=truth).stats
    assert stats["position_error_median_units"] == pytest.approx(0.3, abs=1e-4)
    assert (stats["recall_0.25units_2deg"], stats["recall_0.5units_5deg"]) == (0, 1)
    result = localize(exact_scene, tmp_path / "b", truth, every=3, metres_per_unit=2.0)
    assert result.stats["position_error_median_m"] == pytest.approx(0.6, abs=1e-4) and result.notes == ()
    assert (result.stats["recall_0.5m_5deg"], result.stats["recall_5m_10deg"]) == (0, 1)


def test_queries_without_matches_count_as_failures(exact_scene, tmp_path):
    split = benchmark(exact_scene).split()
    p = exact_scene.predictions
    matches = NpzMatches(tmp_path / "matches")
    nothing = Matches(torch.empty(0, 2, dtype=torch.int64), torch.empty(0))
    for a, b in exact_scene.pairs:
        matches.write(a, b, nothing if split.queries[0] in (a, b) else p.matches.read(a, b))
    predictions = dataclasses.replace(p, matches=matches, failed=("x.jpg: unreadable",))
    result = localize(exact_scene, tmp_path, predictions=predictions)
    assert result.stats["failed"] == 1 and result.stats["recall_5units_10deg"] == pytest.approx(2 / 3)
    assert np.isinf(result.arrays["position"]).tolist() == [True, False, False]
    assert "x.jpg: unreadable" in result.notes and any("1 of 3 queries" in note for note in result.notes)


def test_the_held_out_images_are_in_no_pair_of_the_map(exact_scene):
    split = benchmark(exact_scene, every=4, neighbours=2, seed=5).split()
    names = list(exact_scene.truth.images)
    assert list(split.queries) == names[1::4] and set(split.queries) | set(split.database) == set(names)
    assert not set(split.queries) & {name for pair in split.map_pairs for name in pair}
    degree = {name: sum(name in pair for pair in split.map_pairs) for name in split.database}
    assert min(degree.values()) >= 2 and len(split.map_pairs) <= 2 * len(split.database)
    assert len(set(split.map_pairs)) == len(split.map_pairs)
    assert len(split.query_pairs) == len(split.queries) * len(split.database)


def test_images_that_share_nothing_are_not_paired(exact_scene):
    images = {
        name: dataclasses.replace(view, point3D=torch.full_like(view.point3D, NO_POINT))
        for name, view in exact_scene.truth.images.items()
    }
    assert benchmark(exact_scene, dataclasses.replace(exact_scene.truth, images=images)).split().map_pairs == ()


def test_too_few_images_are_told(exact_scene):
    images = dict(list(exact_scene.truth.images.items())[:2])
    with pytest.raises(DataError, match="leave 1 for the map"):
        benchmark(exact_scene, dataclasses.replace(exact_scene.truth, images=images)).split()


@pytest.mark.parametrize(
    "bad", [{"every": 1}, {"neighbours": 0}, {"candidates": 0}, {"max_error_px": 0.0}, {"metres_per_unit": -1.0}]
)
def test_bad_configurations_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        LocalizationBenchmark(model=Path("sparse"), images=Path("images"), **bad)
