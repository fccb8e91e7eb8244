"""Localization on an exact scene, where every number is known."""

import dataclasses
import math

import numpy as np
import pytest
import torch

pytest.importorskip("pycolmap")
pytest.importorskip("poselib")

from traqpoint.errors import ConfigError, DataError
from traqpoint.evaluation.benchmarks.localization import (
    LocalizationConfig,
    absolute_pose,
    correspondences,
    evaluate_localization,
    hold_out,
    recall_stats,
)
from traqpoint.io.colmap_model import NO_POINT
from traqpoint.io.npz import NpzMatches
from traqpoint.types import Matches

THIRD = LocalizationConfig(every=3)


def localize(scene, out, config=THIRD, **changes):
    model = changes.get("truth", scene.truth)
    predictions = changes.get("predictions", scene.predictions)
    split = hold_out(model, config)
    # The scene holds each pair once: as (first, second) in order of names.
    ordered = tuple(tuple(sorted(pair)) for pair in split.map_pairs)
    split = dataclasses.replace(split, map_pairs=ordered)
    return evaluate_localization(predictions, scene.images, model, split, out, "exact", config)


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
    queries = set(hold_out(exact_scene.truth, THIRD).queries)
    images = dict(exact_scene.truth.images)
    for name in queries:
        pose = images[name].cam_from_world.clone()
        pose[0, 3] += 0.3
        images[name] = dataclasses.replace(images[name], cam_from_world=pose)
    truth = dataclasses.replace(exact_scene.truth, images=images)
    stats = localize(exact_scene, tmp_path / "a", truth=truth).stats
    assert stats["position_error_median_units"] == pytest.approx(0.3, abs=1e-4)
    assert (stats["recall_0.25units_2deg"], stats["recall_0.5units_5deg"]) == (0, 1)
    config = LocalizationConfig(every=3, metres_per_unit=2.0)
    result = localize(exact_scene, tmp_path / "b", config, truth=truth)
    assert result.stats["position_error_median_m"] == pytest.approx(0.6, abs=1e-4) and result.notes == ()
    assert (result.stats["recall_0.5m_5deg"], result.stats["recall_5m_10deg"]) == (0, 1)


def test_queries_without_matches_count_as_failures(exact_scene, tmp_path):
    split = hold_out(exact_scene.truth, THIRD)
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
    split = hold_out(exact_scene.truth, LocalizationConfig(every=4, neighbours=2, seed=5))
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
    assert hold_out(dataclasses.replace(exact_scene.truth, images=images), THIRD).map_pairs == ()


def test_too_few_images_are_told(exact_scene):
    images = dict(list(exact_scene.truth.images.items())[:2])
    with pytest.raises(DataError, match="leave 1 for the map"):
        hold_out(dataclasses.replace(exact_scene.truth, images=images), THIRD)


def test_recall_counts_both_errors_and_failures():
    """By hand: 0.2/1 in all, 0.2/3 from the second on, 4/9 in the last, a failure in none."""
    position = torch.tensor([0.2, 0.2, 4.0, math.inf])
    rotation = torch.tensor([1.0, 3.0, 9.0, math.inf])
    stats = recall_stats(position, rotation, "m")
    assert [stats[f"recall_{x}"] for x in ("0.25m_2deg", "0.5m_5deg", "5m_10deg")] == [0.25, 0.5, 0.75]
    assert stats["position_error_median_m"] == pytest.approx(2.1) and stats["rotation_error_median_deg"] == 6


def test_the_pose_survives_outliers_and_none_is_made_of_nothing(exact_scene):
    view = next(iter(exact_scene.truth.images.values()))
    seen = view.point3D != NO_POINT
    xy, xyz = view.xy[seen].clone(), exact_scene.truth.xyz[exact_scene.truth.rows(view.point3D[seen])]
    xy[::2] = torch.rand(len(xy[::2]), 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 700
    pose, inliers = absolute_pose(xy, xyz, view.camera, 4.0)
    torch.testing.assert_close(pose, view.cam_from_world, atol=1e-6, rtol=0)
    assert len(xy) // 2 <= inliers < len(xy) // 2 + 10
    assert absolute_pose(xy[:3], xyz[:3], view.camera, 4.0) is None
    same = torch.zeros_like(xyz)
    assert absolute_pose(xy, same, view.camera, 1e-6) is None


def test_a_keypoint_meets_a_point_once_however_many_images_say_so(exact_scene):
    a, b, c = list(exact_scene.truth.images.values())[:3]
    p = exact_scene.predictions
    candidates = [(p.pair(a.name, other.name)[2], other.point3D) for other in (b, c)]
    xy, xyz = correspondences(p.features.read(a.name), candidates, exact_scene.truth)
    assert len(xy) == 150 and xy.dtype == xyz.dtype == torch.float64
    x_cam = xyz @ a.cam_from_world[:3, :3].T + a.cam_from_world[:3, 3]
    torch.testing.assert_close(a.camera.project(x_cam), xy, atol=1e-3, rtol=0)
    assert correspondences(p.features.read(a.name), [], exact_scene.truth)[0].shape == (0, 2)


@pytest.mark.parametrize(
    "bad", [{"every": 1}, {"neighbours": 0}, {"candidates": 0}, {"max_error_px": 0.0}, {"metres_per_unit": -1.0}]
)
def test_bad_configurations_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        LocalizationConfig(**bad)
