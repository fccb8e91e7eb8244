"""Layer 5: benchmarks, methods and metrics.

>>> from traqpoint.evaluation import PoseBenchmark, run_benchmark
>>> tables = run_benchmark(PoseBenchmark(truth="entry-P10"), ["traqpoint-s", "SIFT"])
>>> [(result.method, result.stats["auc_5"]) for result in tables["opencv-ransac"]]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from traqpoint.evaluation.benchmark import Benchmark as Benchmark
    from traqpoint.evaluation.benchmarks.homography import HomographyBenchmark as HomographyBenchmark
    from traqpoint.evaluation.benchmarks.localization import LocalizationBenchmark as LocalizationBenchmark
    from traqpoint.evaluation.benchmarks.odometry import OdometryBenchmark as OdometryBenchmark
    from traqpoint.evaluation.benchmarks.pose import PoseBenchmark as PoseBenchmark
    from traqpoint.evaluation.benchmarks.sfm import SfmBenchmark as SfmBenchmark
    from traqpoint.evaluation.benchmarks.tracks import TracksBenchmark as TracksBenchmark
    from traqpoint.evaluation.methods.method import METHODS as METHODS
    from traqpoint.evaluation.methods.method import build_method as build_method
    from traqpoint.evaluation.result import Result as Result
    from traqpoint.evaluation.result import markdown_table as markdown_table
    from traqpoint.evaluation.run import run_benchmark as run_benchmark

_HOME = {
    "Benchmark": "benchmark",
    "HomographyBenchmark": "benchmarks.homography",
    "LocalizationBenchmark": "benchmarks.localization",
    "OdometryBenchmark": "benchmarks.odometry",
    "PoseBenchmark": "benchmarks.pose",
    "SfmBenchmark": "benchmarks.sfm",
    "TracksBenchmark": "benchmarks.tracks",
    "METHODS": "methods.method",
    "build_method": "methods.method",
    "Result": "result",
    "markdown_table": "result",
    "run_benchmark": "run",
}


def __getattr__(name: str) -> Any:
    # Loaded on first use: the command line's help imports a benchmark's options and need not wait for torch.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
