"""Curves and bars of evaluations, in one style: one colour per method in every plot, ours warm and drawn on top."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from traqpoint import optional
from traqpoint.errors import DataError

_PEERS = {
    "SIFT": "#4c78a8",
    "RootSIFT": "#76b7e5",
    "ORB": "#8a8a8a",
    "AKAZE": "#bcbd22",
    "XFeat": "#2ca02c",
    "ALIKED-T16": "#c5a3e0",
    "ALIKED-N16": "#8e5bb5",
    "ALIKED-N16rot": "#5e3c99",
    "ALIKED-N32": "#e377c2",
    "DISK": "#8c564b",
    "EdgePoint2-M64": "#c9a227",
    "EdgePoint2-E64": "#7f6a12",
}
_OURS = ("#e4572e", "#f2a33a", "#b3123f", "#f58ea8")
"""Of our weights, which are called traqpoint-…, in order."""
_OTHERS = ("#17becf", "#5f6f52", "#3d5a80", "#b08968", "#7fc8a9", "#6d6875")
"""Of whoever is not known here, in order."""
_TEXT, _GRID = "#333333", "#e3e3e3"
_SIZE_INCHES, _DPI = (7.2, 4.0), 140
"""1008 x 560 px: legible where a README shows it at two thirds."""

Curve = tuple[np.ndarray, np.ndarray]


def method_colours(labels: Sequence[str]) -> dict[str, str]:
    """A colour per method: known peers the same one in every plot, ours warm ones, all others their own."""
    colours = dict(_PEERS)
    ours = [label for label in labels if is_ours(label)]
    others = [label for label in labels if label not in _PEERS and not is_ours(label)]
    for some, palette in ((ours, _OURS), (others, _OTHERS)):
        colours |= {label: palette[i % len(palette)] for i, label in enumerate(some)}
    return {label: colours[label] for label in labels}


def is_ours(label: str) -> bool:
    """Whether a method is a network of this package by its name."""
    return label.lower().startswith("traqpoint")


def plot_curves(curves: Mapping[str, Curve], path: str | Path, xlabel: str, ylabel: str, title: str = "") -> None:
    """Write a line per method, label -> (x, y), into `path` (.png, .svg, .pdf). NaN leaves a gap.

    Raises DataError if there is nothing to draw or x and y differ in length.
    """
    for label, (x, y) in curves.items():
        if len(x) != len(y):
            raise DataError(f"{path}: the curve of {label} has {len(x)} x and {len(y)} y values")

    def draw(axes: Any, colours: dict[str, str]) -> None:
        for label, (x, y) in curves.items():
            ours = is_ours(label)
            axes.plot(
                x,
                y,
                label=label,
                color=colours[label],
                linewidth=2.6 if ours else 1.6,
                zorder=4 if ours else 3,
                solid_capstyle="round",
            )
        axes.margins(x=0)
        if all(np.issubdtype(np.asarray(x).dtype, np.integer) for x, _ in curves.values()):
            axes.locator_params(axis="x", integer=True)  # frames: there is none between two

    _write(path, list(curves), xlabel, ylabel, title, draw)


def plot_cumulative_errors(
    errors: Mapping[str, np.ndarray], path: str | Path, limit: float, xlabel: str, title: str = ""
) -> None:
    """Share of items with an error of at most x, for x up to `limit`. Label -> (N,) errors of all N items.

    NaN and infinity are failures: they count among the N and are never reached.
    """
    x = np.linspace(0, limit, 400)

    def share(values: np.ndarray) -> np.ndarray:
        reached = np.sort(values[np.isfinite(values)])
        return np.searchsorted(reached, x, side="right") / max(len(values), 1)

    plot_curves({k: (x, share(np.asarray(v, dtype=float))) for k, v in errors.items()}, path, xlabel, "share", title)


def plot_survival(lengths: Mapping[str, np.ndarray], path: str | Path, xlabel: str, title: str = "") -> None:
    """Share of tracks with at least k observations, k = 1, 2, … Label -> (N,) lengths."""
    longest = max((int(np.max(v)) for v in lengths.values() if len(v)), default=1)
    k = np.arange(1, longest + 1)

    def share(values: np.ndarray) -> np.ndarray:
        return (len(values) - np.searchsorted(np.sort(values), k, side="left")) / max(len(values), 1)

    plot_curves({label: (k, share(np.asarray(v))) for label, v in lengths.items()}, path, xlabel, "share", title)


def plot_bars(
    groups: Sequence[str],
    values: Mapping[str, Sequence[float]],
    path: str | Path,
    ylabel: str,
    title: str = "",
    xlabel: str = "",
) -> None:
    """Bars side by side, one per method in each group: label -> a value per group. NaN is no bar.

    Raises DataError if a method has another number of values than there are groups.
    """
    for label, heights in values.items():
        if len(heights) != len(groups):
            raise DataError(f"{path}: {label} has {len(heights)} values for {len(groups)} groups")

    def draw(axes: Any, colours: dict[str, str]) -> None:
        width = 0.8 / len(values)
        centres = np.arange(len(groups))
        for i, (label, heights) in enumerate(values.items()):
            at = centres + (i - (len(values) - 1) / 2) * width
            # Of height zero: matplotlib finds no limits for an axis of NaN alone.
            shown = np.where(np.isfinite(heights), heights, 0.0)
            axes.bar(at, shown, width * 0.92, label=label, color=colours[label], zorder=3)
        axes.set_xticks(centres, groups)
        axes.tick_params(axis="x", length=0)

    _write(path, list(values), xlabel, ylabel, title, draw)


def _write(
    path: str | Path,
    labels: Sequence[str],
    xlabel: str,
    ylabel: str,
    title: str,
    draw: Callable[[Any, dict[str, str]], None],
) -> None:
    if not labels:
        raise DataError(f"{path}: there is nothing to plot")
    # Not pyplot: a figure of our own needs no display and leaves the caller's figures and settings alone.
    figure = optional.load("matplotlib.figure").Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    draw(axes, method_colours(labels))
    axes.set_ylim(bottom=min(0.0, axes.dataLim.ymin))
    axes.grid(axis="y", color=_GRID, zorder=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.tick_params(colors=_TEXT, labelsize=11, left=False)
    axes.set_xlabel(xlabel, color=_TEXT, fontsize=12)
    axes.set_ylabel(ylabel, color=_TEXT, fontsize=12)
    axes.set_title(title, color=_TEXT, fontsize=13, loc="left")
    figure.legend(loc="outside right center", frameon=False, fontsize=11, labelcolor=_TEXT)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
