"""Time and memory of a collection without its photographs: stored features, twice as many images at each step.

    python benchmarks/collection.py --out runs/collection --sizes 2500 5000 10000

Each size is a process of its own: features of a walk through random points are written, pairs chosen by retrieval and
matched, stopped after half of them and gone on with. Seconds per image that stay say that no step is quadratic; the
peak that stays says that memory is flat but for what is named in docs/collections.md.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import torch
from torch.nn.functional import normalize

from traqpoint.inference.config import PairsConfig
from traqpoint.inference.pairs import Collection, select_pairs
from traqpoint.inference.pipeline import match_pairs
from traqpoint.io.hloc import HlocFeatures
from traqpoint.io.stores import open_features
from traqpoint.types import Features

KEYPOINTS, DIMENSION, NEIGHBOURS = 128, 64, 5
COLUMNS = ("images", "pairs", "write s", "choose s", "match s", "resume s", "ms per image", "peak MB")


def walk(images: int) -> Iterator[tuple[str, Features]]:
    """Each image sees half of the points of the one before."""
    generator = torch.Generator().manual_seed(0)
    half = KEYPOINTS // 2
    before = normalize(torch.randn(half, DIMENSION, generator=generator), dim=1)
    for number in range(images):
        new = normalize(torch.randn(half, DIMENSION, generator=generator), dim=1)
        vectors = torch.cat([before, new])
        yield f"{number:06}.jpg", Features(torch.rand(KEYPOINTS, 2) * 99, torch.ones(KEYPOINTS), vectors, (100, 100))
        before = new


@contextmanager
def timed(seconds: list[float]) -> Iterator[None]:
    began = time.process_time()
    try:
        yield
    finally:
        seconds.append(time.process_time() - began)


def measure(images: int, out: Path) -> None:
    """Prints one row of the table. CPU seconds."""
    seconds: list[float] = []
    features = out / "features.h5"
    with timed(seconds), closing(HlocFeatures(features)) as store:
        for name, found in walk(images):
            store.write(name, found)
    with timed(seconds), closing(open_features(features)) as store:
        pairs = select_pairs(Collection(store.names(), store), PairsConfig("retrieval", neighbours=NEIGHBOURS))

    def stop(done: int, total: int | None) -> None:
        if done == len(pairs) // 2:
            raise KeyboardInterrupt

    with timed(seconds), suppress(KeyboardInterrupt):
        match_pairs(features, pairs, out / "matches.h5", device="cpu", progress=stop)
    with timed(seconds):
        outcome = match_pairs(features, pairs, out / "matches.h5", device="cpu")
    assert len(outcome.skipped) == len(pairs) // 2, "half of the pairs were done"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cells = [images, len(pairs), *(f"{s:.1f}" for s in seconds), f"{1000 * sum(seconds) / images:.1f}", f"{peak:.0f}"]
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2500, 5000, 10000])
    parser.add_argument("--one", action="store_true", help="in this process, without the table's head")
    options = parser.parse_args()
    if options.one:
        measure(options.sizes[0], options.out)
        return
    print(f"| {' | '.join(COLUMNS)} |\n|{'---:|' * len(COLUMNS)}", flush=True)
    for size in options.sizes:
        shutil.rmtree(options.out, ignore_errors=True)
        command = [sys.executable, __file__, "--out", str(options.out), "--sizes", str(size), "--one"]
        subprocess.run(command, check=True)
    shutil.rmtree(options.out, ignore_errors=True)


if __name__ == "__main__":
    main()
