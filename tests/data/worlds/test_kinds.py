"""Clutter, thin structures and repeated texture."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from brute_force import cast, scene_of, smooth_textures
from random_inputs import generator

from traqpoint.data.worlds.clutter import SMALL
from traqpoint.data.worlds.config import KINDS, WorldsConfig
from traqpoint.data.worlds.kinds import draw_scene
from traqpoint.data.worlds.render import render_depth
from traqpoint.data.worlds.repeated import repeated_textures
from traqpoint.data.worlds.source import Worlds
from traqpoint.data.worlds.textures import Atlas, procedural_textures
from traqpoint.geometry.pixels import inside, pixel_grid
from traqpoint.geometry.transforms import homogeneous, invert_rigid
from traqpoint.geometry.warp import DepthGeometry
from traqpoint.types import PointState

TINY = WorldsConfig(image_size=(96, 72), num_frames=2, num_textures=3, texture_size=64, photometric=0)
BUSY = replace(TINY, clutter=20, thin=5)


def pieces(kind, seed=0, **extra):
    return draw_scene(kind, 4, 3, np.random.default_rng(seed), **extra)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_depth_of_small_and_thin_things_equals_brute_force_ray_casting(kind):
    worlds = Worlds(replace(BUSY, kinds=(kind,)), smooth_textures())
    surfaces, K, poses = worlds.draw(1, generator(3))
    depth = render_depth(surfaces, K, poses, BUSY.image_size)[0, 1].flatten().double()
    expected = cast(scene_of(surfaces, 0), K[0, 1], poses[0, 1], pixel_grid(72, 96))
    agrees = torch.isclose(depth, expected, rtol=1e-4, atol=0, equal_nan=True)
    # A pixel whose centre lies on an outline to the last digit may fall to either side.
    assert agrees.float().mean() > 0.999


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_added_leaves_the_rest_of_the_scene_as_it_was(kind):
    plain, busy = pieces(kind), pieces(kind, clutter=10, thin=5)
    n = len(plain.vectors)
    assert len(busy.vectors) > n + 40
    assert np.array_equal(plain.vectors, busy.vectors[:n]) and np.array_equal(plain.maps, busy.maps[:n])
    assert plain.rng.random() == busy.rng.random()


@pytest.mark.parametrize("kind", KINDS)
def test_clutter_is_small_and_stands_on_the_ground_or_on_a_box(kind):
    plain, busy = pieces(kind), pieces(kind, clutter=40)
    added = np.stack(busy.vectors[len(plain.vectors) :])
    edges = np.linalg.norm(added[:, 1:], axis=-1)
    assert len(added) >= 40 and edges.max() <= SMALL[1] * busy.texture_span + 1e-9
    corners = added[:, :1] + np.stack([0 * added[:, 1], added[:, 1], added[:, 2], added[:, 1] + added[:, 2]], axis=1)
    lowest = corners[..., 1].max(1)
    tops = np.array([centre[1] - half[1] for centre, _, half in plain.solids])
    ground = plain.ground(added[:, 0, 0], added[:, 0, 2])
    # Boxes have no lower face: their upper one is as much as their height above what they stand on.
    slack = SMALL[1] * busy.texture_span
    supported = (np.abs(lowest - ground) < 2 * slack) | (np.abs(lowest[:, None] - tops) < 2 * slack).any(1)
    assert supported.all()


def with_and_without(kind, seed, size=(320, 240)):
    """Depth (T, H, W) and `thin` (T, H, W) bool of a world full of thin structures, and what made it."""
    config = replace(TINY, kinds=(kind,), image_size=size, thin=12, num_objects=3, min_overlap=0.5)
    surfaces, K, poses = Worlds(config, smooth_textures()).draw(1, generator(seed))
    # The same numbers that `draw` used rebuild its scene.
    rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator(seed))))
    rng.choice((kind,), size=1)
    n = len(draw_scene(kind, 3, 3, rng).vectors)
    fields = surfaces.__dataclass_fields__
    rest = replace(surfaces, **{f: getattr(surfaces, f)[:, :n] for f in fields if f != "sky"})
    depth, behind = (render_depth(s, K, poses, size)[0] for s in (surfaces, rest))
    return depth, depth.nan_to_num(1e9) < behind.nan_to_num(1e9), scene_of(surfaces, 0), K[0], poses[0]


@pytest.mark.parametrize("kind", KINDS)
def test_thin_structures_are_a_few_pixels_wide_and_stand_in_front_of_something(kind):
    thin = with_and_without(kind, 2)[1]
    assert thin.float().mean() > 0.003
    # What is left of it after 4 px are taken from every side are signs at the tops of poles, and overlaps.
    core = -torch.nn.functional.max_pool2d(-thin.float(), 9, stride=1, padding=4) > 0
    assert core.sum() < 0.1 * thin.sum()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["street", "table"])
def test_points_on_and_behind_thin_structures_have_the_right_state_in_another_frame(kind):
    depth, thin, scene, K, poses = with_and_without(kind, 2)
    height, width = depth.shape[1:]
    geometry = DepthGeometry(depth[None], K[None].float(), poses[None].float(), 0.01)
    near = torch.nn.functional.max_pool2d(thin[0].float()[None], 15, stride=1, padding=7)[0] > 0
    xy, on_thin = pixel_grid(height, width)[near.flatten()][::2], thin[0][near][::2]
    warped = geometry.warp(0, 1, xy[None])
    z = cast(scene, K[0], poses[0], xy)
    x = homogeneous(homogeneous(xy.double()) @ torch.linalg.inv(K[0]).T * z[:, None])
    x = (x @ (poses[1] @ invert_rigid(poses[0])).T)[:, :3]
    target = (x @ K[1].T)[:, :2] / x[:, 2:]
    reach = torch.tensor([[0, 0], [-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]])
    seen = torch.stack([cast(scene, K[1], poses[1], target + r) for r in reach])
    error = (seen - x[:, 2]).abs() / x[:, 2]
    within = inside(target, width, height, margin=1) & ~z.isnan() & ~seen.isnan().any(0)
    visible, hidden = within & (error < 0.005).all(0), within & (error > 0.06).all(0)
    state = warped.state[0]
    # Both states occur, on the structures and beside them; rounding decides a handful of pixels on outlines.
    for clear, expected in ((visible, PointState.VISIBLE), (hidden, PointState.OCCLUDED)):
        assert clear.sum() > 50
        assert (state[clear] == expected).float().mean() > 0.995
    assert (visible & on_thin).sum() > 50
    torch.testing.assert_close(warped.xy[0][within].double(), target[within], rtol=0, atol=2e-2)


@pytest.mark.parametrize("footprint", [0.0, 1 / 64])
def test_a_repeated_texture_looks_the_same_one_unit_further_anywhere_on_an_endless_plane(footprint):
    atlas = Atlas(repeated_textures(6, 128, generator(1)))
    uv = torch.rand(6, 400, 2, generator=generator(2)) * 4
    # A quarter of a texture is a whole number of units in all of them.
    steps = torch.randint(-8, 9, (6, 400, 2), generator=generator(3)) / 4

    def read(at):
        texture, zero = torch.arange(6).repeat_interleave(400), torch.zeros(2400)
        return atlas.sample(texture, tuple(at.reshape(-1, 2).unbind(1)), zero + footprint, (zero, zero))

    here, there = read(uv), read(uv + steps)
    difference = (here - there).abs().flatten()
    # Coarser levels are filtered, which takes less than there is beyond the texture's border.
    assert difference.max() < (1e-3 if footprint == 0 else 0.1) and difference.quantile(0.9) < 0.01
    assert (here.reshape(6, 400, 3).std(1).amax(1) > 0.02).all()


def test_other_textures_do_not_repeat():
    atlas = Atlas(procedural_textures(5, 128, generator(1)))
    uv = torch.rand(2000, 2, generator=generator(2)) * 0.7
    texture, zero = torch.arange(5).repeat_interleave(400), torch.zeros(2000)
    here, there = (atlas.sample(texture, tuple((uv + s).unbind(1)), zero, (zero, zero)) for s in (0.0, 0.25))
    assert ((here - there).abs().amax(1).reshape(5, 400).mean(1) > 0.02).all()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_asked_for_share_of_surfaces_repeats_and_the_others_keep_their_texture(share):
    scenes = [pieces("room", seed, repeated=(share, 6)) for seed in range(8)]
    plain = [pieces("room", seed) for seed in range(8)]
    texture = np.array([flag[1] for scene in scenes for flag in scene.flags])
    before = np.array([flag[1] for scene in plain for flag in scene.flags])
    repeats = texture >= 3
    assert abs(repeats.mean() - share) < 0.06 and texture.max() < 9
    assert np.array_equal(texture[~repeats], before[~repeats])


def test_a_kind_of_scene_and_a_path_may_come_from_outside(tmp_path):
    """A single wall at 4 m, and a camera that stands still."""
    (tmp_path / "own.py").write_text(
        "import numpy as np\n"
        "from traqpoint.data.worlds.scene import Kind\n"
        "def wall(scene, objects):\n"
        "    scene.quad((-50, -50, 4), (0, 100, 0), (100, 0, 0))\n"
        "    scene.eyes, scene.targets = np.zeros((2, 3)), np.tile([0.0, 0, 4], (2, 1))\n"
        "WALL = Kind(wall, 4.0)\n"
        "def still(eye, target, length, time, rng):\n"
        "    return np.tile(eye, (len(time), 1)), np.tile(target, (len(time), 1))\n"
    )
    own = str(tmp_path / "own.py")
    config = WorldsConfig((64, 48), 2, (f"{own}:WALL",), paths=(f"{own}:still",), roll_deg=0, num_textures=2)
    depth = Worlds(config).sample(1, generator(0)).geometry.depth
    assert torch.allclose(depth, torch.tensor(4.0), atol=1e-3)
