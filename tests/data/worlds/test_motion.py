"""Camera paths: what each kind does, and how far their frames overlap."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from brute_force import smooth_textures
from random_inputs import generator

from traqpoint.data.worlds.config import PATHS, RICH, WorldsConfig
from traqpoint.data.worlds.source import Worlds
from traqpoint.geometry.pixels import pixel_grid
from traqpoint.geometry.transforms import check_rigid, invert_rigid

SMALL = WorldsConfig(image_size=(96, 72), num_frames=4, num_textures=5, texture_size=64, photometric=0)
BANDS = ((0.5, 0.7), (0.3, 0.5), (0.1, 0.3))
"""High, medium and low overlap of the paper's curriculum."""
EYE, TARGET = np.array([1.0, -1.5, -2.0]), np.array([0.2, -0.4, 3.0])


def path(kind, seed=0, length=1.0, frames=9):
    time = np.linspace(0, 1, frames)[:, None]
    return PATHS[kind](EYE, TARGET, length, time, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("seed", range(3))
def test_every_path_starts_where_it_was_placed_and_is_smooth(kind, seed):
    eyes, targets = path(kind, seed, frames=200)
    assert eyes.shape == targets.shape == (200, 3)
    np.testing.assert_allclose(eyes[0], EYE, atol=1e-12)
    np.testing.assert_allclose(targets[0], TARGET, atol=1e-12)
    for points in (eyes, targets):
        assert np.linalg.norm(np.diff(points, axis=0), axis=1).max() < 0.12
        assert np.linalg.norm(np.diff(points, n=2, axis=0), axis=1).max() < 0.012


def test_an_orbit_keeps_its_distance_and_turns_by_its_length():
    eyes, targets = path("orbit")
    assert (targets == TARGET).all()
    plan = (eyes - TARGET)[:, [0, 2]]
    np.testing.assert_allclose(np.linalg.norm(plan, axis=1), np.linalg.norm(plan[0]), atol=1e-9)
    turned = np.arccos(plan[0] @ plan[-1] / (plan[0] @ plan[0]))
    assert turned == pytest.approx(1.0 / np.linalg.norm(EYE - TARGET))


def test_forward_goes_ahead_and_strafe_sideways_with_the_view_unturned():
    ahead = (TARGET - EYE) / np.linalg.norm(TARGET - EYE)
    for kind, least, most in (("forward", 0.8, 1.2), ("strafe", -0.3, 0.3)):
        eyes, targets = path(kind)
        np.testing.assert_allclose(targets - eyes, np.tile(TARGET - EYE, (9, 1)), atol=1e-9)
        assert least < (eyes[-1] - eyes[0]) @ ahead < most
        assert 0.8 < np.linalg.norm(eyes[-1] - eyes[0]) < 1.3


def test_a_pan_turns_on_the_spot():
    eyes, targets = path("pan")
    assert (eyes == EYE).all()
    plan = (targets - EYE)[:, [0, 2]]
    np.testing.assert_allclose(np.linalg.norm(plan, axis=1), np.linalg.norm(plan[0]), atol=1e-9)
    assert np.linalg.norm(plan[-1] - plan[0]) > 0.9


def test_a_hand_trembles_to_and_fro():
    for seed in range(5):
        _, targets = path("handheld", seed, frames=200)
        steps = np.diff(targets, axis=0)
        assert ((steps[1:] * steps[:-1]) < 0).any(0).all()


def overlaps(config, count, seed=0):
    """Share (B, T - 1) of the first frame's pixels that each other frame sees, on exact depth."""
    geometry = Worlds(config, smooth_textures()).sample(count, generator(seed)).geometry
    check_rigid(geometry.cam_from_world, "cam_from_world", 1e-5)
    xy = pixel_grid(72, 96, 2).expand(count, -1, -1)
    return torch.stack([share(geometry, 0, t, xy) for t in range(1, config.num_frames)], 1), geometry, xy


def share(geometry, source, target, xy):
    return geometry.warp(source, target, xy).visible.float().mean(1)


@pytest.mark.slow
@pytest.mark.parametrize("band", BANDS)
def test_every_band_of_the_curriculum_is_reached(band):
    config = replace(SMALL, paths=tuple(PATHS), overlap=band)
    star, _, _ = overlaps(config, 8)
    low, high = band
    mean = star.mean(1)
    inside = (mean > low - 0.03) & (mean < high + 0.03) & (star.min(1).values > low / 2 - 0.05)
    assert inside.float().mean() >= 7 / 8
    assert low < mean.mean() < high


@pytest.mark.slow
@pytest.mark.parametrize("kind", PATHS)
def test_each_kind_of_path_can_keep_to_a_band(kind):
    star, geometry, _ = overlaps(replace(SMALL, paths=(kind,), overlap=(0.3, 0.6)), 6, seed=1)
    mean = star.mean(1)
    assert ((mean > 0.27) & (mean < 0.63)).float().mean() >= 5 / 6
    eyes = invert_rigid(geometry.cam_from_world.double())[..., :3, 3]
    moved = (eyes - eyes[:, :1]).norm(dim=-1).amax(1)
    assert (moved < 1e-5).all() if kind == "pan" else (moved > 0.01).all()


@pytest.mark.slow
def test_frames_that_follow_each_other_overlap_more_than_with_the_first():
    steady = tuple(kind for kind in PATHS if kind != "handheld")
    star, geometry, xy = overlaps(replace(SMALL, paths=steady, overlap=(0.1, 0.3)), 6, seed=2)
    chain = torch.stack([share(geometry, t, t + 1, xy) for t in (1, 2)], 1)
    assert chain.mean() > star.mean() + 0.2


@pytest.mark.slow
def test_more_motion_than_asked_for_is_found_where_the_band_needs_it():
    star, _, _ = overlaps(replace(SMALL, paths=("strafe", "pan"), motion=0.01, overlap=(0.2, 0.4)), 6, seed=3)
    assert star.mean() < 0.45


def test_one_frame_has_no_overlap_to_be_judged_by():
    images = Worlds(replace(SMALL, num_frames=1, overlap=(0.3, 0.5)), smooth_textures()).sample(2, generator()).images
    assert images.shape == (2, 1, 3, 72, 96)


@pytest.mark.slow
def test_everything_at_once_gives_the_same_bits_for_the_same_seed_and_photographs():
    config = replace(RICH, image_size=(96, 72), num_frames=3, num_textures=5, texture_size=64)
    a, b = (Worlds(config).sample(4, generator(5)) for _ in range(2))
    assert torch.equal(a.images, b.images)
    assert torch.equal(a.geometry.depth.nan_to_num(), b.geometry.depth.nan_to_num())
    assert a.images.isfinite().all() and a.images.min() >= 0 and a.images.max() <= 1
    # Neither black nor burnt out as a whole.
    mean = a.images.mean((2, 3, 4))
    assert mean.min() > 0.03 and mean.max() < 0.97


def test_a_curriculum_moves_the_band_with_the_run():
    worlds = Worlds(WorldsConfig(image_size=(64, 64), num_textures=2, texture_size=32, curriculum=True))
    bands = [worlds.at(progress).config.overlap for progress in (0.0, 0.4, 1.0)]
    assert bands == [(0.5, 0.7), (0.3, 0.5), (0.1, 0.3)]
    plain = Worlds(WorldsConfig(image_size=(64, 64), num_textures=2, texture_size=32))
    assert plain.at(0.5) is plain
