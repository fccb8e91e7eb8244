"""Points that teachers have described, in the frames that are made of their photo."""

import pytest
import torch

from traqpoint.data.config import HomographyConfig
from traqpoint.data.homography import HomographySequences
from traqpoint.data.loader import Loader
from traqpoint.data.mixture import Mixture
from traqpoint.data.source import taught
from traqpoint.errors import DataError
from traqpoint.geometry.homography import apply_homography
from traqpoint.types import DescribedPoints

WIDTH, HEIGHT = 150, 110
CONFIG = HomographyConfig(image_size=64, num_frames=3, scale=2.0, turned=0.3, taught_points=50)


def photos(count=2):
    generator = torch.Generator().manual_seed(0)
    return [(torch.rand(3, HEIGHT, WIDTH, generator=generator) * 255).byte() for _ in range(count)]


def by_place(photos):
    """A teacher that says where in the photo a point lies."""
    xy = torch.rand(400, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor([WIDTH, HEIGHT])
    return [DescribedPoints(xy, xy / 1000) for _ in photos]


@pytest.fixture(params=["mild", "strong"])
def source(request):
    config = HomographyConfig(**{**vars(CONFIG), "light": request.param})
    return HomographySequences(photos(), config).taught(by_place)


def test_a_taught_point_lies_where_the_geometry_says(source):
    batch = source.sample(4, torch.Generator().manual_seed(0))
    points = batch.taught
    places = apply_homography(batch.geometry.frame_from_plane, (points.targets * 1000)[:, None].expand(-1, 3, -1, -1))
    assert points.xy.shape == (4, 3, 50, 2) and points.seen.any(2).all()
    assert torch.allclose(places[points.seen], points.xy[points.seen], atol=1e-3)
    for target in (1, 2):
        warped = batch.geometry.warp(0, target, points.xy[:, 0])
        both = points.seen[:, 0] & points.seen[:, target]
        assert bool(warped.visible[both].all())
        assert torch.allclose(warped.xy[both], points.xy[:, target][both], atol=1e-2)


def test_every_point_is_seen_by_two_frames_or_by_none_and_all_are_away_from_the_border(source):
    points = source.sample(4, torch.Generator().manual_seed(0)).taught
    assert set(points.seen.sum(1).unique().tolist()) <= {0, 2, 3}
    assert bool(((points.xy >= 3) & (points.xy < 61))[points.seen].all())
    assert bool((points.xy[~points.seen] == 0).all())
    assert bool((points.targets[~points.seen.any(1)] == 0).all())


def test_equal_generators_give_equal_batches_and_workers_bring_the_points(source):
    def first(workers):
        with Loader(source, 2, range(2), 2, seed=3, workers=workers) as loader:
            return next(loader)

    one, two = first(1), first(2)
    assert torch.equal(one.images, two.images)
    assert torch.equal(one.taught.xy, two.taught.xy) and torch.equal(one.taught.targets, two.taught.targets)
    again, other = (source.sample(2, torch.Generator().manual_seed(seed)) for seed in (5, 6))
    assert torch.equal(again.images, source.sample(2, torch.Generator().manual_seed(5)).images)
    assert not torch.equal(again.images, other.images)


def test_a_mixture_teaches_the_sources_that_have_photos():
    class Plain:
        def sample(self, batch_size, generator):
            raise AssertionError

    plain = Plain()
    mixture = taught(Mixture([(HomographySequences(photos(), CONFIG), 1.0), (plain, 1.0)]), by_place)
    assert mixture.sources[0][0].sample(1, torch.Generator()).taught is not None
    assert mixture.sources[1][0] is plain


def test_photos_that_cannot_be_described_are_left_out():
    source = HomographySequences(photos(3), CONFIG)
    some = source.taught(lambda photos: [None, *by_place(photos)[1:]])
    assert len(some.photos) == 2 and torch.equal(some.photos[0], source.photos[1])
    assert len(source.photos) == 3 and source.sample(1, torch.Generator()).taught is None
    with pytest.raises(DataError, match="none of the photos"):
        source.taught(lambda photos: [None] * len(photos))
