"""Pictures of policy_comparison.py's rows: completeness of all variants with its spread, and learning curves.

python benchmarks/policy_plots.py benchmarks/results/policy_comparison.json docs/images
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tyro
from matplotlib.figure import Figure
from policy_tables import by_variant
from policy_variants import VARIANTS

CURVES = ("traqpoint", "no-warmup", "sampled-lr", "exact-rank", "paper-point", "warmup", "reference", "paper")
COLOURS = ("#e4572e", "#f2a33a", "#b3123f", "#8e5bb5", "#4c78a8", "#8a8a8a", "#8c564b", "#2ca02c")
GROUPS = {"no reward": "#8a8a8a", "estimator": "#4c78a8", "term": "#f2a33a", "sequence": "#8e5bb5"}


def main(rows: tyro.conf.Positional[Path], out: tyro.conf.Positional[Path]) -> None:
    """rows: the JSON file. out: folder for policy_variants.png and policy_curves.png."""
    by_name = {name: list(of.values()) for name, of in by_variant(json.loads(rows.read_text())["rows"]).items()}
    names = list(by_name)
    out.mkdir(parents=True, exist_ok=True)

    figure = Figure(figsize=(7.6, 0.25 * len(names) + 1.2), dpi=140, layout="constrained")
    axes = figure.add_subplot()
    for y, name in enumerate(reversed(names)):
        values = np.array([row["completeness"] for row in by_name[name]])
        colour = "#e4572e" if name == "traqpoint" else GROUPS[VARIANTS[name].group]
        axes.plot(values, np.full(len(values), y), "o", color=colour, alpha=0.45, markersize=4)
        axes.plot([values.mean()], [y], "|", color=colour, markersize=13, markeredgewidth=3)
    axes.set_yticks(range(len(names)), reversed(names), fontsize=9)
    axes.set_xlabel("validation completeness: each seed (dot) and their mean")
    for group, colour in GROUPS.items():
        axes.plot([], [], "|", color=colour, markeredgewidth=3, label=group)
    axes.legend(frameon=False, fontsize=9, loc="lower left")
    axes.grid(axis="both", color="#ececec")
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(out / "policy_variants.png")

    figure = Figure(figsize=(7.6, 4.0), dpi=140, layout="constrained")
    axes = figure.add_subplot()
    for name, colour in zip(CURVES, COLOURS, strict=True):
        curves = np.array([row["curve"] for row in by_name.get(name, [])])
        if len(curves):
            share = np.linspace(0, 100, curves.shape[1])
            axes.plot(share, curves.mean(0), color=colour, label=name, linewidth=2)
            axes.fill_between(share, curves.min(0), curves.max(0), color=colour, alpha=0.12, linewidth=0)
    axes.set_xlabel("% of the budget")
    axes.set_ylabel("completeness, 8 photographs")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#ececec")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False)
    figure.savefig(out / "policy_curves.png")


if __name__ == "__main__":
    tyro.cli(main)
