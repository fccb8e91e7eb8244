"""The picture of a benchmark, whichever it is: errors of all methods as curves, or track lengths as bars."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from traqpoint.viz.plots import plot_bars, plot_cumulative_errors

_ERRORS = {
    "pose": ("error_deg", 20.0, "pose error in degrees"),
    "homography": ("corner_px", 10.0, "corner error in px"),
    "localization": ("rotation_deg", 5.0, "rotation error in degrees"),
}
"""Kind of benchmark -> array, largest error shown, what it is."""


def plot_benchmark(
    kind: str,
    arrays: Mapping[str, Mapping[str, np.ndarray]],
    stats: Mapping[str, Mapping[str, float]],
    path: str | Path,
    title: str = "",
) -> bool:
    """Draw the results of one benchmark, label of a method -> its arrays and numbers, into `path`.

    pose, homography, localization: share of items with an error of at most x, failures never reached. sfm: mean track
    length. Returns False, and draws nothing, for any other kind.
    """
    if kind in _ERRORS:
        key, limit, xlabel = _ERRORS[kind]
        plot_cumulative_errors({name: found[key].ravel() for name, found in arrays.items()}, path, limit, xlabel, title)
    elif kind == "sfm":
        lengths = {name: [numbers["mean_track_length"]] for name, numbers in stats.items()}
        plot_bars([""], lengths, path, "observations per point", title)
    else:
        return False
    return True
