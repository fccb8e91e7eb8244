import math

import numpy as np
import pytest

from traqpoint.evaluation.metrics.localization import recall_stats


def test_recall_counts_both_errors_and_failures():
    """By hand: 0.2/1 in all, 0.2/3 from the second on, 4/9 in the last, a failure in none."""
    position = np.array([0.2, 0.2, 4.0, math.inf])
    rotation = np.array([1.0, 3.0, 9.0, math.inf])
    stats = recall_stats(position, rotation, "m")
    assert [stats[f"recall_{x}"] for x in ("0.25m_2deg", "0.5m_5deg", "5m_10deg")] == [0.25, 0.5, 0.75]
    assert stats["position_error_median_m"] == pytest.approx(2.1) and stats["rotation_error_median_deg"] == 6
