import math
from pathlib import Path

import numpy as np
import pytest
import torch
from two_views import POSE, SIZE, K, points, turned_about_z, views

from traqpoint.data.testsets.pairs import PosePairs, pose_pair
from traqpoint.errors import ConfigError
from traqpoint.evaluation.benchmarks.pose import PoseBenchmark
from traqpoint.evaluation.predict import Predictions
from traqpoint.evaluation.result import Result
from traqpoint.geometry.camera import Camera
from traqpoint.geometry.transforms import rigid
from traqpoint.io.npz import NpzFeatures, NpzMatches
from traqpoint.types import Features, Matches


def judged(dataset, predictions, **options) -> Result:
    return PoseBenchmark(truth=Path(dataset.name), **options).on(dataset).score(predictions)


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


def test_a_perfect_method_scores_one_and_a_blind_one_zero(tmp_path):
    names = ["a", "b", "c"]
    poses = {name: torch.eye(4, dtype=torch.float64) for name in names}
    poses["b"], poses["c"] = POSE, POSE @ POSE
    pairs = tuple(
        pose_pair(x, y, K, K, poses[y] @ torch.linalg.inv(poses[x])) for x, y in (("a", "b"), ("b", "c"), ("a", "c"))
    )
    dataset = PosePairs("toy", {name: Path(name) for name in names}, pairs, notes=("2 pairs left out",))
    seen = {name: views(points(), poses[name])[1] for name in names}
    result = judged(dataset, stored(tmp_path / "sees", seen, dataset.names))
    assert result.stats["auc_5"] > 0.999 and result.stats["precision"] == 1 and result.stats["failed"] == 0
    assert result.stats["matches"] == 120 and result.stats["auc_5_std"] < 1e-4
    assert result.arrays["error_deg"].shape == (3, 3) and result.arrays["name_b"].tolist() == ["b", "c", "c"]
    assert result.protocol["dataset"] == {"name": "toy", "pairs": 3}
    assert result.protocol["estimator"]["threshold_px"] == 0.5 and result.protocol["max_keypoints"] == 9
    assert result.notes == ("2 pairs left out",)
    result.save(tmp_path / "result.json")
    assert Result.load(tmp_path / "result.json").stats == result.stats

    blind = judged(dataset, stored(tmp_path / "blind", dict.fromkeys(names, torch.zeros(0, 2)), dataset.names))
    assert [blind.stats[f"auc_{t}"] for t in (5, 10, 20)] == [0, 0, 0]
    assert blind.stats["failed"] == 1 and blind.stats["precision"] == 0
    assert "3 of 3 pairs gave no pose" in blind.notes[1]


def test_unreadable_images_are_failures_and_are_told(tmp_path):
    pairs = (pose_pair("a", "b", K, K, POSE), pose_pair("a", "gone", K, K, POSE))
    dataset = PosePairs("toy", {}, pairs)
    a, b = views(points())
    line = "gone.jpg: no such file"
    result = judged(dataset, stored(tmp_path, {"a": a, "b": b}, dataset.names, failed=[line]))
    assert result.stats["failed"] == 0.5 and result.stats["auc_20"] == pytest.approx(0.5, abs=1e-3)
    assert result.notes == ("1 of 2 pairs count as failed because an image could not be used", line)


def test_without_a_baseline_only_the_rotation_is_judged(tmp_path):
    turn = rigid(turned_about_z(10), torch.zeros(3, dtype=torch.float64))
    dataset = PosePairs("toy", {}, (pose_pair("a", "b", K, K, turn),))
    a, b = views(points(), turn)
    result = judged(dataset, stored(tmp_path, {"a": a, "b": b}, dataset.names), estimators=("opencv-magsac",))
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
    with_cameras = judged(PosePairs("toy", {}, (pair,), {"a": camera, "b": camera}), predictions)
    assert with_cameras.arrays["error_deg"].max() < 0.01
    assert judged(PosePairs("toy", {}, (pair,)), predictions).arrays["error_deg"].min() > 0.5


@pytest.mark.parametrize("wrong", [{"shuffles": 0}, {"precision_px": 0.0}, {"estimators": ()}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong)).removesuffix("s")):
        PoseBenchmark(truth=Path("x"), **wrong)
