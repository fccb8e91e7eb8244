import numpy as np
import pytest
import torch

from traqpoint.data.config import HomographyConfig
from traqpoint.data.homography import HomographySequences
from traqpoint.data.photos import load_photos
from traqpoint.errors import DataError
from traqpoint.geometry.sampling import sample
from traqpoint.image import write_image


def photo(seed=0, width=200, height=150):
    small = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(seed))
    image = torch.nn.functional.interpolate(small, size=(height, width), mode="bicubic", align_corners=False)
    return (image[0].clamp(0, 1) * 255).byte()


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
    image = photo().permute(1, 2, 0).numpy()
    write_image(tmp_path / "a.png", image)
    write_image(tmp_path / "b.png", np.zeros((90, 2560, 3), np.uint8))
    small, large = load_photos(tmp_path, min_side=40)
    assert torch.equal(small.permute(1, 2, 0), torch.from_numpy(image))
    assert large.shape == (3, 45, 1280)


def test_photos_that_cannot_be_read_are_left_out_and_counted(tmp_path):
    write_image(tmp_path / "good.png", photo().permute(1, 2, 0).numpy())
    write_image(tmp_path / "tiny.png", photo().permute(1, 2, 0).numpy()[:10, :10])
    (tmp_path / "bad.jpg").write_bytes(b"no")
    with pytest.warns(UserWarning, match=r"2 images left out, the first: .*bad\.jpg"):
        assert len(load_photos(tmp_path)) == 1
    (tmp_path / "good.png").unlink()
    with pytest.warns(UserWarning), pytest.raises(DataError, match="no readable image"):
        load_photos(tmp_path)
