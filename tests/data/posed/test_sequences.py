"""Posed frames: fitted without blending, chosen by overlap, read again and again without surprises."""

import warnings
from dataclasses import replace

import pytest
import torch
from wavy_world import camera, color_error, pose, shoot

from traqpoint.data.mixture import Mixture
from traqpoint.data.posed.config import PosedConfig
from traqpoint.data.posed.frames import FrameLoader, PosedSet, fit_frame, stack_geometry
from traqpoint.data.posed.overlap import coarse_view, overlap
from traqpoint.data.posed.sequences import PosedSequences
from traqpoint.data.source import CURRICULUM
from traqpoint.errors import ConfigError, DataError, GeometryError, ImageError
from traqpoint.image import to_tensor
from traqpoint.types import Frame


def wavy_frame(cam_from_world, focal=150.0, width=192, height=120):
    K = camera(focal, width, height)
    image, depth = shoot(K, cam_from_world, width, height)
    return Frame(to_tensor(image), K, cam_from_world, torch.from_numpy(depth).float())


class Numbered(PosedSet):
    """A PosedSet whose frames show their number, with the overlaps of a table; `bad` ones cannot be read."""

    name = "numbered"

    def __init__(self, table, bad=()):
        self.table, self.bad, self.reads = table, bad, []
        self.names = [str(i) for i in range(len(table))]

    def frame(self, index):
        self.reads.append(index)
        if index in self.bad:
            raise ImageError(f"frame_{index}.png: the image file is truncated")
        image = torch.full((3, 24, 32), index / 255)
        return Frame(image, camera(30.0, 32, 24), torch.eye(4, dtype=torch.float64), torch.ones(24, 32))

    def overlap(self, source, target):
        return float(self.table[source][target])


def numbers(sequence):
    """(B, T) which frames of a Numbered set these are."""
    return (sequence.images[:, :, 0, 0, 0] * 255).round().long().tolist()


def near_in_time(n=30):
    """Overlap 1 - 0.1 per frame of distance."""
    i = torch.arange(n)
    return (1 - 0.1 * (i[:, None] - i).abs()).clamp(min=0)


def config(**options):
    return PosedConfig(**{"image_size": (32, 24), "photometric": 0.0, "num_frames": 3, **options})


def test_fitting_covers_the_size_and_keeps_the_middle():
    """200x100 to 60x50: the height decides, scale 1/2; 100x50 is cut by 20 px on the left and right."""
    K = torch.tensor([[80.0, 0, 101], [0, 82, 49], [0, 0, 1]])
    frame = Frame(torch.zeros(3, 100, 200), K, torch.eye(4))
    fitted = fit_frame(frame, (60, 50))
    assert fitted.image.shape == (3, 50, 60) and fitted.depth is None
    torch.testing.assert_close(fitted.K, torch.tensor([[40.0, 0, 30.5], [0, 41, 24.5], [0, 0, 1]]))


@pytest.mark.parametrize("size", [(96, 96), (100, 40), (230, 180)])
def test_a_fitted_frame_is_what_a_camera_with_its_K_sees(size):
    """Image and depth of a rendered world, shrunk, cropped or enlarged, agree with rendering at the fitted K."""
    frame = wavy_frame(pose())
    fitted = fit_frame(frame, size)
    image, depth = shoot(fitted.K, pose(), *size)
    depth = torch.from_numpy(depth).float()
    relative = (fitted.depth / depth - 1).abs()
    assert relative.quantile(0.9) < 2e-3  # the rest are pixels at the board's outline, where the other side was taken
    assert (fitted.image - to_tensor(image)).abs().mean() < 0.02


@pytest.mark.parametrize("size", [(20, 20), (37, 41), (96, 64)])
def test_depth_is_never_blended_over_an_edge_or_a_hole(size):
    """A step from 1 to 2 and a hole come out as 1, 2 and unknown at any size, nothing between."""
    depth = torch.ones(48, 64)
    depth[:, 30:] = 2.0
    depth[10:30, 40:50] = torch.nan
    fitted = fit_frame(Frame(torch.zeros(3, 48, 64), torch.eye(3), torch.eye(4), depth), size).depth
    values = {round(value, 5) for value in fitted[fitted.isfinite()].tolist()}
    assert values == {1.0, 2.0}
    assert bool(fitted.isnan().any())


def test_a_half_pixel_in_K_would_be_seen_in_the_colours():
    """The same place has the same colour in both frames, and 0.5 px in the principal points is an order worse."""
    a, b = (fit_frame(wavy_frame(p), (96, 96)) for p in (pose(), pose(0.2, 0.1, roll=170)))
    error, visible = color_error(a, b)
    assert visible > 0.4
    assert error < 0.01
    assert min(color_error(a, b, 0.5)[0], color_error(a, b, -0.5)[0]) > 4 * error


def test_overlap_is_the_share_of_pixels_that_the_other_frame_sees():
    """A wall 2 m away, 80 px wide at f = 40: 4 m are seen, so 1 m to the side a quarter is lost, and 4 m are all."""
    K = torch.tensor([[40.0, 0, 40], [0, 40, 30], [0, 0, 1]])
    wall = torch.full((60, 80), 2.0)

    def view(x=0.0, depth=wall, z=0.0):
        return coarse_view(depth, K, pose(x, z=z))

    assert overlap(view(), view()) == 1
    assert overlap(view(), view(1.0)) == pytest.approx(0.75, abs=0.03)
    assert overlap(view(), view(4.1)) == 0
    closer = torch.full((60, 80), 1.0)
    assert overlap(view(), view(depth=closer, z=1.0)) == pytest.approx(0.25, abs=0.03)  # half of each side
    assert overlap(view(depth=closer, z=1.0), view()) == 1


def test_a_hole_neither_adds_to_the_overlap_nor_takes_from_it():
    """Half the depth unknown: the share among the known half; all but a few unknown: nothing can be told."""
    K = torch.tensor([[40.0, 0, 40], [0, 40, 30], [0, 0, 1]])
    half, hardly = torch.full((60, 80), 2.0), torch.full((60, 80), torch.nan)
    half[:30] = torch.nan
    hardly[:4, :4] = 2.0
    whole = torch.full((60, 80), 2.0)
    assert overlap(coarse_view(half, K, pose()), coarse_view(whole, K, pose(1.0))) == pytest.approx(0.75, abs=0.03)
    assert overlap(coarse_view(hardly, K, pose()), coarse_view(whole, K, pose())) == 0


def test_what_stands_behind_something_is_no_overlap():
    """The wall seen past the board is not the wall that a camera inside the gap sees."""
    K = torch.tensor([[40.0, 0, 40], [0, 40, 30], [0, 0, 1]])
    near, far = torch.full((60, 80), 1.0), torch.full((60, 80), 3.0)
    assert overlap(coarse_view(near, K, pose()), coarse_view(far, K, pose())) == 0


@pytest.mark.parametrize("order", ["star", "chain"])
def test_every_sequence_keeps_to_its_band(order):
    """Overlaps with the first frame (star) or the one before (chain) are in the band; no frame comes twice."""
    table = near_in_time()
    source = PosedSequences([Numbered(table)], config(order=order, num_frames=4, overlap=(0.45, 0.75)))
    drawn = numbers(source.sample(20, torch.Generator().manual_seed(0)))
    for frames in drawn:
        assert len(set(frames)) == 4
        before = frames[:1] * 3 if order == "star" else frames[:-1]
        assert all(0.45 <= table[a, b] <= 0.75 for a, b in zip(before, frames[1:], strict=True))
    assert len({frames[0] for frames in drawn}) > 10


def test_frames_stay_within_max_gap():
    """Nobody is farther than max_gap places from the first frame, though the band would allow it."""
    source = PosedSequences([Numbered(torch.full((50, 50), 0.5))], config(max_gap=3))
    for first, *others in numbers(source.sample(30, torch.Generator().manual_seed(1))):
        assert all(0 < abs(other - first) <= 3 for other in others)


def test_the_generator_decides_everything():
    """The same state gives the same batch, whatever is in memory; another seed another one."""
    source = PosedSequences([Numbered(near_in_time())], config(photometric=1.0))
    first = source.sample(3, torch.Generator().manual_seed(5))
    again = source.sample(3, torch.Generator().manual_seed(5))
    other = source.sample(3, torch.Generator().manual_seed(6))
    assert torch.equal(first.images, again.images) and not torch.equal(first.images, other.images)


def test_frames_are_read_once_and_memory_is_bounded():
    """A frame in memory is not read again; beyond cache_frames the one that was not used for longest goes."""
    frames = Numbered(near_in_time(5))
    loader = FrameLoader(config(cache_frames=2))
    for index in (0, 1, 0, 2, 0, 1):
        loader.load(frames, index)
    assert frames.reads == [0, 1, 2, 1]


def test_a_narrower_band_shares_the_frames_in_memory():
    """with_overlap keeps to its own band and reads nothing twice; the source it came from keeps its band."""
    frames = Numbered(near_in_time(12))
    wide = PosedSequences([frames], config(overlap=(0.1, 0.95), num_frames=2))
    wide.sample(60, torch.Generator().manual_seed(0))
    reads = len(frames.reads)
    low = wide.with_overlap((0.1, 0.3))
    for a, b in numbers(low.sample(10, torch.Generator().manual_seed(0))):
        assert 0.1 <= frames.table[a, b] <= 0.3
    assert reads == len(frames.reads) == 12
    assert wide.config.overlap == (0.1, 0.95)


def test_a_curriculum_goes_from_high_over_medium_to_low_overlap():
    frames = Numbered(near_in_time(12))
    source = PosedSequences([frames], config(curriculum=True, num_frames=2))
    for progress, (low, high) in zip((0.0, 0.5, 1.0), CURRICULUM, strict=True):
        for a, b in numbers(source.at(progress).sample(8, torch.Generator().manual_seed(0))):
            assert low <= frames.table[a, b] <= high
    mixed = Mixture([(source, 1.0)]).at(0.99)
    assert mixed.sources[0][0].config.overlap == CURRICULUM[2]


def test_unreadable_frames_are_left_out_counted_and_reported_once():
    """The batch is whole without them; one warning has the count and the first file; none is read twice."""
    frames = Numbered(near_in_time(12), bad=(2, 7))
    source = PosedSequences([frames], config())
    with pytest.warns(UserWarning, match=r"2 frames could not be read, the first: frame_\d.png: the image") as caught:
        drawn = numbers(source.sample(60, torch.Generator().manual_seed(0)))
    assert len(caught) == 1
    assert not {2, 7} & {i for sequence in drawn for i in sequence}
    assert source.loader.skipped == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source.sample(20, torch.Generator().manual_seed(1))
    assert frames.reads.count(2) == frames.reads.count(7) == 1


def test_a_calibration_of_another_kind_is_left_out_and_named():
    class Normalised(Numbered):
        def frame(self, index):
            frame = super().frame(index)
            return replace(frame, K=frame.K / torch.tensor([32.0, 24.0, 1.0])[:, None])

    source = PosedSequences([Normalised(near_in_time(6))], config())
    with pytest.raises(DataError, match=r"6 frames .*numbered, frame \d: K = .* cannot be of an image of 32x24 px"):
        source.sample(1, torch.Generator().manual_seed(0))


def test_if_nothing_can_be_read_there_is_one_error_with_the_reason():
    """Not an endless loop, not an empty batch."""
    source = PosedSequences([Numbered(near_in_time(6), bad=range(6))], config())
    with pytest.raises(DataError, match=r"numbered: a star of 3 .* 6 frames could not be read, the first: frame_"):
        source.sample(1, torch.Generator().manual_seed(0))


def test_a_band_that_no_frames_meet_is_an_error_that_names_it():
    """All overlaps are 0: a bounded number of draws, then the band and the set are named."""
    source = PosedSequences([Numbered(torch.zeros(8, 8))], config(overlap=(0.5, 0.7)))
    with pytest.raises(DataError, match=r"numbered: .* overlaps in \[0.5, 0.7\]: none found in \d+ attempts"):
        source.sample(1, torch.Generator().manual_seed(0))


def test_a_set_smaller_than_a_sequence_is_refused():
    """Before training begins."""
    with pytest.raises(DataError, match="numbered: no set has the 3 frames"):
        PosedSequences([Numbered(torch.ones(2, 2))], config())


def test_ground_truth_survives_a_world_far_from_its_origin():
    """1000 km away, float32 poses are 6 cm coarse; relative to the first camera the same pixels correspond."""
    frames = [wavy_frame(pose()), wavy_frame(pose(0.3, 0.1, roll=20))]
    away = torch.eye(4, dtype=torch.float64)
    away[:3, 3] = torch.tensor([1e6, -1e6, 300.0])
    moved = [Frame(f.image, f.K, f.cam_from_world @ away, f.depth) for f in frames]
    xy = torch.rand(1, 200, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([192, 120])
    here = stack_geometry([frames]).warp(0, 1, xy)
    there = stack_geometry([moved]).warp(0, 1, xy)
    torch.testing.assert_close(here.xy, there.xy, atol=1e-3, rtol=0, equal_nan=True)


def test_frames_without_depth_are_refused_as_depth_geometry():
    """They would be unknown everywhere, silently."""
    frame = Frame(torch.zeros(3, 8, 8), torch.eye(3), torch.eye(4))
    with pytest.raises(GeometryError, match="no depth map"):
        stack_geometry([[frame, frame]])


@pytest.mark.parametrize(
    "options",
    [
        {"overlap": (0.6, 0.5)},
        {"overlap": (-0.1, 0.5)},
        {"order": "ring"},
        {"num_frames": 1},
        {"max_gap": 0},
        {"image_size": (8, 100)},
        {"photometric": 3.0},
        {"cache_frames": 0},
    ],
    ids=str,
)
def test_a_wrong_configuration_is_refused_and_named(options):
    """One error that names the field."""
    with pytest.raises(ConfigError, match=next(iter(options))):
        config(**options)
