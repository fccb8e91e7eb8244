"""Odometry on a synthetic drive with exact features: the path comes back; what is lost is counted."""

import numpy as np
import pytest
import torch
from drive import FRAMES, Drive

from traqpoint.evaluation.benchmarks.odometry import OdometryBenchmark
from traqpoint.geometry.transforms import invert_rigid

MODES = [("frame", "truth"), ("keyframe", "truth"), ("frame", "none"), ("keyframe", "none")]


@pytest.mark.parametrize(("mode", "scale"), MODES)
def test_exact_features_give_the_exact_path_with_or_without_the_true_scale(tmp_path, mode, scale):
    benchmark = OdometryBenchmark(mode=mode, scale=scale, window=4)
    world = Drive()
    result = benchmark.on(world.sequence).score(world.predictions(tmp_path, benchmark))
    assert result.stats["ate_rmse_m"] < 2e-3  # keypoints are float32; the path is 6 m long
    assert result.stats["rpe_rotation_deg"] < 0.01
    assert result.stats["segment_translation_percent"] < 0.1
    assert result.stats["failed_frames"] == 0 and result.notes == ()
    assert result.protocol["alignment"] == ("se3" if scale == "truth" else "sim3")
    assert result.protocol["odometry"]["scale"] == scale and result.protocol["estimator"]["threshold_px"] == 0.5
    assert np.abs(result.arrays["centres_aligned"] - result.arrays["centres_true"]).max() < 5e-3


@pytest.mark.parametrize("mode", ["frame", "keyframe"])
def test_a_frame_without_keypoints_is_lost_counted_and_bridged_by_the_last_motion(tmp_path, mode):
    benchmark = OdometryBenchmark(mode=mode, window=4)
    world = Drive(blank=(5,))
    result = benchmark.on(world.sequence).score(world.predictions(tmp_path, benchmark))
    # Frame 5 has no keypoints, and frame 6 nothing but frame 5 to be measured against.
    assert result.arrays["lost"].nonzero()[0].tolist() == [5, 6]
    assert result.stats["failed_frames"] == 2 and result.stats["coverage"] == pytest.approx(10 / 12)
    assert "2 of 12 frames lost" in result.notes[0]
    poses = torch.from_numpy(result.arrays["estimate"])
    motion = poses[4] @ invert_rigid(poses[3])
    assert torch.allclose(poses[5] @ invert_rigid(poses[4]), motion)
    assert torch.allclose(poses[6] @ invert_rigid(poses[5]), motion)
    assert result.stats["ate_rmse_m"] < 0.2  # the bend goes on almost as before


def test_an_image_that_could_not_be_read_is_a_lost_frame(tmp_path):
    benchmark = OdometryBenchmark()
    world = Drive()
    result = benchmark.on(world.sequence).score(world.predictions(tmp_path, benchmark, missing=(3,)))
    assert result.arrays["lost"].nonzero()[0].tolist() == [3, 4]
    assert "1 images could not be read, the first: 003.png: broken" in result.notes


def test_when_everything_is_lost_the_path_stands_still_and_its_error_is_the_paths_spread(tmp_path):
    for scale in ("truth", "none"):
        benchmark = OdometryBenchmark(scale=scale)
        world = Drive(blank=tuple(range(FRAMES)))
        result = benchmark.on(world.sequence).score(world.predictions(tmp_path / scale, benchmark))
        assert result.stats["failed_frames"] == FRAMES - 1
        assert result.stats["tracks"] == result.stats["mean_track_length"] == result.stats["keyframes"] == 0
        spread = world.truth.centres - world.truth.centres.mean(0)
        assert result.stats["ate_rmse_m"] == pytest.approx(float(spread.square().sum(-1).mean().sqrt()))


def test_after_a_loss_without_truth_the_last_length_is_kept_and_it_is_told(tmp_path):
    benchmark = OdometryBenchmark(scale="none")
    world = Drive(blank=(5,))
    result = benchmark.on(world.sequence).score(world.predictions(tmp_path, benchmark))
    assert any(note.startswith("1 steps share too few points") for note in result.notes)


def test_tracks_are_counted_over_inlier_matches(tmp_path):
    """Every point of exact features is one track, as long as it is seen without a break."""
    benchmark = OdometryBenchmark()
    world = Drive()
    result = benchmark.on(world.sequence).score(world.predictions(tmp_path, benchmark))
    seen = torch.zeros(FRAMES, 300, dtype=torch.bool)
    for t, ids in enumerate(world.ids):
        seen[t, ids] = True
    runs = []
    for column in seen.T.tolist():
        length = 0
        for now in [*column, False]:
            length, ended = (length + 1, 0) if now else (0, length)
            runs += [ended] if ended > 1 else []
    assert result.stats["mean_track_length"] == pytest.approx(np.mean(runs), rel=0.02)
    assert len(result.arrays["track_lengths"]) == result.stats["tracks"]


def test_pairs_are_those_that_the_mode_can_use():
    world = Drive()
    assert OdometryBenchmark().on(world.sequence).inputs()[1][:2] == [("000.png", "001.png"), ("001.png", "002.png")]
    keyframes = OdometryBenchmark(mode="keyframe", window=3).on(world.sequence)
    assert len(keyframes.inputs()[1]) == 11 + 10 + 9
