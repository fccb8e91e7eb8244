"""The area under a recall curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from traqpoint.errors import ConfigError


def auc(errors: Sequence[float] | np.ndarray, thresholds: Sequence[float]) -> list[float]:
    """Area under the recall curve up to each threshold, over the threshold: 1 if all errors are 0, 0 if none is below.

    The curve of SuperGlue's pose_auc: linear from (0, 0) through (i-th smallest error, i / n), then level up to the
    threshold. Failures are infinite errors. Raises ConfigError for NaN, negative or no errors.
    """
    e = np.sort(np.asarray(errors, dtype=np.float64))
    if not len(e) or np.isnan(e).any() or e[0] < 0:
        raise ConfigError("AUC needs at least one error, none of them NaN or negative")
    recall = np.arange(len(e) + 1) / len(e)
    e = np.concatenate([[0.0], e])
    out = []
    for threshold in thresholds:
        last = int(np.searchsorted(e, threshold))  # errors equal to the threshold are not below it
        x, y = np.append(e[:last], threshold), np.append(recall[:last], recall[last - 1])
        out.append(float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum() / threshold))
    return out
