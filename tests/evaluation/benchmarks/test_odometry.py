"""Odometry on a synthetic drive with exact features: the path comes back; what is lost is counted."""

from pathlib import Path

import numpy as np
import pytest
import torch

from traqpoint.data.testsets.odometry import OdometrySequence
from traqpoint.errors import ConfigError, GeometryError
from traqpoint.evaluation.benchmarks.odometry import (
    evaluate_odometry,
    odometry_pairs,
    segment_lengths,
    trajectory_scores,
)
from traqpoint.evaluation.metrics.trajectory import KITTI_LENGTHS
from traqpoint.evaluation.predict import Predictions
from traqpoint.geometry.camera import Camera
from traqpoint.geometry.transforms import homogeneous, invert_rigid, rigid, rotation_from_quaternion
from traqpoint.io.npz import NpzFeatures, NpzMatches
from traqpoint.io.trajectory import Trajectory
from traqpoint.matching.config import RobustConfig
from traqpoint.odometry.estimate import OdometryConfig, estimate_path
from traqpoint.types import Features, Matches

SIZE, FRAMES = (640, 480), 12
PINHOLE = Camera("PINHOLE", SIZE, torch.tensor([500.0, 500, 320, 240], dtype=torch.float64))


def drive(frames=FRAMES):
    """A bend of steps of growing length: 0.3 m, 0.35 m, …"""
    angle = torch.linspace(0, 0.4, frames, dtype=torch.float64)
    zero = torch.zeros_like(angle)
    R = rotation_from_quaternion(torch.stack([(angle / 2).cos(), zero, (angle / 2).sin(), zero], dim=-1))
    step = (0.3 + 0.05 * torch.arange(frames)).double()[:, None] * R[:, :, 2]
    centres = torch.cat([torch.zeros(1, 3, dtype=torch.float64), step.cumsum(0)[:-1]])
    world_from_cam = rigid(R, centres)
    return Trajectory(torch.arange(frames, dtype=torch.float64), invert_rigid(world_from_cam))


class Drive:
    """Features and matches of exact projections of 300 points; `blank` frames have no keypoints."""

    def __init__(self, noise=0.0, wrong=0.0, blank=(), camera=None, points=300):
        self.truth = drive()
        generator = torch.Generator().manual_seed(0)
        low, high = torch.tensor([-12.0, -4, 4]), torch.tensor([12.0, 4, 30])
        world = low + (high - low) * torch.rand(points, 3, generator=generator)
        camera = camera or PINHOLE
        self.ids, self.features = [], []
        for t, pose in enumerate(self.truth.cam_from_world):
            xy = camera.project((homogeneous(world.double()) @ pose.T)[:, :3])
            seen = ((xy >= 0) & (xy < torch.tensor(SIZE))).all(-1) & (t not in blank)
            ids = seen.nonzero().flatten()
            xy = xy[ids] + noise * torch.randn(len(ids), 2, generator=generator)
            self.ids.append(ids)
            self.features.append(Features(xy.float(), torch.ones(len(ids)), torch.eye(points)[ids], SIZE))
        self.wrong, self.generator = wrong, generator
        images = {f"{t:03}.png": Path(f"{t:03}.png") for t in range(FRAMES)}
        self.sequence = OdometrySequence("drive", images, self.truth.timestamps, camera, self.truth)

    def matches(self, i, j):
        common = self.ids[i][torch.isin(self.ids[i], self.ids[j])]
        a, b = torch.searchsorted(self.ids[i], common), torch.searchsorted(self.ids[j], common)
        mixed = torch.rand(len(b), generator=self.generator) < self.wrong
        b[mixed] = b[mixed].roll(1)
        return Matches(torch.stack([a, b], dim=-1), torch.ones(len(a)))

    def pair(self, i, j):
        return self.features[i], self.features[j], self.matches(i, j)

    def predictions(self, folder, config, missing=()):
        features, matches = NpzFeatures(folder / "f"), NpzMatches(folder / "m")
        names = list(self.sequence.images)
        for t, name in enumerate(names):
            if t not in missing:
                features.write(name, self.features[t])
        for a, b in odometry_pairs(self.sequence, config):
            matches.write(a, b, self.matches(names.index(a), names.index(b)))
        failed = tuple(f"{names[t]}: broken" for t in missing)
        return Predictions("exact", features, matches, {"max_keypoints": 300}, failed)


MODES = [("frame", "truth"), ("keyframe", "truth"), ("frame", "none"), ("keyframe", "none")]


@pytest.mark.parametrize(("mode", "scale"), MODES)
def test_exact_features_give_the_exact_path_with_or_without_the_true_scale(tmp_path, mode, scale):
    config = OdometryConfig(mode, scale, window=4)
    world = Drive()
    result = evaluate_odometry(world.sequence, world.predictions(tmp_path, config), config)
    assert result.stats["ate_rmse_m"] < 2e-3  # keypoints are float32; the path is 6 m long
    assert result.stats["rpe_rotation_deg"] < 0.01
    assert result.stats["segment_translation_percent"] < 0.1
    assert result.stats["failed_frames"] == 0 and result.notes == ()
    assert result.protocol["alignment"] == ("se3" if scale == "truth" else "sim3")
    assert result.protocol["odometry"]["scale"] == scale and result.protocol["estimator"]["threshold_px"] == 0.5
    assert np.abs(result.arrays["centres_aligned"] - result.arrays["centres_true"]).max() < 5e-3


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


@pytest.mark.parametrize("mode", ["frame", "keyframe"])
def test_a_frame_without_keypoints_is_lost_counted_and_bridged_by_the_last_motion(tmp_path, mode):
    config = OdometryConfig(mode, "truth", window=4)
    world = Drive(blank=(5,))
    result = evaluate_odometry(world.sequence, world.predictions(tmp_path, config), config)
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
    config = OdometryConfig()
    world = Drive()
    result = evaluate_odometry(world.sequence, world.predictions(tmp_path, config, missing=(3,)), config)
    assert result.arrays["lost"].nonzero()[0].tolist() == [3, 4]
    assert "1 images could not be read, the first: 003.png: broken" in result.notes


def test_when_everything_is_lost_the_path_stands_still_and_its_error_is_the_paths_spread(tmp_path):
    for scale in ("truth", "none"):
        config = OdometryConfig(scale=scale)
        world = Drive(blank=tuple(range(FRAMES)))
        result = evaluate_odometry(world.sequence, world.predictions(tmp_path / scale, config), config)
        assert result.stats["failed_frames"] == FRAMES - 1
        assert result.stats["tracks"] == result.stats["mean_track_length"] == result.stats["keyframes"] == 0
        spread = world.truth.centres - world.truth.centres.mean(0)
        assert result.stats["ate_rmse_m"] == pytest.approx(float(spread.square().sum(-1).mean().sqrt()))


def test_after_a_loss_without_truth_the_last_length_is_kept_and_it_is_told(tmp_path):
    config = OdometryConfig(scale="none")
    world = Drive(blank=(5,))
    result = evaluate_odometry(world.sequence, world.predictions(tmp_path, config), config)
    assert any(note.startswith("1 steps share too few points") for note in result.notes)


def test_tracks_are_counted_over_inlier_matches(tmp_path):
    """Every point of exact features is one track, as long as it is seen without a break."""
    config = OdometryConfig()
    world = Drive()
    result = evaluate_odometry(world.sequence, world.predictions(tmp_path, config), config)
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


def test_lens_distortion_is_taken_out():
    params = torch.tensor([500.0, 500, 320, 240, -0.25, 0.05, 0.001, -0.001], dtype=torch.float64)
    bent = Drive(camera=Camera("OPENCV", SIZE, params))
    found = estimate_path(bent.sequence, bent.pair, OdometryConfig())
    assert (found.trajectory.centres - bent.truth.centres).norm(dim=-1).max() < 0.02
    ignored = OdometrySequence("d", bent.sequence.images, bent.truth.timestamps, PINHOLE, bent.truth)
    wrong = estimate_path(ignored, bent.pair, OdometryConfig())
    assert (wrong.trajectory.centres - bent.truth.centres).norm(dim=-1).max() > 0.1


def test_a_path_with_gaps_is_judged_where_it_has_poses_and_its_coverage_told():
    """Every third pose of the truth, a little later, and moved as a whole."""
    truth = drive()
    part = truth[::3]
    turn = rigid(rotation_from_quaternion(torch.tensor([0.9, 0.1, 0.3, 0.2]).double()), torch.ones(3).double())
    estimate = Trajectory(part.timestamps + 0.01, part.cam_from_world @ turn)
    stats, arrays, _ = trajectory_scores(estimate, truth, "se3")
    assert stats["coverage"] == pytest.approx(4 / 12) and stats["ate_max_m"] < 1e-9
    assert arrays["ate_m"].shape == (4,)
    assert trajectory_scores(estimate, truth, "none")[0]["ate_rmse_m"] > 0.1
    with pytest.raises(GeometryError, match="no pose of the estimate"):
        trajectory_scores(estimate, truth, "se3", max_difference=0.001)


def test_short_runs_have_segments_of_a_tenth_or_a_hundredth():
    assert segment_lengths(3724.0) == segment_lengths(200.0) == KITTI_LENGTHS
    assert segment_lengths(59.9) == pytest.approx([10, 20, 30, 40, 50, 60, 70, 80])
    assert segment_lengths(7.0)[0] == pytest.approx(1) and segment_lengths(0.0) == KITTI_LENGTHS


def test_pairs_are_those_that_the_mode_can_use():
    world = Drive()
    assert odometry_pairs(world.sequence, OdometryConfig())[:2] == [("000.png", "001.png"), ("001.png", "002.png")]
    assert len(odometry_pairs(world.sequence, OdometryConfig("keyframe", window=3))) == 11 + 10 + 9


def test_true_scale_needs_a_true_path_and_impossible_settings_are_told():
    world = Drive()
    blind = OdometrySequence("blind", world.sequence.images, world.truth.timestamps, PINHOLE)
    with pytest.raises(ConfigError, match="blind: there is no true path"):
        estimate_path(blind, world.pair, OdometryConfig())
    for options in ({"mode": "x"}, {"scale": "x"}, {"window": 0}, {"min_inliers": 2.0}, {"max_flow": 0.0}):
        with pytest.raises(ConfigError):
            OdometryConfig(**options)
