"""A benchmark of your own: shots of a camera that never moves, a webcam's day. A right match stays where it is.

python examples/own_benchmark.py SHOTS --methods traqpoint-s SIFT ORB
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import tyro

import traqpoint as tp
from traqpoint.evaluation import Benchmark, Result, markdown_table
from traqpoint.image import list_images


@dataclass(frozen=True, kw_only=True)
class StillCamera(Benchmark):
    """Successive shots: how many matches there are, and the share that has not moved."""

    kind: ClassVar[str] = "still camera"

    folder: Path
    threshold_px: float = 3.0
    """A match is right within this distance."""

    def inputs(self) -> tuple[Mapping[str, Path], Sequence[tuple[str, str]]]:
        images = {path.name: path for path in list_images(self.folder)}
        return images, list(itertools.pairwise(images))

    def score(self, found, variant="", out=None, progress=None) -> Result:
        right, given = [], []
        for pair in (found.pair(*names) for names in self.inputs()[1]):
            if pair is None:  # an image cannot be read: found.failed says which
                continue
            a, b, matches = pair
            i, j = matches.indices.unbind(1)
            right.append(int(((a.keypoints[i] - b.keypoints[j]).norm(dim=1) < self.threshold_px).sum()))
            given.append(len(matches))
        stats = {"matches": float(np.mean(given)), "precision": sum(right) / max(1, sum(given))}
        protocol = {"dataset": {"name": self.folder.name, "pairs": len(given)}, "threshold_px": self.threshold_px}
        return Result(
            self.kind, found.method, stats, {"right": np.array(right)}, protocol | found.protocol, found.failed
        )


def main(folder: tyro.conf.Positional[Path], methods: tuple[str, ...] = ("traqpoint-s", "SIFT")) -> None:
    tables = tp.run_benchmark(StillCamera(folder=folder), methods)
    print(markdown_table(tables[""]))


if __name__ == "__main__":
    tyro.cli(main)
