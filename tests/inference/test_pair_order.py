"""In which order pairs are matched, and what stays in memory meanwhile."""

import threading
from itertools import pairwise

import pytest
import torch

from traqpoint.errors import ConfigError, FormatError
from traqpoint.inference.ahead import mapped
from traqpoint.inference.config import MatchFlowConfig
from traqpoint.inference.pair_order import FeatureCache, bytes_of, near_together
from traqpoint.inference.pair_work import matched
from traqpoint.inference.pairs import exhaustive_pairs
from traqpoint.io.memory import MemoryFeatures
from traqpoint.matching.mutual import match
from traqpoint.types import Features

NAMES = [f"{i:03}" for i in range(60)]


class Counting(MemoryFeatures):
    """Counts reads."""

    def __init__(self, names=NAMES):
        super().__init__()
        self.reads = 0
        for name in names:
            vectors = torch.nn.functional.normalize(
                torch.randn(8, 4, generator=torch.Generator().manual_seed(int(name)))
            )
            self.write(name, Features(torch.zeros(8, 2), torch.ones(8), vectors, (9, 9)))

    def read(self, name):
        self.reads += 1
        return super().read(name)


def reads(pairs, images):
    """Of a cache of so many images, with the pairs in that order."""
    store = Counting()
    read = FeatureCache(store, "cpu", images * bytes_of(store.read("000")))
    store.reads = 0
    for a, b in pairs:
        read(a), read(b)
    return store.reads


def test_every_pair_comes_once():
    pairs = exhaustive_pairs(NAMES)
    assert sorted(near_together(pairs, 10)) == pairs
    two_places = [("000", "001"), ("030", "031"), ("001", "000")]
    assert sorted(near_together(two_places, 10)) == sorted(two_places) and near_together([], 2) == []


def test_all_pairs_in_squares_take_a_fraction_of_the_reads():
    pairs = exhaustive_pairs(NAMES)
    assert reads(pairs, 12) > 1500
    assert reads(near_together(pairs, 12), 12) <= 60 * 60 / (2 * 10) + 60


def test_a_path_in_any_order_reads_each_image_once():
    """Neighbours of a path, named at random and listed at random."""
    generator = torch.Generator().manual_seed(0)
    path = [NAMES[i] for i in torch.randperm(60, generator=generator)]
    steps = list(pairwise(path))
    shuffled = [steps[i] for i in torch.randperm(len(steps), generator=generator)]
    assert reads(shuffled, 6) > 100
    assert reads(near_together(shuffled, 6), 6) <= 62


def test_matches_do_not_depend_on_threads_or_memory():
    store, pairs = Counting(), exhaustive_pairs(NAMES[:12])
    for flow in (MatchFlowConfig(workers=1, cache="1GB"), MatchFlowConfig(workers=3, cache="0.001MB")):
        found = dict(matched(pairs, store, match, flow=flow))
        assert set(found) == set(pairs)
        for (a, b), between in found.items():
            assert torch.equal(between.matches.indices, match(store.read(a), store.read(b)).indices)
            assert between.num_keypoints == 8


def test_damaged_images_are_told_with_their_pairs_and_the_rest_goes_on():
    class Damaged(Counting):
        def read(self, name):
            if name == "001":
                raise FormatError("001: damaged")
            return super().read(name)

    found = dict(matched(exhaustive_pairs(NAMES[:3]), Damaged(), match))
    assert isinstance(found["000", "001"], dict) and list(found["001", "002"]) == ["001"]
    assert found["000", "002"].num_keypoints == 8


def test_several_threads_work_and_results_keep_their_order():
    meet = threading.Barrier(3, timeout=30)
    assert [result for _, result in mapped(lambda i: (meet.wait(), i)[1], range(9), 3)] == list(range(9))


def test_an_error_in_a_thread_ends_the_work():
    def fail(i):
        if i == 2:
            raise KeyboardInterrupt
        return i

    done = []
    with pytest.raises(KeyboardInterrupt):
        for _, result in mapped(fail, range(100), 2):
            done.append(result)
    assert done == [0, 1]


def test_impossible_settings_are_refused():
    with pytest.raises(ConfigError, match="workers"):
        MatchFlowConfig(workers=0)
    with pytest.raises(ConfigError, match="cache must be a number with GB or MB"):
        MatchFlowConfig(cache="much")
