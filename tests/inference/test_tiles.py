"""Images in tiles: the same keypoints as at once, everywhere, within a budget."""

import numpy as np
import pytest
import torch
from random_inputs import smooth_picture

from traqpoint.errors import ConfigError, ImageError
from traqpoint.image import to_tensor
from traqpoint.inference.config import ExtractorConfig, parse_bytes
from traqpoint.inference.extractor import Extractor
from traqpoint.inference.tiles import Best, Tiles, tiles
from traqpoint.models.config import MODELS, ModelConfig
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.models.weights import available


def network(name) -> TraqPoint:
    """Untrained, with running statistics that fit its weights."""
    torch.manual_seed(0)
    model = TraqPoint(MODELS[name]).train()
    model.dense(torch.rand(2, 3, 64, 64))
    return model.eval()


def both(weights, side, monkeypatch, **options):
    """An extractor that works at once, and one whose windows are `side` pixels wide."""
    monkeypatch.setattr(Tiles, "_pixels", lambda self, held: side**2)
    monkeypatch.setattr(Tiles, "at_once", lambda self, size: max(size) <= side)
    options = {"long_side": None, "device": "cpu", "max_keypoints": 500, **options}
    return Extractor(weights, **options), Extractor(weights, memory="1GB", **options)


def by_pixel(features):
    """Keypoints, scores and descriptors in the order of their pixels; pixels that are shared would be a bug."""
    order = (features.keypoints[:, 1].floor() * 10_000 + features.keypoints[:, 0].floor()).argsort(stable=True)
    return features.keypoints[order], features.scores[order], features.descriptors[order]


def assert_same(a, b):
    """To the rounding of float32: keypoints to 2^-13 px, an ulp or two of a coordinate above 512."""
    assert len(a) == len(b) > 100 and a.image_size == b.image_size and a.found_at == b.found_at
    (xy_a, scores_a, vectors_a), (xy_b, scores_b, vectors_b) = by_pixel(a), by_pixel(b)
    assert torch.allclose(xy_a, xy_b, atol=2**-13, rtol=0)
    assert torch.allclose(scores_a, scores_b, atol=1e-5)
    assert torch.allclose(vectors_a, vectors_b, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "side"),
    [("traqpoint-s-v1", (130, 700), 576), ("traqpoint-s", (200, 700), 448), ("traqpoint-t", (530, 520), 512)],
)
def test_tiles_give_the_keypoints_of_the_whole_image(name, size, side, monkeypatch):
    """None is lost, doubled or moved at a seam; the best 500 are the best of the image; small borders are respected."""
    weights, prominence = (name, 0.3) if name in available() else (network(name), 0.0)
    whole, tiled = both(weights, side, monkeypatch, prominence=prominence, border=1)
    image = smooth_picture(*size, blob_px=5)
    assert_same(whole(image), tiled(image))


def test_a_tensor_is_tiled_as_its_picture_is(monkeypatch):
    """And shrunk first, if it is larger than the long side; small images are not tiled at all."""
    _, tiled = both("traqpoint-s", 544, monkeypatch, long_side=640)
    image = smooth_picture(44, 700, blob_px=5)
    a, b = tiled(image), tiled(to_tensor(image))
    assert a.image_size == (700, 44) and a.found_at == (640, 40)
    assert torch.equal(a.keypoints, b.keypoints) and torch.equal(a.descriptors, b.descriptors) and len(a) > 20
    whole, tiled = both("traqpoint-s", 700, monkeypatch)
    assert torch.equal(whole(image).keypoints, tiled(image).keypoints)


def test_cores_cover_the_image_once_and_windows_hold_what_a_core_needs():
    for size, side in (((320, 640), 256), ((4000, 96), 320), ((2016, 1504), 640)):
        seen, shapes = np.zeros(size[::-1], dtype=int), set()
        for (x0, y0, x1, y1), (left, top, right, bottom) in tiles(size, side, 64, 32):
            seen[y0:y1, x0:x1] += 1
            assert right - left <= side and bottom - top <= side
            assert 0 <= left <= max(0, x0 - 64) and min(size[0], x1 + 64) <= right <= size[0]
            assert 0 <= top <= max(0, y0 - 64) and min(size[1], y1 + 64) <= bottom <= size[1]
            shapes.add((right - left, bottom - top))
            assert all(value % 32 == 0 for value in (x0, y0, left, top, right, bottom))
        assert (seen == 1).all() and len(shapes) == 1


def test_of_equal_logits_the_first_row_by_row_is_better_whatever_the_tiles():
    """A tile to the right, seen later, holds the upper one of two equal pixels."""
    left = Best(*map(torch.tensor, ([5, 9], [1, 2], [1.0, 0.5], [[1.5, 5.5], [2.5, 9.5]], [[1.0], [2.0]])))
    right = Best(*map(torch.tensor, ([3, 1], [40, 50], [1.0, 2.0], [[40.5, 3.5], [50.5, 1.5]], [[3.0], [4.0]])))
    joined = left.joined(right, 3, 100)
    assert joined.descriptors[:, 0].tolist() == [4, 3, 1] and joined.y.tolist() == [1, 3, 5]


@pytest.mark.parametrize(("text", "value"), [("2GB", 2 * 10**9), ("1.5 gb", 15 * 10**8), ("800MB", 8 * 10**8)])
def test_memory_is_said_as_people_say_it(text, value):
    assert parse_bytes(text) == value
    for wrong in ("2", "2 GiB", "-1GB", "much", ""):
        with pytest.raises(ConfigError, match="memory"):
            ExtractorConfig(memory=wrong)


def test_a_budget_that_does_not_do_says_what_would():
    extractor = Extractor("traqpoint-s-v1", memory="525MB", long_side=None, device="cpu")
    with pytest.raises(ImageError, match=r"an image of 900 x 800 pixels needs a memory of 0\.57 GB, not 525MB"):
        extractor(smooth_picture(800, 900))


def test_networks_that_need_whole_images_are_refused():
    config = ModelConfig("base", backbone="small", detector="policy")
    with pytest.raises(ConfigError, match="cannot work in tiles"):
        Extractor(TraqPoint(config), memory="2GB", device="cpu")
