import math
from pathlib import Path

import numpy as np
import pytest
import torch

from traqpoint.data.testsets.pairs import PosePairs, pose_pair
from traqpoint.errors import ConfigError
from traqpoint.evaluation.benchmarks.pose import (
    PoseConfig,
    auc,
    evaluate_pose,
    match_precision,
    score_pair,
    translation_angle_deg,
)
from traqpoint.evaluation.predict import Predictions
from traqpoint.evaluation.result import Result
from traqpoint.geometry.camera import Camera
from traqpoint.geometry.transforms import rigid, rotation_from_quaternion
from traqpoint.io.npz import NpzFeatures, NpzMatches
from traqpoint.matching.config import RobustConfig
from traqpoint.types import Features, Matches

K = torch.tensor([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]], dtype=torch.float64)
POSE = rigid(
    rotation_from_quaternion(torch.tensor([1.0, 0.04, -0.1, 0.02], dtype=torch.float64)),
    torch.tensor([1.0, 0.1, -0.2], dtype=torch.float64),
)
SIZE = (640, 480)


def points(n=120, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 3, dtype=torch.float64, generator=generator) * torch.tensor([3, 2, 4]) + torch.tensor(
        [-2, -1, 5]
    )


def views(x, pose=POSE):
    y = x @ pose[:3, :3].T + pose[:3, 3]
    return [(p @ K.T)[:, :2] / p[:, 2:] for p in (x, y)]


def turned_about_z(degrees):
    half = math.radians(degrees) / 2
    return rotation_from_quaternion(torch.tensor([math.cos(half), 0, 0, math.sin(half)], dtype=torch.float64))


def stored(folder, keypoints, pairs, image_size=SIZE, failed=()):
    """Predictions on disk: keypoint k of one image matches keypoint k of the other."""
    features, matches = NpzFeatures(folder / "features"), NpzMatches(folder / "matches")
    for name, xy in keypoints.items():
        vectors = torch.nn.functional.one_hot(torch.zeros(len(xy), dtype=torch.long), 4).float()
        features.write(name, Features(xy.float(), torch.ones(len(xy)), vectors, image_size))
    for a, b in pairs:
        if a in keypoints and b in keypoints:
            index = torch.arange(min(len(keypoints[a]), len(keypoints[b])))
            matches.write(a, b, Matches(torch.stack([index, index], -1), torch.ones(len(index))))
    return Predictions("ours", features, matches, {"max_keypoints": 9, "extractor": {"name": "ours"}}, tuple(failed))


def numeric_auc(errors, threshold, steps=200_000):
    """Independent: the polygon evaluated at many points and summed, in place of the trapezoids between its corners."""
    known = np.sort([e for e in errors if np.isfinite(e)])
    x = np.concatenate([[0], known, [1e9]])
    y = np.concatenate([[0], np.arange(1, len(known) + 1) / len(errors), [len(known) / len(errors)]])
    at = (np.arange(steps) + 0.5) / steps * threshold
    below = known < threshold
    level = below.sum() / len(errors)
    last = known[below].max() if below.any() else 0.0
    return float(np.where(at > last, level, np.interp(at, x, y)).mean())


def test_auc_of_known_errors():
    assert auc([0.0] * 7, (5, 10, 20)) == [1, 1, 1]
    assert auc([np.inf, 30.0], (5, 10, 20)) == [0, 0, 0]
    # One error of 2: linear to (2, 1), level to 5: (2 / 2 + 3) / 5.
    assert auc([2.0], (5, 10)) == pytest.approx([0.8, 0.9])
    # Corners (1, 1/2), (3, 1): 1/4 + 3/2 + 2 of 5. A failure halves what is left.
    assert auc([3.0, 1.0], (5,)) == pytest.approx([3.75 / 5])
    assert auc([3.0, 1.0, np.inf, np.inf], (5,)) == pytest.approx([3.75 / 10])
    assert auc([5.0], (5,)) == [0]  # an error at the threshold is not below it


@pytest.mark.parametrize("seed", range(5))
def test_auc_is_the_area_by_numeric_integration(seed):
    errors = np.random.default_rng(seed).exponential(8, 40)
    errors[:3] = np.inf
    errors[3:6] = 0
    for threshold, area in zip((5, 10, 20), auc(errors, (5, 10, 20)), strict=True):
        assert area == pytest.approx(numeric_auc(errors, threshold), abs=1e-4)


@pytest.mark.parametrize("errors", [[], [np.nan], [-1.0]])
def test_auc_refuses_what_is_no_error(errors):
    with pytest.raises(ConfigError):
        auc(errors, (5,))


@pytest.mark.parametrize(("degrees", "expected"), [(0, 0), (1e-5, 1e-5), (30, 30), (90, 90), (150, 30), (180, 0)])
def test_translations_are_compared_as_lines(degrees, expected):
    angle = math.radians(degrees)
    a = torch.tensor([2.0, 0, 0], dtype=torch.float64)
    b = torch.tensor([math.cos(angle), math.sin(angle), 0], dtype=torch.float64) * 3
    assert float(translation_angle_deg(a, b)) == pytest.approx(expected, abs=1e-9)


def test_no_baseline_has_no_direction():
    assert translation_angle_deg(torch.zeros(3), torch.ones(3)).isnan()


def test_exact_matches_score_exactly_in_every_shuffle():
    score = score_pair(pose_pair("a", "b", K, K, POSE), *views(points()), PoseConfig(shuffles=4))
    assert len(score.error_deg) == 4 and max(score.error_deg) < 1e-3
    assert score.precision == 1 and score.inliers == (120,) * 4 and score.matches == 120


def test_errors_are_those_of_the_truth_that_is_told():
    """Exact matches against a truth that is off by a known rotation, and by another known direction."""
    a, b = views(points())
    wrong = POSE.clone()
    wrong[:3, :3] = turned_about_z(3) @ POSE[:3, :3]
    score = score_pair(pose_pair("a", "b", K, K, wrong), a, b, PoseConfig(shuffles=1))
    assert score.rotation_deg[0] == pytest.approx(3, abs=1e-2) and score.translation_deg[0] < 1e-2
    assert score.error_deg == score.rotation_deg
    wrong = POSE.clone()
    wrong[:3, 3] = turned_about_z(7) @ torch.tensor([1.0, 0.1, 0], dtype=torch.float64)
    flat = POSE.clone()
    flat[2, 3] = 0
    score = score_pair(pose_pair("a", "b", K, K, wrong), *views(points(), flat), PoseConfig(shuffles=1))
    assert score.rotation_deg[0] < 1e-2 and score.error_deg[0] == pytest.approx(7, abs=1e-2)


def test_shuffles_vary_the_estimate_and_a_seed_repeats_it():
    pair = pose_pair("a", "b", K, K, POSE)
    a, b = views(points(200))
    noise = torch.randn(2, 200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    a, b = a + noise[0], b + noise[1]
    few = RobustConfig(max_iterations=50)
    score = score_pair(pair, a, b, PoseConfig(few, seed=1))
    assert len(set(score.error_deg)) > 1
    assert score == score_pair(pair, a, b, PoseConfig(few, seed=1))
    assert score != score_pair(pair, a, b, PoseConfig(few, seed=9))


def test_precision_is_the_share_near_the_true_epipolar_lines():
    sideways = rigid(torch.eye(3, dtype=torch.float64), torch.tensor([1.0, 0, 0], dtype=torch.float64))
    pair = pose_pair("a", "b", K, K, sideways)
    a = torch.tensor([[100.0, 100.0]] * 4, dtype=torch.float64)
    b = a + torch.tensor([[9.0, 0], [9, 1], [9, 4], [9, 5]])  # rows differ: Sampson distance is that over root two
    assert match_precision(pair, a, b, 3.0) == 0.75
    assert match_precision(pair, a, b, 0.5) == 0.25
    assert match_precision(pair, a[:0], b[:0], 3.0) == 0


def test_a_perfect_method_scores_one_and_a_blind_one_zero(tmp_path):
    names = ["a", "b", "c"]
    poses = {name: torch.eye(4, dtype=torch.float64) for name in names}
    poses["b"], poses["c"] = POSE, POSE @ POSE
    pairs = tuple(
        pose_pair(x, y, K, K, poses[y] @ torch.linalg.inv(poses[x])) for x, y in (("a", "b"), ("b", "c"), ("a", "c"))
    )
    dataset = PosePairs("toy", {name: Path(name) for name in names}, pairs, notes=("2 pairs left out",))
    seen = {name: views(points(), poses[name])[1] for name in names}
    result = evaluate_pose(dataset, stored(tmp_path / "sees", seen, dataset.names))
    assert result.stats["auc_5"] > 0.999 and result.stats["precision"] == 1 and result.stats["failed"] == 0
    assert result.stats["matches"] == 120 and result.stats["auc_5_std"] < 1e-4
    assert result.arrays["error_deg"].shape == (3, 3) and result.arrays["name_b"].tolist() == ["b", "c", "c"]
    assert result.protocol["dataset"] == {"name": "toy", "pairs": 3}
    assert result.protocol["estimator"]["threshold_px"] == 0.5 and result.protocol["max_keypoints"] == 9
    assert result.notes == ("2 pairs left out",)
    result.save(tmp_path / "result.json")
    assert Result.load(tmp_path / "result.json").stats == result.stats

    blind = evaluate_pose(dataset, stored(tmp_path / "blind", dict.fromkeys(names, torch.zeros(0, 2)), dataset.names))
    assert [blind.stats[f"auc_{t}"] for t in (5, 10, 20)] == [0, 0, 0]
    assert blind.stats["failed"] == 1 and blind.stats["precision"] == 0
    assert "3 of 3 pairs gave no pose" in blind.notes[1]


def test_unreadable_images_are_failures_and_are_told(tmp_path):
    pairs = (pose_pair("a", "b", K, K, POSE), pose_pair("a", "gone", K, K, POSE))
    dataset = PosePairs("toy", {}, pairs)
    a, b = views(points())
    line = "gone.jpg: no such file"
    result = evaluate_pose(dataset, stored(tmp_path, {"a": a, "b": b}, dataset.names, failed=[line]))
    assert result.stats["failed"] == 0.5 and result.stats["auc_20"] == pytest.approx(0.5, abs=1e-3)
    assert result.notes == ("1 of 2 pairs count as failed because an image could not be used", line)


def test_without_a_baseline_only_the_rotation_is_judged(tmp_path):
    turn = rigid(turned_about_z(10), torch.zeros(3, dtype=torch.float64))
    dataset = PosePairs("toy", {}, (pose_pair("a", "b", K, K, turn),))
    a, b = views(points(), turn)
    config = PoseConfig(RobustConfig("opencv-magsac"))
    result = evaluate_pose(dataset, stored(tmp_path, {"a": a, "b": b}, dataset.names), config)
    assert math.isnan(result.stats["precision"]) and np.isnan(result.arrays["precision"]).all()
    assert any("1 of 1 pairs have no baseline" in note for note in result.notes)
    finite = np.isfinite(result.arrays["rotation_deg"])
    np.testing.assert_array_equal(result.arrays["error_deg"][finite], result.arrays["rotation_deg"][finite])


def test_distorted_images_of_another_size_are_scored_through_their_camera(tmp_path):
    camera = Camera("SIMPLE_RADIAL", SIZE, torch.tensor([600.0, 320, 240, -0.5], dtype=torch.float64))
    x = points()
    y = x @ POSE[:3, :3].T + POSE[:3, 3]
    files = {"a": 2 * camera.project(x), "b": 2 * camera.project(y)}
    pair = pose_pair("a", "b", camera.K, camera.K, POSE)
    predictions = stored(tmp_path, files, [("a", "b")], image_size=(1280, 960))
    with_cameras = evaluate_pose(PosePairs("toy", {}, (pair,), {"a": camera, "b": camera}), predictions)
    assert with_cameras.arrays["error_deg"].max() < 0.01
    assert evaluate_pose(PosePairs("toy", {}, (pair,)), predictions).arrays["error_deg"].min() > 0.5


@pytest.mark.parametrize("wrong", [{"shuffles": 0}, {"precision_px": 0.0}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        PoseConfig(**wrong)
