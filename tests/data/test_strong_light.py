"""Frames in 8 bits, and the strong change of light."""

import numpy as np
import pytest
import torch

from traqpoint.data.config import HomographyConfig
from traqpoint.data.homography import HomographySequences
from traqpoint.data.relight import relight
from traqpoint.data.render_fast import pyramid
from traqpoint.errors import ConfigError


def smooth(height=160, width=201):
    small = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(0))
    image = torch.nn.functional.interpolate(small, (height, width), mode="bicubic", align_corners=False)
    return (image[0].clamp(0, 1) * 255).round().byte()


@pytest.mark.parametrize("zoom", [(1.1, 1.4), (2.0, 2.6)])
@pytest.mark.parametrize("side", [32, 64])
def test_both_renderers_show_the_same_frames_at_every_size(zoom, side):
    """Coarser levels too: half a pixel of one would be seen."""
    frames = {}
    for light in ("mild", "strong"):
        config = HomographyConfig(image_size=side, num_frames=3, zoom=zoom, photometric=0, light=light)
        frames[light] = HomographySequences([smooth()], config).sample(2, torch.Generator().manual_seed(1))
    mild, strong = frames["mild"], frames["strong"]
    assert torch.equal(mild.geometry.frame_from_plane, strong.geometry.frame_from_plane)
    assert float((mild.geometry.mask != strong.geometry.mask).float().mean()) < 1e-3
    both = (mild.geometry.mask & strong.geometry.mask).unsqueeze(2).expand_as(mild.images)
    assert float((mild.images - strong.images).abs()[both].max()) < 0.03


def test_a_pyramid_keeps_the_mean_of_four_pixels():
    photo = torch.arange(3 * 16 * 16).reshape(3, 16, 16).remainder(251).byte()
    levels = pyramid(photo)
    means = torch.nn.functional.avg_pool2d(photo.float()[None], 2)[0].permute(1, 2, 0).numpy()
    assert np.abs(levels[1] - means).max() <= 0.5 and levels[2].shape == (4, 4, 3)


def test_no_strength_leaves_the_image_and_equal_seeds_change_it_equally():
    image = smooth().permute(1, 2, 0).contiguous().numpy()
    assert relight(image, np.random.default_rng(0), 0.0) is image
    before = image.copy()
    lit = [relight(image, np.random.default_rng(seed)) for seed in range(60)]
    assert np.array_equal(image, before)
    assert all(one.dtype == np.uint8 and one.shape == image.shape for one in lit)
    assert np.array_equal(lit[3], relight(image, np.random.default_rng(3)))
    means = np.array([one.mean() for one in lit]) / image.mean()
    assert means.min() < 0.4 and means.max() > 1.25  # night and noon


def test_more_strength_changes_more():
    image = smooth().permute(1, 2, 0).contiguous().numpy()

    def change(strength):
        lit = [relight(image, np.random.default_rng(seed), strength) for seed in range(40)]
        return np.mean([np.abs(one.astype(float) - image).mean() for one in lit])

    assert change(0.1) < change(0.5) < change(1.0)


@pytest.mark.parametrize("options", [{"light": "dark"}, {"turned": 1.5}, {"taught_points": 0}])
def test_values_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        HomographyConfig(**options)
