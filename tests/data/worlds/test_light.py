"""Light that moves, shutters that stay open: what changes the picture and never the geometry."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from brute_force import camera, surfaces_of
from random_inputs import generator

from traqpoint.data.worlds.config import WorldsConfig
from traqpoint.data.worlds.kinds import draw_scene
from traqpoint.data.worlds.light import moving_light
from traqpoint.data.worlds.render import Light, render
from traqpoint.data.worlds.shutter import draw_smears, motion_blur, moved, shutter_times, velocity
from traqpoint.data.worlds.source import Worlds
from traqpoint.data.worlds.textures import Atlas
from traqpoint.geometry.transforms import check_rigid

TINY = WorldsConfig(image_size=(96, 72), num_frames=3, num_textures=3, texture_size=64, photometric=0)
WALL = ((-8.0, -6.0, 4.0), (16.0, 0.0, 0.0), (0.0, 12.0, 0.0), 0)


@pytest.mark.slow
@pytest.mark.parametrize("effect", [{"light": 1.0}, {"blur_px": 8.0}, {"exposure": 1.0}])
def test_light_blur_and_exposure_change_the_images_and_nothing_else(effect):
    plain, other = (Worlds(c).sample(3, generator(5)) for c in (TINY, replace(TINY, **effect)))
    assert torch.equal(plain.geometry.depth.nan_to_num(), other.geometry.depth.nan_to_num())
    assert torch.equal(plain.geometry.cam_from_world, other.geometry.cam_from_world)
    assert torch.equal(plain.geometry.K, other.geometry.K)
    assert (plain.images - other.images).abs().mean() > 0.003
    assert other.images.min() >= 0 and other.images.max() <= 1


def test_a_pixel_is_texture_times_brightness_times_the_colour_of_the_light_of_its_frame():
    surfaces = surfaces_of([WALL])
    K, pose = camera((0.0, 0.0, 0.0), (0.0, 0.0, 1.0), 32, 24, 30.0)
    K, pose = K.expand(1, 2, 3, 3), pose.expand(1, 2, 4, 4)
    # Brighter to the right in the first frame, evenly lit in the second.
    shade = torch.tensor([[[[0.5, 0.0, 0.75]], [[0.0, 0.0, 0.8]]]], dtype=torch.float64)
    colour = torch.tensor([[[[1.0, 0.9, 0.8]], [[0.6, 0.7, 1.0]]]], dtype=torch.float64)
    image, _ = render(surfaces, K, pose, (32, 24), Atlas(torch.full((1, 3, 8, 8), 0.7)), Light(shade, colour))
    x = (torch.arange(32) + 0.5 - 16) / 30 * 4
    first = 0.7 * (0.75 + 0.5 * (x + 8) / 16) * colour[0, 0, 0, :, None]
    torch.testing.assert_close(image[0, 0], first[:, None].expand(3, 24, 32).float(), rtol=0, atol=1e-5)
    second = (0.7 * 0.8 * colour[0, 1, 0])[:, None, None].expand(3, 24, 32)
    torch.testing.assert_close(image[0, 1], second.float(), rtol=0, atol=1e-5)


def lit(strength, kind="table", num_frames=4, seed=0):
    scene = draw_scene(kind, 8, 3, np.random.default_rng(seed))
    return scene, moving_light([scene], num_frames, strength)


def test_faces_that_look_the_same_way_change_alike_and_others_do_not():
    scene, light = lit(1.0)
    change = (light.colour[0, -1] / light.colour[0, 0]).numpy()
    normals = np.stack(scene.normals)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1)
    alike = normals @ normals.T
    difference = np.abs(change[:, None] - change[None]).max(-1)
    assert (alike > 1 - 1e-9).sum() > len(normals)
    assert difference[alike > 1 - 1e-9].max() < 1e-9
    assert np.median(difference[alike < 0.3]) > 0.05


def test_what_faces_the_light_is_brightest_and_the_light_moves_a_little_per_frame():
    scene, light = lit(1.0, num_frames=9)
    facing = np.stack(scene.normals) @ scene.light
    first = light.colour[0, 0].mean(-1).numpy()
    assert np.corrcoef(first, facing.clip(0))[0, 1] > 0.999
    whole = (light.colour[0, -1] - light.colour[0, 0]).abs().amax()
    assert light.colour[0].diff(dim=0).abs().amax() < 0.35 * whole


def test_light_of_no_strength_stays_as_the_scene_has_it():
    _, light = lit(0.0)
    assert torch.equal(light.colour[0, 0], light.colour[0, -1])
    assert torch.equal(light.shade[0, 0], light.shade[0, -1])


def test_brightness_of_a_face_never_leaves_what_a_photograph_can_hold():
    for seed in range(5):
        _, light = lit(1.0, kind="hills", seed=seed)
        assert light.colour.min() > 0.05 and light.colour.max() < 2.5


def test_velocity_is_that_of_a_camera_on_a_screw():
    turn, step = torch.tensor([0.02, -0.05, 0.03], dtype=torch.float64), torch.tensor([0.1, 0.0, -0.2]).double()
    _, start = camera((0.3, -1.0, -2.0), (0.0, 0.0, 3.0), 64, 48, 60.0)
    time = torch.arange(5, dtype=torch.float64)
    motion = (step.expand(5, 3), turn.expand(5, 3))
    poses = moved(start.expand(5, 4, 4), motion, time)
    check_rigid(poses, "poses", 1e-9)
    eye, axis = velocity(poses[None])
    torch.testing.assert_close(eye[0], motion[0], rtol=0, atol=1e-9)
    torch.testing.assert_close(axis[0], motion[1], rtol=0, atol=1e-9)


def strafing(smear, frames=3, speed=0.4):
    """A textured wall, seen by a camera that moves to the right. Returns what motion_blur takes."""
    coarse = torch.rand(1, 3, 16, 16, generator=generator(1))
    atlas = Atlas(torch.nn.functional.interpolate(coarse, size=(128, 128), mode="bilinear"))
    surfaces = surfaces_of([WALL])
    surfaces = replace(surfaces, uv=surfaces.uv * 3)
    views = [camera((speed * i, 0.0, 0.0), (speed * i, 0.0, 1.0), 96, 72, 90.0) for i in range(frames)]
    K, poses = (torch.stack(v)[None] for v in zip(*views, strict=True))
    images, depth = render(surfaces, K, poses, (96, 72), atlas)
    return images, depth, surfaces, K, poses, torch.full((1, frames), float(smear)), atlas


def test_a_shutter_stays_open_as_long_as_the_asked_for_smear_takes():
    _, depth, _, K, poses, smear, _ = strafing(6.0)
    motion = velocity(poses)
    # The wall is 4 m away: at 90 px focal length a frame interval of 0.4 m moves it by 9 px.
    times = shutter_times(depth[0], K[0], poses[0], (motion[0][0], motion[1][0]), smear[0].double())
    torch.testing.assert_close(times, torch.full((3,), 6 / 9, dtype=torch.float64), rtol=1e-3, atol=0)


def test_a_blurred_frame_is_most_like_the_sharp_one_at_its_own_pose_and_alike_before_and_after():
    images, depth, surfaces, K, poses, smear, atlas = strafing(10.0)
    blurred = motion_blur(images, depth, surfaces, K, poses, smear, atlas)[0, 1]
    shifts = torch.linspace(-0.1, 0.1, 9)
    views = [camera((0.4 + float(s), 0.0, 0.0), (0.4 + float(s), 0.0, 1.0), 96, 72, 90.0) for s in shifts]
    some_K, some_poses = (torch.stack(v)[None] for v in zip(*views, strict=True))
    sharp, _ = render(surfaces, some_K, some_poses, (96, 72), atlas)
    error = (sharp[0] - blurred).abs().mean((1, 2, 3))
    assert error.argmin() == 4 and error[0] > 1.1 * error[4]
    torch.testing.assert_close(error, error.flip(0), rtol=0.15, atol=0)


def test_a_camera_that_goes_the_same_way_back_blurs_the_same():
    images, depth, surfaces, K, poses, smear, atlas = strafing(7.0)
    there = motion_blur(images, depth, surfaces, K, poses, smear, atlas)
    back = motion_blur(images.flip(1), depth.flip(1), surfaces, K, poses.flip(1), smear, atlas)
    torch.testing.assert_close(there, back.flip(1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("smear", [6.0, 14.0])
def test_a_step_becomes_a_ramp_in_light_as_wide_as_the_smear(smear):
    dark = ((-8.0, -6.0, 4.0), (8.4, 0.0, 0.0), (0.0, 12.0, 0.0), 0)
    light = ((0.4, -6.0, 4.0), (8.0, 0.0, 0.0), (0.0, 12.0, 0.0), 1)
    *_, K, poses, smears, _ = strafing(smear)
    surfaces, atlas = surfaces_of([dark, light]), Atlas(torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)]))
    images, depth = render(surfaces, K, poses, (96, 72), atlas)
    row = motion_blur(images, depth, surfaces, K, poses, smears, atlas)[0, 1, 0, 36].pow(2.2)
    # The step is at x = 0.4 m, where the middle camera looks: column 48. A ramp's variance tells its width. The sharp
    # renders mix their outlines as colours, and not as light, which moves them by a part of a pixel.
    centre = (row.diff() * torch.arange(1, 96)).sum()
    width = (12 * (row.diff() * (torch.arange(1, 96) - centre).square()).sum()).sqrt()
    assert abs(float(centre) - 48) < 0.25
    assert abs(float(width) - smear) < 1.5


def test_half_of_the_frames_are_sharp_and_the_rest_smear_up_to_the_limit():
    smears = draw_smears((40, 50), 9.0, generator(2))
    assert abs((smears == 0).float().mean() - 0.5) < 0.05
    assert smears.max() <= 9 and smears[smears > 0].mean() == pytest.approx(4.5, abs=0.3)


def test_a_camera_that_stands_still_does_not_blur():
    still = replace(TINY, motion=0.0)
    plain, other = (Worlds(c).sample(2, generator(5)).images for c in (still, replace(still, blur_px=12.0)))
    torch.testing.assert_close(plain, other, rtol=0, atol=1e-5)
