"""Time and memory of a collection without its photographs: what each step takes at several numbers of images.

    python benchmarks/collection.py --out runs/collection [--sizes 1000 3000 10000]

The images are those of a flight to and fro over a country with relief: each shows the landmarks of nine cells, with
noise of half a pixel and descriptors that agree by 0.8, so images overlap as those of a survey do. Everything but the
network and COLMAP's mapper runs as it is: features are stored, pairs chosen by retrieval, matched, verified; the points
are triangulated with the true poses in the mapper's place, whose own time grows faster than linearly. Each step is a
process of its own; three of them are killed (SIGKILL) at their half and started again, and what the second one found
done is told. Seconds per image that stay say that no step is quadratic; peaks that stay, that memory is flat.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from traqpoint.apps.report import Account, write_report
from traqpoint.files import write_json
from traqpoint.geometry.camera import Camera
from traqpoint.image import write_image
from traqpoint.inference.config import PairsConfig
from traqpoint.inference.merge import merge
from traqpoint.inference.pairs import Collection, read_pairs, select_pairs
from traqpoint.inference.pipeline import extract_folder, match_pairs
from traqpoint.io.colmap_model import read_model
from traqpoint.io.stores import open_features, open_matches
from traqpoint.progress import Progress
from traqpoint.sfm.config import MATCHER, MappingConfig
from traqpoint.sfm.diagnosis import diagnose
from traqpoint.sfm.products import write_points
from traqpoint.sfm.triangulation import triangulate
from traqpoint.sfm.verification import build_database
from traqpoint.types import Features

SIDE, FOCAL, HEIGHT, RELIEF = 600, 400.0, 2.0, 0.4
LANDMARKS, DIMENSION, NEIGHBOURS = 12, 64, 5
CAMERA = Camera("SIMPLE_PINHOLE", (SIDE, SIDE), torch.tensor([FOCAL, SIDE / 2, SIDE / 2], dtype=torch.float64))
MAPPING = MappingConfig(num_threads=1)


@dataclass(frozen=True)
class Flight:
    """A FeatureSource: what a camera that looks straight down sees from each of so many places, a cell apart."""

    images: int

    @property
    def config(self) -> Flight:
        return self

    def names(self) -> list[str]:
        return [f"{number:06}.png" for number in range(self.images)]

    def cell(self, name: str) -> tuple[int, int]:
        row, column = divmod(int(name.removesuffix(".png")), math.ceil(math.sqrt(self.images)))
        return row, column if row % 2 == 0 else math.ceil(math.sqrt(self.images)) - 1 - column

    def pose(self, name: str) -> torch.Tensor:
        """(4, 4) cam_from_world: x along columns, y along rows, z down from the camera."""
        row, column = self.cell(name)
        pose = torch.eye(4, dtype=torch.float64)
        pose[:3, 3] = torch.tensor([-column, -row, HEIGHT])
        return pose

    def features(self, name: str, image: object = None) -> Features:
        row, column = self.cell(name)
        rng = np.random.default_rng((1, row, column))
        cells = [_landmarks(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        xyz, vectors = map(np.concatenate, zip(*cells, strict=True))
        seen = CAMERA.project(torch.from_numpy(xyz - (column, row, -HEIGHT))).numpy()
        xy = (seen + rng.normal(0, 0.5, seen.shape)).astype(np.float32)
        vectors = vectors + rng.normal(0, 0.06, vectors.shape)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        inside = ((xy > 0) & (xy < SIDE)).all(axis=1)
        found = (torch.from_numpy(array[inside].astype(np.float32)) for array in (xy, np.ones(len(xy)), vectors))
        return Features(*found, (SIDE, SIDE))


def _landmarks(row: int, column: int) -> tuple[np.ndarray, np.ndarray]:
    """Places (N, 3) and descriptors (N, D) of a cell's; the same whoever looks at it."""
    rng = np.random.default_rng((2, row + 1, column + 1))
    places = rng.uniform((column - 0.5, row - 0.5, -RELIEF), (column + 0.5, row + 0.5, 0), (LANDMARKS, 3))
    vectors = rng.normal(size=(LANDMARKS, DIMENSION))
    return places, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@dataclass(frozen=True)
class Run:
    """The steps, in a folder. Each returns the share of its work that it found done."""

    flight: Flight
    folder: Path
    progress: Progress | None

    @property
    def photos(self) -> dict[str, Path]:
        """One picture is enough: nobody looks at it."""
        if not (picture := self.folder / "photo.png").is_file():
            write_image(picture, np.zeros((8, 8, 3), dtype=np.uint8))
        return dict.fromkeys(self.flight.names(), picture)

    @property
    def features(self) -> Path:
        return self.folder / "features.h5"

    @property
    def matches(self) -> Path:
        return self.folder / "matches.h5"

    def nothing(self) -> float:
        return 0.0

    def store(self) -> float:
        outcome = extract_folder(self.photos, self.features, self.flight, progress=self.progress)
        return len(outcome.skipped) / self.flight.images

    def choose(self) -> float:
        with closing(open_features(self.features)) as store:
            names = store.names()
            pairs = select_pairs(Collection(names, store), PairsConfig("retrieval", neighbours=NEIGHBOURS))
        (self.folder / "pairs.txt").write_text("".join(f"{a} {b}\n" for a, b in pairs))
        apart = [np.abs(np.subtract(*map(self.flight.cell, pair))).max() for pair in pairs]
        assert np.mean(np.array(apart) <= 2) > 0.9, "retrieval finds images that overlap"
        return 0.0

    def match(self) -> float:
        pairs = read_pairs(self.folder / "pairs.txt")
        outcome = match_pairs(self.features, pairs, self.matches, MATCHER, "cpu", progress=self.progress)
        return len(outcome.skipped) / len(pairs)

    def verify(self) -> float:
        found: list[float] = []

        def progress(done: int, total: int | None) -> None:
            found.append(done / (total or 1))
            if self.progress is not None:
                self.progress(done, total)

        pairs = read_pairs(self.folder / "pairs.txt")
        cameras = dict.fromkeys(self.flight.names(), CAMERA)
        with closing(open_features(self.features)) as features, closing(open_matches(self.matches)) as matches:
            build_database(
                self.photos, features, matches, pairs, self.folder / "database.db", MAPPING, cameras, None, progress
            )
        return found[0]

    def merge(self) -> float:
        merged = merge([self.features, self.matches], self.folder / "merged.db", images=self.photos)
        assert merged.images == self.flight.images and not merged.conflicts
        return 0.0

    def triangulate(self) -> float:
        poses = {name: self.flight.pose(name) for name in self.flight.names()}
        model = triangulate(self.folder / "database.db", poses, self.folder, MAPPING)
        errors = model.errors.numpy()
        assert len(model.xyz) > self.flight.images and np.median(errors) < 1, "the matches are right"
        return 0.0

    def report(self) -> float:
        write_points(self.folder / "sparse", self.folder / "points.ply")
        model, photos = read_model(self.folder / "sparse"), self.photos
        diagnosis = diagnose(list(photos), self.folder / "database.db", [model])
        account = Account("flight", photos, {}, {})
        write_report(self.folder, account, "", None, self.folder / "sparse", diagnosis)
        return 0.0


STEPS: dict[str, Callable[[Run], float]] = {
    step.__name__: step
    for step in (Run.nothing, Run.store, Run.choose, Run.match, Run.verify, Run.merge, Run.triangulate, Run.report)
}
KILLED = ("store", "match", "verify")


def kill_at_half(done: int, total: int | None) -> None:
    if total and done >= total // 2:
        os.kill(os.getpid(), signal.SIGKILL)


def in_a_process(step: str, images: int, folder: Path, kill: bool = False) -> tuple[float, float]:
    """CPU seconds and peak MB of a step. Raises RuntimeError if it fails, or is not killed."""
    command = [sys.executable, __file__, "--out", str(folder), "--sizes", str(images), "--step", step]
    process = subprocess.Popen([*command, *(["--kill"] if kill else [])])
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != (-signal.SIGKILL if kill else 0):
        raise RuntimeError(f"{step} of {images} images ended with {os.waitstatus_to_exitcode(status)}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def measure(images: int, folder: Path) -> dict[str, dict[str, float]]:
    """seconds, peak (MB) and found (share that was done already, after the kill) by step."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    out = {}
    for step in STEPS:
        runs = [in_a_process(step, images, folder, kill=True)] if step in KILLED else []
        runs.append(in_a_process(step, images, folder))
        seconds, peaks = zip(*runs, strict=True)
        found = json.loads((folder / f"{step}.json").read_text())
        out[step] = {"seconds": sum(seconds), "peak": max(peaks), "found": found}
        print(images, step, out[step], file=sys.stderr, flush=True)
    shutil.rmtree(folder)
    return out


def print_table(results: dict[int, dict[str, dict[str, float]]]) -> None:
    print("| step | " + " | ".join(f"{images}: CPU s | ms per image | peak MB" for images in results) + " |")
    print("|---|" + "---:|" * 3 * len(results))
    for step in STEPS:
        cells = [
            f"{found['seconds']:.0f} | {1000 * found['seconds'] / images:.1f} | {found['peak']:.0f}"
            for images, found in ((images, result[step]) for images, result in results.items())
        ]
        print(f"| {step} | {' | '.join(cells)} |")
    last = results[max(results)]
    kept = ", ".join(f"{last[step]['found']:.0%} ({step})" for step in KILLED)
    print(f"\nfound done after the kill: {kept}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 3000, 10000])
    parser.add_argument("--step", choices=list(STEPS), help="this one alone, in this process, of the first size")
    parser.add_argument("--kill", action="store_true", help="--step: at its half")
    options = parser.parse_args()
    if options.step is not None:
        torch.set_num_threads(1)
        run = Run(Flight(options.sizes[0]), options.out, kill_at_half if options.kill else None)
        write_json(options.out / f"{options.step}.json", STEPS[options.step](run))
        return
    results = {}
    for images in options.sizes:
        known = options.out / f"{images}.json"
        if not known.is_file():
            write_json(known, measure(images, options.out / "work"))
        results[images] = json.loads(known.read_text())
    print_table(results)


if __name__ == "__main__":
    main()
