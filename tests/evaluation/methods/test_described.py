"""Keypoints of one method, descriptors of another."""

import pytest
import torch

from traqpoint.errors import ConfigError
from traqpoint.evaluation.methods.method import build_method, label
from traqpoint.inference.extractor import Extractor
from traqpoint.models.config import MODELS
from traqpoint.models.traqpoint import TraqPoint


@pytest.fixture(scope="module")
def image():
    return torch.rand(3, 96, 128, generator=torch.Generator().manual_seed(0))


def test_keypoints_are_the_first_ones_and_descriptors_the_second_ones(tmp_path, image):
    torch.manual_seed(0)
    other = TraqPoint(MODELS["traqpoint-t"])
    other.save_pretrained(tmp_path / "student.safetensors")
    method = build_method(f"traqpoint-s+{tmp_path / 'student.safetensors'}", max_keypoints=50, device="cpu")
    found = method(image)
    ours = Extractor("traqpoint-s", max_keypoints=50, device="cpu")(image)
    assert torch.allclose(found.keypoints, ours.keypoints, atol=1e-4)
    maps = other.eval().descriptor.maps(image[None])
    expected = other.descriptor.at(maps, ours.keypoints[None], (128, 96))[0]
    assert torch.allclose(found.descriptors, expected, atol=1e-4)
    assert label(method) == "traqpoint-s+student"


def test_a_descriptor_that_nobody_knows_is_named():
    with pytest.raises(ConfigError, match="surf"):
        build_method("traqpoint-s+surf")
