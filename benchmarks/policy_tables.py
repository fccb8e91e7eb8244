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


def paired(rows: Rows, name: str, other: str) -> list[float]:
    """Completeness of `name` minus that of `other` on each seed that both have."""
    seeds = sorted(rows[name].keys() & rows[other].keys())
    return [rows[name][seed]["completeness"] - rows[other][seed]["completeness"] for seed in seeds]


def table(rows: Rows, names: list[str]) -> str:
    """One line per variant: mean ± standard deviation over seeds, its completeness minus that of the variant that it is
    compared with on each seed, and the CPU seconds of training."""
    columns = {h: c for h, c in COLUMNS.items() if any(c[0] in row for n in names for row in rows[n].values())}
    head = ["variant", "what", "seeds", *columns, "completeness against", "CPU s"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name in names:
        of = list(rows[name].values())
        cells = [f"**{name}**" if name == OURS else name, VARIANTS[name].what, str(len(of))]
        cells += [_spread([row[key] for row in of if key in row], decimals) for key, decimals in columns.values()]
        other = VARIANTS[name].against
        differences = ", ".join(f"{x:+.3f}" for x in paired(rows, name, other)) if other in rows else ""
        cells.append(f"{other}: {differences}" if differences and other != name else "")
        cells.append(_spread([row["train_cpu_s"] for row in of if "train_cpu_s" in row], 0).split(" ")[0])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def parts(rows: Rows) -> dict[str, list[str]]:
    """Heading -> variants, and those that they are compared with."""
    found = {}
    headings = {"Estimators and rewards": ("no reward", "estimator"), "Terms": ("term",), "Sequences": ("sequence",)}
    for heading, groups in headings.items():
        own = [name for name in rows if VARIANTS[name].group in groups]
        compared = {VARIANTS[name].against for name in own}
        found[heading] = [name for name in rows if name in own or name in compared]
    return found


def report(rows: list[dict]) -> str:
    """All parts that have rows of their own."""
    found = by_variant(rows)
    return "\n\n".join(f"{part}\n\n{table(found, names)}" for part, names in parts(found).items() if names)


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
