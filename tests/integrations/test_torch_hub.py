"""hubconf.py, loaded by torch.hub itself from the repository."""

from pathlib import Path

import pytest
import torch

REPOSITORY = str(Path(__file__).resolve().parents[2])


def load(name, **options):
    return torch.hub.load(REPOSITORY, name, source="local", **options)


def test_torch_hub_loads_what_the_repository_offers(pictures, views):
    extractor = load("traqpoint", max_keypoints=256, device="cpu")
    assert torch.equal(extractor(pictures[0]).keypoints, views[0].keypoints)
    assert isinstance(load("traqpoint_network"), torch.nn.Module)
    assert set(load("traqpoint_matcher", device="cpu").extract(torch.rand(3, 64, 64))) == {"all_kpts0", "all_desc0"}


def test_an_entry_that_there_is_not_is_told():
    with pytest.raises(RuntimeError, match="superpoint"):
        load("superpoint")
