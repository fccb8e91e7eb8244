from dataclasses import replace

import numpy as np
import pytest
import torch
from brute_force import camera, cast, scene_of, smooth_textures, surfaces_of
from random_inputs import generator

from traqpoint.data.worlds.config import KINDS, WorldsConfig
from traqpoint.data.worlds.kinds import draw_scene
from traqpoint.data.worlds.render import render, render_depth
from traqpoint.data.worlds.scene import stack_scenes
from traqpoint.data.worlds.source import Worlds, flight
from traqpoint.data.worlds.textures import Atlas
from traqpoint.errors import ConfigError
from traqpoint.geometry.pixels import pixel_grid
from traqpoint.geometry.sampling import sample
from traqpoint.geometry.transforms import check_rigid, homogeneous, invert_rigid
from traqpoint.geometry.warp import DepthGeometry
from traqpoint.types import PointState

SMALL = WorldsConfig(image_size=(96, 72), num_frames=3, num_textures=5, texture_size=64, photometric=0)


@pytest.mark.parametrize("kind", KINDS)
def test_depth_equals_brute_force_ray_casting(kind):
    worlds = Worlds(replace(SMALL, kinds=(kind,)), smooth_textures())
    surfaces, K, poses = worlds.draw(2, generator(3))
    depth = render_depth(surfaces, K, poses, SMALL.image_size)
    xy = pixel_grid(72, 96)
    for i in range(2):
        expected = cast(scene_of(surfaces, i), K[i, 1], poses[i, 1], xy)
        got = depth[i, 1].flatten().double()
        agrees = torch.isclose(got, expected, rtol=1e-4, atol=0, equal_nan=True)
        # A pixel whose centre lies on an outline to the last digit may fall to either side.
        assert agrees.float().mean() > 0.9995


def test_depth_of_a_plane_is_right_to_1e_5():
    surfaces = surfaces_of([((-50.0, 0.0, -50.0), (100.0, 0.0, 0.0), (0.0, 0.0, 100.0), 0)])
    K, pose = camera((0.3, -1.7, -2.0), (0.2, 0.4, 4.0), 100, 80, 90.0)
    depth = render_depth(surfaces, K[None, None], pose[None, None], (100, 80))[0, 0]
    rays = homogeneous(pixel_grid(80, 100).double()) @ torch.linalg.inv(K).T @ pose[:3, :3]
    analytic = (1.7 / rays[:, 1]).reshape(80, 100)
    seen = ~depth.isnan()
    assert seen.float().mean() > 0.5
    torch.testing.assert_close(depth[seen].double(), analytic[seen], rtol=1e-5, atol=0)


def box_before_wall():
    wall = ((-4.0, -3.0, 4.0), (8.0, 0.0, 0.0), (0.0, 6.0, 0.0), 0)
    front = ((-0.5, -0.5, 2.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), 1)
    side = ((0.5, -0.5, 2.0), (0.0, 0.0, 0.6), (0.0, 1.0, 0.0), 1)
    surfaces = surfaces_of([wall, front, side])
    views = [camera((x, 0.1, 0.0), (0.3 * x, 0.0, 3.0), 96, 72, 80.0) for x in (-0.9, 0.8)]
    K, poses = (torch.stack(v)[None] for v in zip(*views, strict=True))
    return surfaces, K, poses


def test_a_box_hides_exactly_what_lies_behind_it():
    surfaces, K, poses = box_before_wall()
    geometry = DepthGeometry(render_depth(surfaces, K, poses, (96, 72)), K.float(), poses.float(), 0.01)
    xy = pixel_grid(72, 96)
    warped = geometry.warp(0, 1, xy[None])
    one = scene_of(surfaces, 0)
    z = cast(one, K[0, 0], poses[0, 0], xy)
    x = homogeneous((homogeneous(xy.double()) @ torch.linalg.inv(K[0, 0]).T) * z[:, None])
    x = (x @ (poses[0, 1] @ invert_rigid(poses[0, 0])).T)[:, :3]
    target = (x @ K[0, 1].T)[:, :2] / x[:, 2:]
    torch.testing.assert_close(warped.xy[0].double(), target, rtol=0, atol=1e-3)
    inside = ((target >= 0) & (target < torch.tensor([96, 72]))).all(1)
    assert torch.equal(warped.state[0] == PointState.OUTSIDE, ~inside)

    steps = torch.tensor([[0, 0], [-0.8, -0.8], [0.8, -0.8], [-0.8, 0.8], [0.8, 0.8]])
    same = torch.stack([torch.isclose(cast(one, K[0, 1], poses[0, 1], target + s), x[:, 2], rtol=0.05) for s in steps])
    # Within a pixel of the box's outline the target image itself shows either.
    clear = inside & (same.all(0) | ~same.any(0))
    assert clear.sum() > 0.9 * inside.sum()
    assert (~same[0, clear]).sum() > 300
    assert torch.equal(warped.state[0, clear] == PointState.OCCLUDED, ~same[0, clear])
    assert torch.equal(warped.state[0, clear] == PointState.VISIBLE, same[0, clear])


def test_outlines_blend_colour_and_never_depth():
    wall = ((-4.0, -3.0, 4.0), (8.0, 0.0, 0.0), (0.0, 6.0, 0.0), 0)
    card = ((-0.4, -0.6, 2.0), (1.0, 0.3, 0.0), (-0.3, 1.0, 0.0), 1)
    surfaces = surfaces_of([wall, card])
    K, pose = camera((0.0, 0.0, 0.0), (0.0, 0.0, 1.0), 64, 48, 60.0)
    black_white = torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)])
    image, depth = render(surfaces, K[None, None], pose[None, None], (64, 48), Atlas(black_white))
    between = (image[0, 0, 0] > 0.1) & (image[0, 0, 0] < 0.9)
    assert between.sum() > 30
    assert ((depth - 4).abs().minimum((depth - 2).abs()) < 1e-5).all()


def test_minified_texture_turns_grey_instead_of_aliasing():
    checker = ((torch.arange(64)[:, None] + torch.arange(64)) % 2).float().expand(1, 3, 64, 64)
    surfaces = surfaces_of([((-4.0, -3.0, 4.0), (8.0, 0.0, 0.0), (0.0, 6.0, 0.0), 0)])
    surfaces = replace(surfaces, uv=surfaces.uv * 4)
    K, pose = camera((0.0, 0.0, 0.0), (0.3, 0.2, 1.0), 64, 48, 60.0)
    image, depth = render(surfaces, K[None, None], pose[None, None], (64, 48), Atlas(checker))
    inner = -torch.nn.functional.max_pool2d(-depth.nan_to_num(0), 3, stride=1, padding=1) > 0
    assert inner.float().mean() > 0.5
    assert (image - 0.5).abs().amax(2)[inner].max() < 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_a_point_has_the_same_colour_in_every_frame_that_sees_it(kind):
    config = replace(SMALL, kinds=(kind,), image_size=(160, 120))
    sequence = Worlds(config, smooth_textures()).sample(2, generator(1))
    xy = pixel_grid(120, 160, 3).expand(2, -1, -1)
    for target in (1, 2):
        warped = sequence.geometry.warp(0, target, xy)
        assert warped.visible.float().mean() > 0.25
        here = sample(sequence.images[:, 0], xy, (160, 120))
        there = sample(sequence.images[:, target], warped.xy, (160, 120))
        error = (here - there).abs().amax(-1)[warped.visible]
        assert error.median() < 0.003
        # The rest lies on outlines, where a pixel mixes two surfaces.
        assert (error < 0.03).float().mean() > 0.93


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_world():
    config = replace(SMALL, photometric=1.0)
    a, b, c = (Worlds(config).sample(2, generator(s)) for s in (5, 5, 6))
    assert torch.equal(a.images, b.images)
    assert torch.equal(a.geometry.depth.nan_to_num(), b.geometry.depth.nan_to_num())
    assert torch.equal(a.geometry.cam_from_world, b.geometry.cam_from_world)
    assert not torch.equal(a.images, c.images)
    assert not torch.equal(a.images[0], a.images[1])


def test_sequences_are_float32_finite_rigid_and_mostly_surface():
    sequence = Worlds(replace(SMALL, photometric=1.0)).sample(6, generator(7))
    geometry = sequence.geometry
    assert sequence.images.shape == (6, 3, 3, 72, 96)
    assert geometry.depth.shape == (6, 3, 72, 96)
    for tensor in (sequence.images, geometry.depth, geometry.K, geometry.cam_from_world):
        assert tensor.dtype == torch.float32
    assert sequence.images.isfinite().all() and sequence.images.min() >= 0 and sequence.images.max() <= 1
    check_rigid(geometry.cam_from_world, "cam_from_world", tolerance=1e-5)
    assert not (geometry.depth <= 0).any()
    assert geometry.depth.isnan().float().mean(dim=(2, 3)).max() < 0.4


@pytest.mark.slow
@pytest.mark.parametrize("motion", [0.0, 0.5, 2.0])
def test_every_frame_overlaps_the_first_and_motion_sets_the_baseline(motion):
    config = replace(SMALL, motion=motion, num_frames=4)
    sequence = Worlds(config, smooth_textures()).sample(8, generator(2))
    xy = pixel_grid(72, 96, 2).expand(8, -1, -1)
    for target in range(1, 4):
        share = sequence.geometry.warp(0, target, xy).visible.float().mean(1)
        # Overlap is measured on a coarser depth map when the path is drawn.
        assert share.min() > 0.8 * config.min_overlap
    eyes = invert_rigid(sequence.geometry.cam_from_world)[..., :3, 3]
    baseline = (eyes[:, -1] - eyes[:, 0]).norm(dim=1) / sequence.geometry.depth[:, 0].flatten(1).nanmedian(1).values
    assert baseline.max() < 1e-4 if motion == 0 else baseline.median() > 0.05 * motion


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_cameras_stay_in_free_space(kind):
    worlds = Worlds(replace(SMALL, kinds=(kind,)), smooth_textures())
    for seed in range(3):
        _, _, poses = worlds.draw(1, generator(seed))
        # The same numbers that `draw` used rebuild its scene.
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator(seed))))
        rng.choice((kind,), size=1)
        scene = draw_scene(kind, SMALL.num_objects, 3, rng)
        assert torch.equal(stack_scenes([scene]).origin, worlds.draw(1, generator(seed))[0].origin)
        eyes = invert_rigid(poses)[0, :, :3, 3].numpy()
        assert scene.free(eyes, 0.0).all()


def test_flight_is_one_smooth_path_with_long_lived_points():
    config = replace(SMALL, kinds=("room",), image_size=(64, 48))
    sequence = flight(12, config, smooth_textures(), seed=4)
    assert sequence.images.shape == (1, 12, 3, 48, 64)
    eyes = invert_rigid(sequence.geometry.cam_from_world.double())[0, :, :3, 3]
    steps = eyes.diff(dim=0)
    assert steps.diff(dim=0).norm(dim=1).max() < 0.3 * steps.norm(dim=1).mean()
    xy = pixel_grid(48, 64, 4)[None]
    alive = torch.stack([sequence.geometry.warp(0, t, xy).visible[0] for t in range(1, 12)])
    assert (alive.sum(0) >= 9).float().mean() > 0.3
    assert torch.equal(sequence.images, flight(12, config, smooth_textures(), seed=4).images)


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": (8, 64)},
        {"num_frames": 0},
        {"kinds": ()},
        {"kinds": ("cave",)},
        {"num_objects": -1},
        {"clutter": -1},
        {"thin": -1},
        {"repeated": 1.1},
        {"paths": ()},
        {"paths": ("spiral",)},
        {"overlap": (0.5, 0.3)},
        {"overlap": (-0.1, 0.3)},
        {"overlap": (0.5, float("nan"))},
        {"motion": 0.0, "overlap": (0.3, 0.5)},
        {"light": -1.0},
        {"blur_px": 100.0},
        {"exposure": float("nan")},
        {"motion": -0.1},
        {"motion": float("nan")},
        {"roll_deg": 200.0},
        {"min_overlap": 0.9},
        {"photometric": -1.0},
        {"num_textures": 0},
        {"texture_size": 4},
    ],
)
def test_a_value_out_of_range_is_named(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        WorldsConfig(**change)
