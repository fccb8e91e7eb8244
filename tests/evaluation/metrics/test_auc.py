import numpy as np
import pytest

from traqpoint.errors import ConfigError
from traqpoint.evaluation.metrics.auc import auc


def numeric_auc(errors, threshold, steps=200_000):
    """Independent: the polygon evaluated at many points and summed, in place of the trapezoids between its corners."""
    known = np.sort([e for e in errors if np.isfinite(e)])
    x = np.concatenate([[0], known, [1e9]])
    y = np.concatenate([[0], np.arange(1, len(known) + 1) / len(errors), [len(known) / len(errors)]])
    at = (np.arange(steps) + 0.5) / steps * threshold
    below = known < threshold
    level = below.sum() / len(errors)
    last = known[below].max() if below.any() else 0.0
    return float(np.where(at > last, level, np.interp(at, x, y)).mean())


def test_auc_of_known_errors():
    assert auc([0.0] * 7, (5, 10, 20)) == [1, 1, 1]
    assert auc([np.inf, 30.0], (5, 10, 20)) == [0, 0, 0]
    # One error of 2: linear to (2, 1), level to 5: (2 / 2 + 3) / 5.
    assert auc([2.0], (5, 10)) == pytest.approx([0.8, 0.9])
    # Corners (1, 1/2), (3, 1): 1/4 + 3/2 + 2 of 5. A failure halves what is left.
    assert auc([3.0, 1.0], (5,)) == pytest.approx([3.75 / 5])
    assert auc([3.0, 1.0, np.inf, np.inf], (5,)) == pytest.approx([3.75 / 10])
    assert auc([5.0], (5,)) == [0]  # an error at the threshold is not below it


@pytest.mark.parametrize("seed", range(5))
def test_auc_is_the_area_by_numeric_integration(seed):
    errors = np.random.default_rng(seed).exponential(8, 40)
    errors[:3] = np.inf
    errors[3:6] = 0
    for threshold, area in zip((5, 10, 20), auc(errors, (5, 10, 20)), strict=True):
        assert area == pytest.approx(numeric_auc(errors, threshold), abs=1e-4)


@pytest.mark.parametrize("errors", [[], [np.nan], [-1.0]])
def test_auc_refuses_what_is_no_error(errors):
    with pytest.raises(ConfigError):
        auc(errors, (5,))
