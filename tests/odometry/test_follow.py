"""Odometry with a map: exact features give the exact path, bundle adjustment mends noise, a loss is found back from."""

from dataclasses import replace

import pytest
import torch
from drive import FRAMES, Drive

from traqpoint.errors import ConfigError
from traqpoint.evaluation.metrics.trajectory import absolute_errors, align
from traqpoint.matching.config import RobustConfig
from traqpoint.matching.run import build_matcher
from traqpoint.odometry.config import MapConfig, OdometryConfig
from traqpoint.odometry.follow import Follower, follow_path

pytest.importorskip("pycolmap")


def followed(world, order=None, **options):
    """The path of the drive's frames in that order; None is a frame that could not be read."""
    frames = list(range(FRAMES)) if order is None else order
    features = [None if t is None else world.features[t] for t in frames]
    config = OdometryConfig("map", "none", 3, robust=RobustConfig("opencv-magsac"), map=MapConfig(**options))
    follower = Follower(world.sequence.camera, build_matcher(), config)
    times = torch.arange(len(frames), dtype=torch.float64)
    return follow_path(times, features, follower), follower


def error(world, path):
    return float(absolute_errors(align(path.trajectory, world.truth, "sim3"), world.truth).square().mean().sqrt())


@pytest.mark.parametrize("bundle", [True, False])
def test_exact_features_give_the_exact_path_in_steps_of_the_first_one(bundle):
    world = Drive()
    path, follower = followed(world, bundle=bundle)
    assert not path.lost.any() and follower.pieces == 1 and len(follower.map.keyframes) > 3
    assert error(world, path) < 2e-3
    first = follower.map.keyframes[1].frame
    assert float(path.trajectory.centres[first].norm()) == pytest.approx(first, rel=0.01)


def test_bundle_adjustment_mends_what_noise_bends():
    world = Drive(noise=0.3)
    errors = [error(world, followed(world, bundle=bundle, max_error_px=2.0)[0]) for bundle in (True, False)]
    assert errors[0] < 0.7 * errors[1]


def test_frames_that_show_nothing_are_lost_and_the_map_is_found_again():
    world = Drive()
    order = [0, 1, 2, 3, 4, 5, None, None, 2, 3, 6, 7]
    path, follower = followed(world, order)
    assert path.lost.nonzero().flatten().tolist() == [6, 7]
    assert follower.pieces == follower.relocalized == 1 and "found back 1 times after a loss" in path.notes
    poses = path.trajectory.cam_from_world
    assert torch.allclose(poses[8], poses[2], atol=1e-2) and torch.allclose(poses[9], poses[3], atol=1e-2)


def test_without_relocalization_a_new_piece_begins_and_it_is_told():
    world = Drive()
    elsewhere = Drive(points=300)
    ids = torch.eye(600)
    world.features = [replace(f, descriptors=ids[i]) for f, i in zip(world.features, world.ids, strict=True)]
    other = [replace(f, descriptors=ids[300 + i]) for f, i in zip(elsewhere.features, elsewhere.ids, strict=True)]
    world.features += other
    path, follower = followed(world, [*range(7), *range(FRAMES, FRAMES + 8)], patience=2)
    assert follower.pieces == 2 and any("in 2 pieces" in note for note in path.notes)
    assert not path.lost[-3:].any()


def test_a_camera_that_stands_still_has_one_pose_and_no_map():
    world = Drive()
    path, follower = followed(world, [0] * 6)
    assert not follower.map.keyframes and path.notes == ("the camera does not move",)
    assert torch.allclose(path.trajectory.cam_from_world, torch.eye(4, dtype=torch.float64).expand(6, 4, 4))


def test_a_camera_that_only_turns_makes_no_map():
    """Without parallax there is nothing to make points of, however much the view changes."""
    world = Drive()
    world.features = []
    for t in range(6):
        angle = torch.tensor(0.03 * t, dtype=torch.float64)
        c, s = float(angle.cos()), float(angle.sin())
        R = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=torch.float64)
        generator = torch.Generator().manual_seed(1)
        rays = torch.cat([torch.rand(200, 2, generator=generator) - 0.5, torch.ones(200, 1)], dim=-1).double()
        xy = world.sequence.camera.project(rays @ R.T)
        world.features.append(
            replace(Drive().features[0], keypoints=xy.float(), scores=torch.ones(200), descriptors=torch.eye(200))
        )
    path, follower = followed(world, list(range(6)))
    assert not follower.map.keyframes
    assert path.notes[-1] == "no two frames have the parallax that a map begins with"


def test_the_true_scale_and_impossible_numbers_are_refused():
    with pytest.raises(ConfigError, match="scale none"):
        OdometryConfig("map", "truth")
    for options in ({"bundle_window": 1}, {"max_error_px": 0.0}, {"patience": 0}, {"min_points": 3}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            MapConfig(**options)
