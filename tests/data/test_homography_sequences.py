from functools import partial

import numpy as np
import pytest
import torch
from random_inputs import smooth_photo, smooth_picture

from traqpoint.data.config import HomographyConfig
from traqpoint.data.homography import HomographySequences
from traqpoint.data.photos import load_photos
from traqpoint.errors import DataError
from traqpoint.geometry.sampling import sample
from traqpoint.image import write_image

photo = partial(smooth_photo, 150, 200, blob_px=12.5)
CONFIG = HomographyConfig(image_size=96, num_frames=4, photometric=0.0)


def test_a_point_has_the_same_colour_in_every_frame_that_sees_it():
    sequence = HomographySequences([photo()], CONFIG).sample(3, torch.Generator().manual_seed(0))
    xy = torch.rand(3, 500, 2, generator=torch.Generator().manual_seed(1)) * 92 + 2
    for target in range(1, 4):
        warped = sequence.geometry.warp(0, target, xy)
        visible = warped.visible & (warped.xy > 2).all(-1) & (warped.xy < 94).all(-1)
        assert visible.float().mean() > 0.3
        a = sample(sequence.images[:, 0], xy, (96, 96))
        b = sample(sequence.images[:, target], warped.xy, (96, 96))
        assert (a - b).abs()[visible].mean() < 0.01  # two resamplings of a smooth picture


def test_the_same_seed_gives_the_same_sequence_and_another_seed_another():
    source = HomographySequences([photo(i) for i in range(3)], HomographyConfig(image_size=64, num_frames=3))
    a, b, c = (source.sample(2, torch.Generator().manual_seed(s)) for s in (5, 5, 6))
    assert torch.equal(a.images, b.images)
    assert torch.equal(a.geometry.frame_from_plane, b.geometry.frame_from_plane)
    assert not torch.equal(a.images, c.images)


def test_frames_show_mostly_the_photo_and_stay_in_range():
    sequence = HomographySequences([photo()], HomographyConfig(image_size=96)).sample(
        4, torch.Generator().manual_seed(0)
    )
    assert sequence.geometry.mask.float().mean((2, 3)).min() > 0.7
    assert sequence.images.min() >= 0 and sequence.images.max() <= 1


def test_a_thin_stripe_pattern_does_not_alias_when_shrunk():
    stripes = torch.zeros(3, 400, 400, dtype=torch.uint8)
    stripes[:, :, ::2] = 255  # the mean is grey at any scale below one half
    config = HomographyConfig(image_size=64, num_frames=2, zoom=(1.1, 1.1), photometric=0.0)
    frames = HomographySequences([stripes], config).sample(2, torch.Generator().manual_seed(0)).images
    assert frames.std() < 0.12


def test_large_photos_are_shrunk_and_small_ones_untouched(tmp_path):
    image = smooth_picture(150, 200, blob_px=12.5)
    write_image(tmp_path / "a.png", image)
    write_image(tmp_path / "b.png", np.zeros((90, 2560, 3), np.uint8))
    small, large = load_photos(tmp_path, min_side=40)
    assert torch.equal(small.permute(1, 2, 0), torch.from_numpy(image))
    assert large.shape == (3, 45, 1280)


def test_photos_that_cannot_be_read_are_left_out_and_counted(tmp_path):
    write_image(tmp_path / "good.png", smooth_picture(80, 80))
    write_image(tmp_path / "tiny.png", smooth_picture(10, 10))
    (tmp_path / "bad.jpg").write_bytes(b"no")
    with pytest.warns(UserWarning, match=r"2 images left out, the first: .*bad\.jpg"):
        assert len(load_photos(tmp_path)) == 1
    (tmp_path / "good.png").unlink()
    with pytest.warns(UserWarning), pytest.raises(DataError, match="no readable image"):
        load_photos(tmp_path)


def test_a_ramp_begins_mildly_grows_evenly_and_ends_as_configured():
    config = HomographyConfig(ramp=0.5, ramp_from=0.2, scale=4.0, turned=0.5)
    start, middle = config.at(0.0), config.at(0.25)
    assert start.rotation_degrees == pytest.approx(6) and start.turned == pytest.approx(0.1)
    assert middle.rotation_degrees == pytest.approx(18) and middle.scale == pytest.approx(4.0**0.6)
    assert middle.photometric == pytest.approx(0.6)
    assert config.at(0.5) is config and HomographyConfig().at(0.0) == HomographyConfig()


def test_sequences_move_less_at_the_start_of_a_ramp():
    source = HomographySequences([smooth_photo(96, 96)], HomographyConfig(image_size=48, ramp=0.5, ramp_from=0.0))

    def motion(progress):
        geometry = source.at(progress).sample(4, torch.Generator().manual_seed(0)).geometry
        H = geometry.frame_from_plane
        return float((H - H[:, :1]).abs().mean())

    assert motion(0.0) < 1e-4 < motion(0.25) < motion(0.5)
    assert motion(1.0) == motion(0.5)


def test_the_first_frame_moves_only_if_it_is_asked_to():
    for moves in (False, True):
        config = HomographyConfig(image_size=48, num_frames=2, first_moves=moves)
        source = HomographySequences([smooth_photo(96, 96)], config)
        first = source.sample(4, torch.Generator().manual_seed(0)).geometry.frame_from_plane[:, 0]
        assert bool((first[:, 0, 1].abs() > 1e-3).all()) == moves
