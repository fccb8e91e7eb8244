import numpy as np
import pytest
import small_scenes
import torch

from traqpoint.inference.extractor import Extractor
from traqpoint.matching.mutual import match


@pytest.fixture(scope="package")
def extractor():
    return Extractor(max_keypoints=256, device="cpu")


@pytest.fixture(scope="package")
def pictures():
    """Two views of two walls, uint8 (240, 320, 3)."""
    return small_scenes.walls(np.random.default_rng(0), 2)


@pytest.fixture(scope="package")
def images(pictures):
    """The same as tensors (3, H, W) in [0, 1]."""
    return [torch.from_numpy(picture).permute(2, 0, 1) / 255 for picture in pictures]


@pytest.fixture(scope="package")
def views(extractor, pictures):
    """Features of both."""
    return [extractor(picture) for picture in pictures]


@pytest.fixture(scope="package")
def matches(views):
    return match(*views)
