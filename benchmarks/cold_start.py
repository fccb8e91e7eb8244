"""How long `traqpoint extract` of one small image takes beyond `import torch`: whole processes, taken in turn.

python benchmarks/cold_start.py
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from traqpoint.data.worlds.textures import procedural_textures
from traqpoint.image import write_image


@dataclass(frozen=True)
class Options:
    """How often."""

    rounds: int = 8
    """Each command runs once in each."""
    side: int = 240
    """Of the image in pixels."""


def seconds(command: list[str]) -> tuple[float, float]:
    """Wall and processor time of one process."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(options: Options) -> None:
    with tempfile.TemporaryDirectory() as folder:
        image = procedural_textures(1, options.side, torch.Generator().manual_seed(0))[0]
        write_image(Path(folder, "image.png"), (image.permute(1, 2, 0) * 255).byte().numpy())
        verb = [sys.executable, "-m", "traqpoint.cli.main", "extract", f"{folder}/image.png", "--device", "cpu"]
        found: dict[str, list[tuple[float, float]]] = {"import torch": [], "traqpoint extract": []}
        for number in range(options.rounds):
            found["import torch"].append(seconds([sys.executable, "-c", "import torch"]))
            found["traqpoint extract"].append(seconds([*verb, "--out", f"{folder}/{number}"]))
    best = {name: [min(column) for column in zip(*times, strict=True)] for name, times in found.items()}
    print("| best of each | wall s | CPU s |\n|---|---|---|")
    for name, (wall, cpu) in best.items():
        print(f"| {name} | {wall:.2f} | {cpu:.2f} |")
    print("| more | " + " | ".join(f"{b - a:.2f}" for a, b in zip(*best.values(), strict=True)) + " |")


if __name__ == "__main__":
    main(tyro.cli(Options))
