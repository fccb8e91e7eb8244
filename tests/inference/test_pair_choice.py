"""Pairs by looks and by places."""

from pathlib import Path

import numpy as np
import pytest
import research_data
import torch
from PIL import Image
from torch.nn.functional import normalize

from traqpoint.errors import ConfigError, DataError, FormatError
from traqpoint.inference.config import PairsConfig
from traqpoint.inference.pairs import Collection, select_pairs, sequential_pairs
from traqpoint.io.memory import MemoryFeatures
from traqpoint.types import Features

ENTRY = research_data.DATA / "posed/strecha/entry-P10"


def of(descriptors):
    n = len(descriptors)
    return Features(torch.zeros(n, 2), torch.ones(n), normalize(descriptors, dim=1), (10, 10))


def a_walk(images=24, comes_back_to=None):
    """Each image shares 30 of 60 local descriptors with the one before; the last ones are the first place again."""
    points = torch.randn(30 * (images + 1), 32, generator=torch.Generator().manual_seed(0))
    store = MemoryFeatures()
    for i in range(images):
        place = i - comes_back_to if comes_back_to and i >= comes_back_to else i
        store.write(f"{i:02}.jpg", of(points[30 * place : 30 * place + 60]))
    return store


def numbers(pairs):
    return {(int(Path(a).stem), int(Path(b).stem)) for a, b in pairs}


def test_quadratic_overlap_doubles_its_steps():
    found = sequential_pairs([f"{i:02}" for i in range(40)], 5, quadratic=True)
    assert sorted(b - a for a, b in numbers(found) if a == 0) == [1, 2, 3, 4, 5, 8, 16]
    assert len(found) == len(set(found))


def test_images_that_look_alike_are_paired():
    store = a_walk()
    found = numbers(select_pairs(Collection(store.names(), store), PairsConfig("retrieval", neighbours=2)))
    assert {(i, i + 1) for i in range(23)} <= found and len(found) == 2 * 24
    assert all(a < b for a, b in found)
    again = select_pairs(Collection(store.names(), store), PairsConfig("retrieval", neighbours=2))
    assert numbers(again) == found


def test_a_loop_is_closed_where_the_camera_comes_back():
    """Every fifth image is looked up; those beyond the window that it finds are where it was before."""
    store = a_walk(24, comes_back_to=18)
    config = PairsConfig("loop", window=2, neighbours=1, loop_every=5)
    found = numbers(select_pairs(Collection(store.names(), store), config))
    assert {(a, b) for a, b in found if b - a <= 2} == numbers(sequential_pairs(store.names(), 2))
    assert (0, 18) in found and len([a for a, b in found if b - a > 2]) <= 5


def test_images_without_keypoints_or_with_damaged_features_are_in_no_pair():
    class Damaged(MemoryFeatures):
        def read(self, name):
            if name == "03.jpg":
                raise FormatError("03.jpg: damaged")
            return super().read(name)

    store = Damaged()
    for name in a_walk(6).names():
        store.write(name, a_walk(6).read(name))
    store.write("05.jpg", of(torch.empty(0, 32)))
    found = numbers(select_pairs(Collection(store.names(), store), PairsConfig("retrieval", neighbours=5)))
    assert {i for pair in found for i in pair} == {0, 1, 2, 4}
    empty = MemoryFeatures()
    empty.write("a", of(torch.empty(0, 32)))
    assert select_pairs(Collection(["a"], empty), PairsConfig("retrieval")) == []


def photograph(path, latitude=None, longitude=None):
    exif = Image.Exif()
    if latitude is not None:
        exif[0x8825] = {1: "N", 2: (latitude, 0.0, 0.0), 3: "E", 4: (longitude, 0.0, 0.0)}
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path, exif=exif)


def test_gps_pairs_what_was_taken_near_each_other(tmp_path):
    """Two towns; a photograph without GPS is told and left alone. The folder may be named or be the images' own."""
    for i, (latitude, longitude) in enumerate([(48.0, 11.0), (48.001, 11.0), (52.5, 13.4), (52.5, 13.401)]):
        photograph(tmp_path / "photos" / f"{i}.jpg", latitude, longitude)
    photograph(tmp_path / "photos" / "4.jpg")
    images = {f"{i}.jpg": tmp_path / "photos" / f"{i}.jpg" for i in range(5)}
    config = PairsConfig("poses", neighbours=1)
    with pytest.warns(UserWarning, match=r"1 of 5 images have no place and are matched with none: 4\.jpg"):
        found = numbers(select_pairs(Collection(list(images), images=images), config))
        assert {(0, 1), (2, 3)} <= found and len(found) <= 5 and all(4 not in pair for pair in found)
    named = PairsConfig("poses", neighbours=1, poses=tmp_path / "photos")
    assert {(0, 1), (2, 3)} <= numbers(select_pairs(list(images)[:4], named))


@pytest.mark.skipif(not ENTRY.is_dir(), reason=f"{ENTRY} is absent")
def test_poses_pair_neighbours_of_a_walk():
    names = [path.name for path in sorted((ENTRY / "images").iterdir())]
    found = select_pairs(names, PairsConfig("poses", neighbours=2, poses=ENTRY))
    steps = [names.index(b) - names.index(a) for a, b in found]
    assert len(found) == 20 and sum(step <= 3 for step in steps) >= 0.8 * len(steps)


def test_what_a_choice_lacks_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match="chosen by their features"):
        select_pairs(["a", "b"], PairsConfig("retrieval"))
    with pytest.raises(ConfigError, match="--pairs poses needs --poses"):
        select_pairs(["a", "b"], PairsConfig("poses"))
    photograph(tmp_path / "photos" / "a.jpg")
    with pytest.raises(DataError, match="no place of any of 2 images, a for one"):
        select_pairs(["a", "b"], PairsConfig("poses", poses=tmp_path / "photos"))
    with pytest.raises(FormatError, match=r"neither one of exhaustive, .* nor a list of pairs"):
        select_pairs(["a", "b"], PairsConfig("retreival"))
    with pytest.raises(ConfigError, match="only --pairs poses looks at them"):
        PairsConfig("retrieval", poses=tmp_path)
    for wrong in ({"neighbours": 0}, {"loop_every": 0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            PairsConfig(**wrong)
