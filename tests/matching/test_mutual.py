"""Mutual nearest neighbours against brute force, OpenCV and kornia."""

import cv2
import kornia
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from memory import peak_memory

import traqpoint.matching.mutual as mutual
from traqpoint.errors import ConfigError, FormatError
from traqpoint.matching.mutual import match
from traqpoint.types import Features

pytestmark = pytest.mark.usefixtures("device")


def features(descriptors: torch.Tensor) -> Features:
    n = len(descriptors)
    return Features(torch.zeros(n, 2), torch.zeros(n), descriptors, (10, 10))


def random_pair(n: int, m: int, dim: int = 8, seed: int = 0) -> tuple[Features, Features]:
    generator = torch.Generator().manual_seed(seed)
    a = F.normalize(torch.randn(n, dim, generator=generator), dim=-1)
    b = F.normalize(torch.randn(m, dim, generator=generator), dim=-1)
    shared = min(n, m) // 2
    b[:shared] = F.normalize(a[:shared] + 0.2 * torch.randn(shared, dim, generator=generator), dim=-1)
    return features(a), features(b)


def pairs(matches) -> set[tuple[int, int]]:
    return {tuple(row) for row in matches.indices.tolist()}


def test_three_points_matched_by_hand():
    """Each keypoint goes to its twin; the one without a mutual partner stays alone."""
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]])
    b = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    matches = match(features(a), features(b))
    assert matches.indices.tolist() == [[0, 1], [1, 0]]
    assert matches.scores.tolist() == [1.0, 1.0]


def test_agrees_with_opencv_cross_check():
    """The matches are OpenCV's brute-force matches with crossCheck."""
    a, b = random_pair(300, 260)
    expected = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True).match(
        a.descriptors.cpu().numpy(), b.descriptors.cpu().numpy()
    )
    assert pairs(match(a, b)) == {(m.queryIdx, m.trainIdx) for m in expected}


def test_ratio_agrees_with_kornia_in_both_directions():
    """max_ratio is kornia's symmetric mutual-nearest-neighbour ratio test."""
    a, b = random_pair(200, 220, seed=1)
    _, expected = kornia.feature.match_smnn(a.descriptors, b.descriptors, 0.8)
    found = match(a, b, max_ratio=0.8)
    assert 0 < len(found) < len(match(a, b))
    assert pairs(found) == {tuple(row) for row in expected.tolist()}


def test_min_similarity_removes_exactly_the_dissimilar():
    """min_similarity keeps the matches whose cosine reaches it."""
    a, b = random_pair(100, 100, seed=2)
    all_matches = match(a, b)
    kept = match(a, b, min_similarity=0.9)
    rows = all_matches.indices.tolist()
    assert pairs(kept) == {tuple(i) for i, s in zip(rows, all_matches.scores.tolist(), strict=True) if s >= 0.9}
    assert 0 < len(kept) < len(all_matches)


@pytest.mark.parametrize("block", [1, 37, 500, 10**9])
def test_the_size_of_the_blocks_does_not_matter(monkeypatch, block):
    """Any chunking gives the brute-force result, ratio included."""
    a, b = random_pair(61, 47, seed=3)
    similarity = a.descriptors.double() @ b.descriptors.double().T
    by_hand = set()
    for i in range(61):
        j = int(similarity[i].argmax())
        if int(similarity[:, j].argmax()) == i:
            row = (2 - 2 * similarity[i]).sort().values
            column = (2 - 2 * similarity[:, j]).sort().values
            if row[0] < 0.81 * row[1] and column[0] < 0.81 * column[1]:
                by_hand.add((i, j))
    monkeypatch.setattr(mutual, "_BLOCK_ELEMENTS", block)
    assert pairs(match(a, b, max_ratio=0.9)) == by_hand


def test_ties_go_to_the_first_whatever_the_blocks(monkeypatch):
    """Of identical descriptors the first of each image is matched."""
    same = torch.tensor([[1.0, 0.0]]).expand(5, 2)
    for block in (1, 6, 10**9):
        monkeypatch.setattr(mutual, "_BLOCK_ELEMENTS", block)
        assert match(features(same), features(same)).indices.tolist() == [[0, 0]]
        assert len(match(features(same), features(same), max_ratio=1.0)) == 0


def test_swapping_the_images_swaps_the_indices():
    """match(a, b) and match(b, a) are the same set."""
    a, b = random_pair(80, 90, seed=4)
    for options in ({}, {"max_ratio": 0.8}, {"min_similarity": 0.5}):
        forward, backward = match(a, b, **options), match(b, a, **options)
        assert pairs(forward) == {(i, j) for j, i in pairs(backward)}


def test_ratio_without_a_second_candidate_is_no_match():
    """A ratio that cannot be formed never passes."""
    a, b = random_pair(4, 1, seed=5)
    assert len(match(a, b)) == 1
    assert len(match(a, b, max_ratio=0.99)) == 0


@pytest.mark.parametrize(("n", "m"), [(0, 5), (5, 0), (0, 0)])
def test_empty_in_empty_out(n, m):
    """No keypoints give no matches, of the right shapes."""
    matches = match(features(torch.zeros(n, 8)), features(torch.zeros(m, 8)), max_ratio=0.8)
    assert matches.indices.shape == (0, 2) and matches.indices.dtype == torch.long
    assert matches.scores.shape == (0,)


def test_bad_arguments_are_named():
    """Unequal dimensions and limits out of range raise, with the numbers in the message."""
    with pytest.raises(FormatError, match="8 and 4 dimensions"):
        match(features(torch.zeros(3, 8)), features(torch.zeros(3, 4)))
    a, b = random_pair(5, 5)
    with pytest.raises(ConfigError, match="max_ratio"):
        match(a, b, max_ratio=1.5)
    with pytest.raises(ConfigError, match="min_similarity"):
        match(a, b, min_similarity=2.0)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"max_ratio": 0.9}])
def test_memory_does_not_grow_with_the_product(options):
    """12000 × 12000 similarities are 576 MB; a few blocks of 32 are enough, and none is kept, nor what hinders it."""
    blocks = mutual.row_blocks(12_000, 12_000)
    assert all((stop - start) * 12_000 <= mutual._BLOCK_ELEMENTS for start, stop in blocks)
    assert np.array_equal(np.concatenate([np.arange(*block) for block in blocks]), np.arange(12_000))
    a, b = random_pair(12_000, 12_000)
    with peak_memory() as peak:
        match(a, b, **options)
    assert peak.mb < 250
