"""Keypoints where masks let them be."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from traqpoint.errors import DataError, FormatError
from traqpoint.image import read_image, write_image
from traqpoint.inference.masks import Masked
from traqpoint.inference.pipeline import extract_folder
from traqpoint.io.stores import open_features
from traqpoint.types import Features


@dataclass(frozen=True)
class Settings:
    """Of the extractor below."""

    device: str = "cpu"


class EveryFourthPixel:
    """Keypoints on a lattice, wherever the image is not grey as paint; remembers what it saw."""

    config = Settings()

    def __call__(self, image):
        self.seen = image
        height, width = image.shape[:2]
        y, x = torch.meshgrid(torch.arange(2, height, 4), torch.arange(2, width, 4), indexing="ij")
        xy = torch.stack([x, y], -1).reshape(-1, 2) + 0.5
        return Features(xy, torch.ones(len(xy)), torch.ones(len(xy), 1), (width, height))


def photos(folder, exif=None):
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    folder.mkdir()
    Image.fromarray(image).save(folder / "a.jpg", **({} if exif is None else {"exif": exif}))
    return {"a.jpg": folder / "a.jpg"}


@pytest.mark.parametrize("name", ["a.jpg.png", "a.png"])
def test_no_keypoint_lies_on_or_at_what_is_black_in_a_mask_and_it_is_painted_over(tmp_path, name):
    images, mask = photos(tmp_path / "photos"), np.full((48, 64, 3), 255, dtype=np.uint8)
    mask[:, :32] = 0
    write_image(tmp_path / "masks" / name, mask)
    extractor = EveryFourthPixel()
    found = Masked(extractor, tmp_path / "masks", images).features("a.jpg", read_image(images["a.jpg"]))
    assert found.keypoints[:, 0].min() > 34 and len(found) == 12 * 7
    assert np.ptp(extractor.seen[:, :32], axis=(0, 1)).max() == 0


def test_a_mask_is_of_the_file_as_it_is_stored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    images, mask = photos(tmp_path / "photos", exif), np.full((48, 64, 3), 255, dtype=np.uint8)
    mask[:, :32] = 0
    write_image(tmp_path / "mask.png", mask)
    found = Masked(EveryFourthPixel(), tmp_path / "mask.png", images)
    extract_folder(images, tmp_path / "features.h5", found)
    stored = open_features(tmp_path / "features.h5").read("a.jpg")
    assert stored.image_size == (64, 48) and stored.keypoints[:, 0].min() > 34 and len(stored) == 12 * 7


def test_masks_that_fit_no_image_are_told(tmp_path):
    images = photos(tmp_path / "photos")
    write_image(tmp_path / "masks" / "b.jpg.png", np.zeros((4, 4, 3), dtype=np.uint8))
    with pytest.raises(DataError, match=r"that of a\.jpg would be called a\.jpg\.png"):
        Masked(EveryFourthPixel(), tmp_path / "masks", images)
    write_image(tmp_path / "masks" / "a.png", np.zeros((4, 4, 3), dtype=np.uint8))
    with pytest.raises(FormatError, match=r"the mask is 4x4 upright, and its image a\.jpg 64x48"):
        Masked(EveryFourthPixel(), tmp_path / "masks", images).features("a.jpg", read_image(images["a.jpg"]))


def test_another_mask_is_another_configuration(tmp_path):
    images = photos(tmp_path / "photos")
    configs = []
    for value in (0, 255):
        write_image(tmp_path / "mask.png", np.full((48, 64, 3), value, dtype=np.uint8))
        configs.append(Masked(EveryFourthPixel(), tmp_path / "mask.png", images).config)
    assert configs[0] != configs[1]
