"""``traqpoint eval …``: each benchmark's options, with where results go and which methods are judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from traqpoint.cli.common import progress_bar, table_for_stdout
from traqpoint.evaluation.benchmark import Benchmark
from traqpoint.evaluation.benchmarks.homography import HomographyBenchmark
from traqpoint.evaluation.benchmarks.localization import LocalizationBenchmark
from traqpoint.evaluation.benchmarks.odometry import OdometryBenchmark
from traqpoint.evaluation.benchmarks.pose import PoseBenchmark
from traqpoint.evaluation.benchmarks.sfm import SfmBenchmark
from traqpoint.evaluation.benchmarks.tracks import TracksBenchmark


@dataclass(frozen=True, kw_only=True)
class Evaluation(Benchmark):
    """What every verb adds to its benchmark."""

    out: Path
    """Folder for predictions, results and the table; what is finished there is not done again."""
    methods: tuple[str, ...] = ("traqpoint-s",)
    """Packaged weights, weight files, SIFT RootSIFT ORB AKAZE XFeat ALIKED-T16 ALIKED-N16 ALIKED-N16rot ALIKED-N32
    DISK EdgePoint2-T32 EdgePoint2-M64 EdgePoint2-E64, kornia:CLASS, features:PATH (computed elsewhere: npz folder or
    hloc .h5), or your own, module:build or file.py:build (docs/evaluation.md)."""
    peers: Path | None = None
    """Folder with the weights of other methods; without it kornia downloads them."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    backend: str = "torch"
    """Of our weights: torch, onnxruntime, openvino; see extract."""
    precision: Literal["float32", "bf16", "int8"] = "float32"
    """Of our weights, in that backend."""
    calibration_images: str = "worlds"
    """int8: a folder of images that the scales are taken from, or worlds, which are rendered."""
    rotations: int = 1
    """Of our weights: look at so many turned copies of an image; see extract."""
    scales: tuple[float, ...] = (1.0,)
    """Of our weights: look at copies of the image in these sizes; see extract."""

    def run(self) -> int:
        from traqpoint.evaluation.run import run_benchmark

        names = ("backend", "precision", "calibration_images", "rotations", "scales")
        ours = {name: getattr(self, name) for name in names}
        tables = run_benchmark(
            self, self.methods, self.out, peers=self.peers, device=self.device, bar=progress_bar, **ours
        )
        for results in tables.values():
            print(table_for_stdout(results))
        return 0


@dataclass(frozen=True, kw_only=True)
class Pose(PoseBenchmark, Evaluation):
    __doc__ = PoseBenchmark.__doc__
    truth: tyro.conf.Positional[Path]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.upright is None:
            object.__setattr__(self, "upright", self.out / "upright")


@dataclass(frozen=True, kw_only=True)
class Homography(HomographyBenchmark, Evaluation):
    __doc__ = HomographyBenchmark.__doc__
    folder: tyro.conf.Positional[Path]


@dataclass(frozen=True, kw_only=True)
class Tracks(TracksBenchmark, Evaluation):
    __doc__ = TracksBenchmark.__doc__


@dataclass(frozen=True, kw_only=True)
class Vo(OdometryBenchmark, Evaluation):
    __doc__ = OdometryBenchmark.__doc__


@dataclass(frozen=True, kw_only=True)
class Sfm(SfmBenchmark, Evaluation):
    __doc__ = SfmBenchmark.__doc__
    images: tyro.conf.Positional[Path]


@dataclass(frozen=True, kw_only=True)
class Localization(LocalizationBenchmark, Evaluation):
    __doc__ = LocalizationBenchmark.__doc__
    model: tyro.conf.Positional[Path]
    images: tyro.conf.Positional[Path]


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Print results of one benchmark side by side. Different protocols are refused, with the fields that differ."""

    results: tyro.conf.Positional[tuple[Path, ...]]
    """result.json files, or the folders that hold them."""
    mix: bool = False
    """Print results of different protocols all the same, with the differences below the table."""
    columns: tuple[str, ...] | None = None
    """Only these numbers."""

    def run(self) -> int:
        from traqpoint.evaluation.result import Result, compare

        paths = [path / "result.json" if path.is_dir() else path for path in self.results]
        print(compare([Result.load(path) for path in paths], self.mix, self.columns, table_for_stdout))
        return 0
