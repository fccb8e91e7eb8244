from pathlib import Path

import cv2
import numpy as np
import pytest
import research_data
import torch
from planes import H, features, keypoints, one_to_one

from traqpoint.data.testsets.hpatches import HomographyPair, HomographyPairs, read_hpatches
from traqpoint.errors import ConfigError
from traqpoint.evaluation.benchmarks.homography import HomographyBenchmark
from traqpoint.evaluation.methods.method import build_method
from traqpoint.evaluation.predict import Predictions, predict
from traqpoint.evaluation.result import Result
from traqpoint.geometry.homography import apply_homography
from traqpoint.io.npz import NpzFeatures, NpzMatches

HOMOGRAPHY = research_data.DATA / "homography"


def judged(dataset, predictions) -> Result:
    return HomographyBenchmark(folder=Path(dataset.name)).on(dataset).score(predictions)


def stored(folder, found, pairs, failed=()):
    store, matches = NpzFeatures(folder / "features"), NpzMatches(folder / "matches")
    for name, value in found.items():
        store.write(name, value)
    for a, b in pairs:
        if a in found and b in found:
            matches.write(a, b, one_to_one(min(len(found[a]), len(found[b]))))
    return Predictions("ours", store, matches, {"extractor": {}}, tuple(failed))


def test_means_are_over_all_pairs_with_failures_in_them_and_the_kinds_apart(tmp_path):
    xy = keypoints()
    found = {"v": features(xy), "w": features(apply_homography(H, xy)), "i": features(xy), "e": features(xy[:0])}
    pairs = (
        HomographyPair("v", "w", H, "viewpoint"),
        HomographyPair("v", "gone", H, "viewpoint"),
        HomographyPair("i", "e", torch.eye(3, dtype=torch.float64), "illumination"),
    )
    dataset = HomographyPairs("toy", {}, pairs)
    result = judged(dataset, stored(tmp_path, found, dataset.names, ["gone.ppm: no such file"]))
    stats = result.stats
    assert stats["mma_3"] == pytest.approx(1 / 3) and stats["auc_5"] == pytest.approx(1 / 3, abs=1e-3)
    assert stats["failed"] == pytest.approx(2 / 3) and stats["repeatability"] == pytest.approx(1 / 3)
    assert stats["viewpoint_mma_3"] == 0.5 and stats["illumination_mma_3"] == stats["illumination_auc_5"] == 0
    assert stats["viewpoint_auc_1"] == pytest.approx(0.5, abs=1e-2)
    assert result.notes == (
        "1 of 3 pairs count as failed because an image could not be used",
        "1 of 3 pairs gave no homography: an infinite corner error",
        "gone.ppm: no such file",
    )
    assert result.protocol["estimator"]["threshold_px"] == 3.0


@pytest.mark.parametrize("wrong", [{"repeatable_px": 0.0}, {"judged_long_side": 0}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        HomographyBenchmark(folder=Path("x"), **wrong)


@pytest.mark.skipif(not HOMOGRAPHY.is_dir(), reason="the research data is not there")
def test_on_a_real_sequence_the_accuracy_is_what_opencv_measures(tmp_path):
    """Recomputed from the files alone: OpenCV's pixels, OpenCV's perspectiveTransform, the published matrix."""
    dataset = read_hpatches(HOMOGRAPHY)
    method = build_method("SIFT", max_keypoints=500)
    predictions = predict(dataset.images, dataset.names, method, tmp_path)
    result = judged(dataset, predictions)
    for row, k in enumerate(range(2, 7)):
        a, b, matches = predictions.pair("v_dogman/1.ppm", f"v_dogman/{k}.ppm")
        published = np.loadtxt(HOMOGRAPHY / "v_dogman" / f"H_1_{k}")
        source, target = (f.keypoints.double().numpy() - 0.5 for f in (a, b))
        i, j = matches.indices.numpy().T
        error = np.linalg.norm(cv2.perspectiveTransform(source[None], published)[0][i] - target[j], axis=1)
        expected = [(error <= t).mean() for t in (1, 3, 5)]
        np.testing.assert_allclose(result.arrays["accuracy"][row], expected, atol=2e-3)
    assert result.stats["mma_3"] > 0.4 and "viewpoint_mma_3" not in result.stats
