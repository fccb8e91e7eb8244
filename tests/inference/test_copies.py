"""Turned and resized copies: keypoints in the image's own pixels, with the frame of the copy that they are of."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from random_inputs import blocks, random_features

from traqpoint.image import resized, to_tensor, write_image
from traqpoint.inference.copies import merged, of_copy, turned
from traqpoint.inference.extractor import Extractor
from traqpoint.inference.pipeline import extract_folder
from traqpoint.io.stores import open_features
from traqpoint.matching.mutual import match

OPTIONS = {"max_keypoints": 400, "device": "cpu"}


@pytest.fixture(scope="module")
def picture():
    return blocks(120, 180, block_px=9)


def all_copies(**options):
    return Extractor(**{**OPTIONS, **options})


def at(xy, image_size):
    return replace(random_features(len(xy), image_size=image_size), keypoints=xy.float())


def of(features, scale, angle):
    chosen = (features.scales - scale).abs() < 0.01
    return features.take(chosen & (features.angles_deg == angle))


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_pixel_of_a_turned_copy_goes_back_to_where_it_came_from(quarters, as_tensor):
    image = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    copy = turned(to_tensor(image) if as_tensor else image, quarters)
    height, width = copy.shape[1:] if as_tensor else copy.shape[:2]
    y, x = np.divmod(np.arange(35), width)
    found = of_copy(at(torch.from_numpy(np.stack([x, y], -1) + 0.5), (width, height)), quarters)
    column, row = found.keypoints.floor().long().T.numpy()
    looked = (copy[:, y, x].T * 255).round().byte().numpy() if as_tensor else copy[y, x]
    assert (image[row, column] == looked).all() and found.image_size == (7, 5)
    # One step along the copy's x axis, carried into the image, goes where the angle says, clockwise.
    step = found.keypoints[1] - found.keypoints[0]
    assert float(torch.atan2(step[1], step[0]).rad2deg() % 360) == pytest.approx(float(found.angles_deg[0]))


def test_each_copy_has_what_an_extractor_finds_in_it_alone(picture):
    """To the bit, for quarter turns need no interpolation, and each keypoint says which copy it is of."""
    found = all_copies(rotations=4, scales=(1.0, 0.5), max_keypoints=4000)(picture)
    plain = all_copies(max_keypoints=4000)
    for angle, quarters in ((0, 0), (90, 1), (180, 2), (270, 3)):
        alone = of_copy(plain(np.ascontiguousarray(np.rot90(picture, quarters))), quarters)
        kept = of(found, 1.0, angle)
        assert len(alone) > 50 and torch.equal(kept.keypoints, alone.keypoints)
        torch.testing.assert_close(kept.descriptors, alone.descriptors)
    half = of(found, 2.0, 0)
    assert len(half) > 20
    torch.testing.assert_close(half.keypoints, plain(resized(picture, 90)).keypoints * 2)
    assert bool((found.scores.diff() <= 0).all()) and found.image_size == found.found_at == (180, 120)


def test_a_batch_equals_its_images_one_by_one(picture):
    extractor = all_copies(rotations=2)
    images = [picture, picture[:90]]
    for alone, together in zip(map(extractor, images), extractor.batch(images), strict=True):
        torch.testing.assert_close(alone.keypoints, together.keypoints)
        assert torch.equal(alone.angles_deg, together.angles_deg) and len(alone) > 50


def test_every_copy_gets_its_share_and_what_one_lacks_goes_to_the_others():
    def of_scores(*scores):
        return of_copy(replace(random_features(len(scores)), scores=torch.tensor(scores)), 0)

    assert merged([of_scores(0.9, 0.8, 0.7), of_scores(0.4, 0.3, 0.2)], 4).scores.tolist() == pytest.approx(
        [0.9, 0.8, 0.4, 0.3]
    )
    assert merged([of_scores(0.9, 0.8, 0.7), of_scores(0.4)], 3).scores.tolist() == pytest.approx([0.9, 0.8, 0.4])


def test_copies_find_the_matches_of_a_picture_that_lies_on_its_side(picture):
    side = np.ascontiguousarray(np.rot90(picture))

    def correct(extractor):
        a, b = extractor(picture), extractor(side)
        i, j = match(a, b).indices.T
        x, y = a.keypoints[i].T
        return int(((torch.stack([y, 180 - x], -1) - b.keypoints[j]).norm(dim=-1) < 1).sum())

    assert correct(all_copies(rotations=4)) > 4 * correct(all_copies()) + 40


def test_an_enlarged_copy_of_a_shrunken_photograph_is_made_of_the_photograph():
    """Twice what a long side leaves is no enlarged blur; found_at is the size without copies."""
    wide = blocks(200, 400, block_px=12)
    found = all_copies(long_side=100, scales=(1.0, 2.0))(wide)
    assert found.found_at == (100, 50) and found.image_size == (400, 200)
    torch.testing.assert_close(found.scales.unique(), torch.tensor([2.0, 4.0]))
    sharp = all_copies(long_side=200)(wide)
    torch.testing.assert_close(of(found, 2.0, 0).keypoints, sharp.keypoints[: len(of(found, 2.0, 0))])


@pytest.mark.parametrize("out", ["features", "f.h5", "f.db"])
def test_every_format_keeps_scale_and_orientation(tmp_path, picture, out):
    if out.endswith(".db"):
        pytest.importorskip("pycolmap")
    write_image(tmp_path / "photos" / "a.png", picture)
    extractor = all_copies(rotations=4, scales=(0.5, 1.0))
    assert extract_folder(tmp_path / "photos", tmp_path / out, extractor).done == ("a.png",)
    back, found = open_features(tmp_path / out).read("a.png"), extractor(picture)
    torch.testing.assert_close(back.scales, found.scales)
    torch.testing.assert_close(back.angles_deg, found.angles_deg)
    assert len(found.angles_deg.unique()) == 4 and len(found.scales.unique()) == 2
