"""Tables of policy_comparison.py's rows in Markdown, a part at a time, as they stand in docs/method.md.

python benchmarks/policy_tables.py benchmarks/results/policy_comparison.json
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tyro
from policy_variants import VARIANTS

COLUMNS = {
    "completeness": ("completeness", 3),
    "length": ("track_length", 2),
    "loc. px": ("localization_px", 2),
    "repeatability": ("repeatability", 3),
    "precision": ("precision", 3),
    "worlds": ("completeness_worlds", 3),
    "worlds length": ("track_length_worlds", 2),
    "room": ("completeness_rgbd", 3),
    "KITTI length": ("track_length_kitti", 2),
    "pose AUC@5": ("pose_auc_5", 3),
}
"""Heading -> key of a row, decimals."""
OURS = "traqpoint"

Rows = dict[str, dict[int, dict]]


def by_variant(rows: list[dict]) -> Rows:
    """Variant -> seed -> row, in the order of VARIANTS."""
    found: Rows = {}
    for name in VARIANTS:
        if of := {row["seed"]: row for row in rows if row["variant"] == name}:
            found[name] = of
    return found


def paired(rows: Rows, name: str, other: str, key: str = "completeness") -> list[float]:
    """Differences name - other on each seed that both have."""
    return [rows[name][s][key] - rows[other][s][key] for s in sorted(rows[name].keys() & rows[other].keys())]


def table(rows: Rows, names: list[str]) -> str:
    """One line per variant: mean ± standard deviation over seeds. The last columns are the completeness that traqpoint
    has more, on each seed, and the CPU seconds of training."""
    columns = {h: c for h, c in COLUMNS.items() if any(c[0] in row for n in names for row in rows[n].values())}
    head = ["variant", "what", "seeds", *columns, f"{OURS} has more", "CPU s"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name in names:
        of = list(rows[name].values())
        cells = [f"**{name}**" if name == OURS else name, VARIANTS[name].what, str(len(of))]
        cells += [_spread([row[key] for row in of if key in row], decimals) for key, decimals in columns.values()]
        ahead = paired(rows, OURS, name) if OURS in rows and name != OURS else []
        cells.append(", ".join(f"{x:+.3f}" for x in ahead))
        cells.append(_spread([row["train_cpu_s"] for row in of if "train_cpu_s" in row], 0).split(" ")[0])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def parts(rows: Rows) -> dict[str, list[str]]:
    """Heading -> variants. Every part but the first has traqpoint in it."""
    groups = {name: VARIANTS[name].group for name in rows}
    ours = [OURS] if OURS in rows else []
    return {
        "Estimators and rewards": [n for n in rows if groups[n] in ("no reward", "estimator")],
        "Terms": [*ours, *(n for n in rows if groups[n] == "term")],
        "Sequences and pairs": [*ours, *(n for n in rows if groups[n] == "sequence")],
    }


def report(rows: list[dict]) -> str:
    """All parts that have rows of their own."""
    found = by_variant(rows)
    return "\n\n".join(f"{part}\n\n{table(found, n)}" for part, n in parts(found).items() if n and n != [OURS])


def _spread(values: list[float], decimals: int) -> str:
    if not values:
        return ""
    deviation = f" ± {np.std(values, ddof=1):.{decimals}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{decimals}f}{deviation}"


def main(rows: tyro.conf.Positional[Path]) -> None:
    """rows: the JSON file."""
    print(report(json.loads(rows.read_text())["rows"]))


if __name__ == "__main__":
    tyro.cli(main)
