"""A model as the browser draws it."""

import numpy as np

from traqpoint.viz import scene


def test_the_size_of_cameras_goes_by_their_nearest_ones_of_which_a_sample_says_enough(monkeypatch):
    """Rows two apart of cameras one apart; and pairs that a sample of every second one would part."""
    rows, columns = np.mgrid[0:12, 0:12]
    grid = np.stack([columns, 2 * rows, 0 * rows], axis=-1).reshape(-1, 3).astype(float)
    monkeypatch.setattr(scene, "MAX_SPACED", 7)
    assert scene._spacing(grid) == 1
    pairs = np.array([[x + side, 0.0, 0.0] for x in range(0, 100, 10) for side in (0, 0.5)])
    assert scene._spacing(pairs) == 0.5
    assert scene._spacing(grid[:1]) == 0
