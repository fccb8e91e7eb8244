"""A fixed camera by day and by night as a source of sequences."""

import pytest
import torch

from traqpoint.data.aligned import AlignedSequences
from traqpoint.data.config import DataConfig, HomographyConfig
from traqpoint.data.mixture import build_source
from traqpoint.errors import DataError
from traqpoint.image import write_image
from traqpoint.types import DescribedPoints

STILL = {"image_size": 64, "num_frames": 2, "zoom": (1.0, 1.0), "photometric": 0.0, "rotation_degrees": 0.0}
STILL |= {"scale": 1.0, "translation": 0.0, "perspective": 0.0}


def places(count=2, side=64):
    """Each place has a pattern of its own, by day and at a tenth of the light."""
    generator = torch.Generator().manual_seed(0)
    days = [torch.randint(100, 255, (3, side, side), generator=generator, dtype=torch.uint8) for _ in range(count)]
    return [[day, day // 10] for day in days]


@pytest.mark.parametrize("light", ["mild", "strong"])
def test_the_frames_of_a_sequence_show_one_place_in_different_light(light):
    source = AlignedSequences(places(), HomographyConfig(**STILL, light=light))
    images = source.sample(4, torch.Generator().manual_seed(1)).images
    for day, night in (sorted(frames, key=lambda frame: -float(frame.mean())) for frames in images):
        assert night.mean() < 0.15 < 0.35 < day.mean()
        inner = slice(4, -4)
        assert torch.allclose(day[:, inner, inner] * 0.1, night[:, inner, inner], atol=0.01)


def test_teachers_look_at_each_place_once_and_a_place_that_none_can_describe_is_left_out():
    seen = []

    def describe(photos):
        seen.extend(photos)
        points = DescribedPoints(torch.full((5, 2), 30.0), torch.ones(5, 4).half())
        return [None, points]

    both = places()
    taught = AlignedSequences(both, HomographyConfig(**STILL)).taught(describe)
    assert [photo.float().mean() > 100 for photo in seen] == [True, True]
    batch = taught.sample(3, torch.Generator().manual_seed(0))
    assert batch.taught is not None and (batch.taught.seen.sum(-1) == 5).all()
    day = both[1][0].float() / 255
    brightest = batch.images[0].flatten(1).mean(1).argmax()
    assert torch.allclose(batch.images[0, brightest], day, atol=0.02)


def test_folders_become_places_and_pictures_of_another_size_are_left_out(tmp_path):
    for place, (day, night) in zip("ab", places(), strict=True):
        write_image(tmp_path / place / "day.png", day.permute(1, 2, 0).numpy())
        write_image(tmp_path / place / "night.png", night.permute(1, 2, 0).numpy())
    write_image(tmp_path / "b" / "z.png", torch.zeros(80, 80, 3, dtype=torch.uint8).numpy())
    config = DataConfig(mixture=(("aligned", 1.0),), aligned=tmp_path, homography=HomographyConfig(**STILL))
    batch = build_source(config, "cpu").sample(2, torch.Generator().manual_seed(0))
    assert batch.images.shape == (2, 2, 3, 64, 64)
    with pytest.raises(DataError, match="no folders of aligned photographs"):
        build_source(DataConfig(mixture=(("aligned", 1.0),), aligned=tmp_path / "a"), "cpu")


def test_photographs_of_different_sizes_are_no_place():
    small = torch.zeros(3, 70, 64, dtype=torch.uint8)
    with pytest.raises(DataError, match="place 0: aligned photographs have one size, got 64x64, 64x70"):
        AlignedSequences([[places(1)[0][0], small]])
