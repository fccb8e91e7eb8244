"""The parts of a report that a large collection would make too large."""

import numpy as np

from traqpoint.apps import report


def test_the_picture_of_pairs_has_a_cell_for_the_best_of_a_group_once_the_images_are_many(monkeypatch):
    pairs = [(0, 1, 9, 3), (0, 5, 9, 100), (1, 4, 9, 50), (2, 3, 9, 0)]
    every = report._weights(pairs, 6)
    assert every.shape == (6, 6) and every[0, 5] == every[5, 0] == 1 and every[2, 3] == 0
    monkeypatch.setattr(report, "MAX_CELLS", 3)
    groups = report._weights(pairs, 6)
    assert np.array_equal(groups, every.reshape(3, 2, 3, 2).max(axis=(1, 3)))
