"""The dual softmax against its formula."""

import pytest
import torch
import torch.nn.functional as F

import traqpoint.matching.mutual as mutual
from traqpoint.matching.dual_softmax import match_dual_softmax
from traqpoint.types import Features


def features(n: int, seed: int) -> Features:
    descriptors = F.normalize(torch.randn(n, 8, generator=torch.Generator().manual_seed(seed)), dim=-1)
    return Features(torch.zeros(n, 2), torch.zeros(n), descriptors, (10, 10))


@pytest.mark.parametrize("block", [1, 100, 10**9])
def test_equals_the_dense_formula(monkeypatch, block):
    """Matches and scores are the mutual maxima of softmax(rows) times softmax(columns), in any chunks."""
    a, b = features(40, 0), features(33, 1)
    logits = 20 * a.descriptors.double() @ b.descriptors.double().T
    P = logits.softmax(0) * logits.softmax(1)
    dense = {(i, j) for i, j in (P >= 0.01).nonzero().tolist() if P[i, j] == P[i].max() and P[i, j] == P[:, j].max()}
    monkeypatch.setattr(mutual, "_BLOCK_ELEMENTS", block)
    found = match_dual_softmax(a, b)
    assert {tuple(row) for row in found.indices.tolist()} == dense and dense
    torch.testing.assert_close(found.scores, P[found.indices[:, 0], found.indices[:, 1]].float())


def test_a_certain_match_has_probability_one():
    """Orthogonal descriptors at a low temperature are matched with certainty."""
    eye = Features(torch.zeros(4, 2), torch.zeros(4), torch.eye(4), (10, 10))
    found = match_dual_softmax(eye, eye, inverse_temperature=100.0)
    assert found.indices.tolist() == [[i, i] for i in range(4)]
    torch.testing.assert_close(found.scores, torch.ones(4))


@pytest.mark.parametrize(("n", "m"), [(0, 5), (5, 0), (0, 0)])
def test_empty_in_empty_out(n, m):
    """No keypoints give no matches."""
    assert match_dual_softmax(features(n, 0), features(m, 1)).indices.shape == (0, 2)
