"""Trajectories from above."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from traqpoint import optional
from traqpoint.errors import DataError
from traqpoint.viz.plots import method_colours

_TRUTH = "#333333"


def plot_paths(
    paths: Mapping[str, np.ndarray],
    file: str | Path,
    truth: np.ndarray | None = None,
    unit: str = "m",
    title: str = "",
    up: str | None = None,
) -> None:
    """Write camera centres, label -> (N, 3), into `file` (.png, .svg, .pdf), each from its dot on, to one scale.

    up: "x", "y" or "z", the axis that is seen along; without it, or if the path goes mostly along it, the one that the
    truth, or else the first path, extends least in. The longest one runs to the right. truth: (N, 3), dashed. Raises
    DataError if there is no path.
    """
    if not paths:
        raise DataError(f"{file}: there is no path to plot")
    extent = np.ptp(next(iter(paths.values())) if truth is None else truth, axis=0)
    order = np.argsort(extent, kind="stable").tolist()
    hidden = order[0] if up is None or "xyz"[order[2]] == up else "xyz".index(up)
    upwards, across = [axis for axis in order if axis != hidden]
    height = 7.2 * min(max(float(extent[upwards]) / max(float(extent[across]), 1e-9), 0.3), 0.8)
    figure = optional.load("matplotlib.figure").Figure(figsize=(7.2, height), dpi=140, layout="constrained")
    axes = figure.add_subplot()
    if truth is not None:
        axes.plot(truth[:, across], truth[:, upwards], "--", color=_TRUTH, linewidth=1.6, label="truth", zorder=5)
    for label, colour in method_colours(list(paths)).items():
        x, y = paths[label][:, across], paths[label][:, upwards]
        axes.plot(x, y, color=colour, linewidth=2, label=label, zorder=4)
        axes.plot(x[:1], y[:1], "o", color=colour, markersize=5, zorder=4)
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(color="#e3e3e3", zorder=0)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.set_xlabel(f"{'xyz'[across]} [{unit}]")
    axes.set_ylabel(f"{'xyz'[upwards]} [{unit}]")
    axes.set_title(title, loc="left")
    figure.legend(loc="outside right center", frameon=False)
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
