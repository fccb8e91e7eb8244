"""Nearest points, exactly and by an index."""

import pytest
import torch

from traqpoint.retrieval import neighbours
from traqpoint.retrieval.neighbours import nearest


def test_points_on_a_line_have_the_next_ones():
    points = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    assert nearest(points, 2).tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]


def test_fewer_points_than_asked_for_leave_the_rest_open():
    assert nearest(torch.tensor([[0.0], [1.0]]), 3).tolist() == [[1, -1, -1], [0, -1, -1]]
    assert nearest(torch.zeros(1, 2), 2).tolist() == [[-1, -1]] and nearest(torch.zeros(0, 2), 2).shape == (0, 2)


def test_blocks_of_rows_find_what_all_at_once_finds(monkeypatch):
    points = torch.rand(100, 20)
    whole = nearest(points, 5)
    monkeypatch.setattr(neighbours, "_ROWS", 7)
    assert torch.equal(nearest(points, 5), whole)
    distances = torch.cdist(points, points).fill_diagonal_(torch.inf)
    assert torch.equal(whole, distances.argsort(1)[:, :5])


def test_places_in_a_city_are_told_apart_to_centimetres():
    """A kilometre is a spread: float32 products alone would mix up what is a metre apart."""
    points = torch.zeros(300, 3)
    points[:, 0] = torch.arange(300) * 1e-5
    assert nearest(points, 2)[1:-1].sort(1).values.tolist() == [[i - 1, i + 1] for i in range(1, 299)]


def test_an_index_finds_nearly_what_all_comparisons_find(monkeypatch):
    """And never the point itself, even among equal points."""
    pytest.importorskip("faiss")
    points = torch.nn.functional.normalize(torch.randn(600, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    points[:5] = points[0]
    exact = nearest(points, 10)
    monkeypatch.setattr(neighbours, "EXACT_UP_TO", 100)
    found = nearest(points, 10)
    assert not (found == torch.arange(600).unsqueeze(1)).any()
    shared = sum(len(set(a) & set(b)) for a, b in zip(exact.tolist(), found.tolist(), strict=True))
    assert shared >= 0.99 * exact.numel()
