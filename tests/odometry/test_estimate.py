"""The path of exact features comes back; without the truth its scale is that of the first step."""

import pytest
import torch
from drive import PINHOLE, SIZE, Drive

from traqpoint.data.testsets.odometry import OdometrySequence
from traqpoint.errors import ConfigError
from traqpoint.geometry.camera import Camera
from traqpoint.matching.config import RobustConfig
from traqpoint.odometry.config import OdometryConfig
from traqpoint.odometry.estimate import estimate_path


@pytest.mark.parametrize("mode", ["frame", "keyframe"])
def test_without_the_truth_lengths_are_those_of_the_first_step(mode):
    world = Drive()
    found = estimate_path(world.sequence, world.pair, OdometryConfig(mode, "none", window=4))
    steps = found.trajectory.centres.diff(dim=0).norm(dim=-1)
    assert torch.allclose(steps, world.truth.centres.diff(dim=0).norm(dim=-1) / 0.3, atol=0.02)
    assert found.unscaled == 0


@pytest.mark.parametrize("estimator", ["opencv-ransac", "opencv-magsac", "poselib"])
def test_noise_and_wrong_matches_are_borne(estimator):
    if estimator == "poselib":
        pytest.importorskip("poselib")
    world = Drive(noise=0.3, wrong=0.3)
    config = OdometryConfig("keyframe", "truth", robust=RobustConfig(estimator, 1.5))
    found = estimate_path(world.sequence, world.pair, config)
    assert not found.lost.any()
    assert (found.trajectory.centres - world.truth.centres).norm(dim=-1).max() < 0.3
    assert (found.inliers[1:] < found.matches[1:]).all()


def test_keyframes_change_when_the_view_has_moved_and_at_the_latest_after_the_window():
    world = Drive()
    still = OdometryConfig("keyframe", "truth", window=3, min_inliers=0.0, max_flow=9.0)
    assert estimate_path(world.sequence, world.pair, still).reference.tolist() == [-1, 0, 0, 0, 3, 3, 3, 6, 6, 6, 9, 9]
    nervous = OdometryConfig("keyframe", "truth", max_flow=1e-6)
    assert estimate_path(world.sequence, world.pair, nervous).reference.tolist() == [-1, *range(11)]
    choosy = OdometryConfig("keyframe", "truth", window=8, min_inliers=0.9, max_flow=9.0)
    references = estimate_path(world.sequence, world.pair, choosy).reference.unique()
    assert 2 < len(references) < 11


def test_lens_distortion_is_taken_out():
    params = torch.tensor([500.0, 500, 320, 240, -0.25, 0.05, 0.001, -0.001], dtype=torch.float64)
    bent = Drive(camera=Camera("OPENCV", SIZE, params))
    found = estimate_path(bent.sequence, bent.pair, OdometryConfig())
    assert (found.trajectory.centres - bent.truth.centres).norm(dim=-1).max() < 0.02
    ignored = OdometrySequence("d", bent.sequence.images, bent.truth.timestamps, PINHOLE, bent.truth)
    wrong = estimate_path(ignored, bent.pair, OdometryConfig())
    assert (wrong.trajectory.centres - bent.truth.centres).norm(dim=-1).max() > 0.1


def test_true_scale_needs_a_true_path_and_impossible_settings_are_told():
    world = Drive()
    blind = OdometrySequence("blind", world.sequence.images, world.truth.timestamps, PINHOLE)
    with pytest.raises(ConfigError, match="blind: there is no true path"):
        estimate_path(blind, world.pair, OdometryConfig())
    for options in ({"mode": "x"}, {"scale": "x"}, {"window": 0}, {"min_inliers": 2.0}, {"max_flow": 0.0}):
        with pytest.raises(ConfigError):
            OdometryConfig(**options)
