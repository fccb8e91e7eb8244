"""What all ``traqpoint eval`` verbs share, and ``traqpoint eval compare``."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from traqpoint.cli.common import progress_bar
from traqpoint.errors import ConfigError, MissingDependencyError
from traqpoint.matching.config import MatcherConfig

if TYPE_CHECKING:
    from traqpoint.evaluation.methods.method import Method
    from traqpoint.evaluation.predict import Predictions
    from traqpoint.evaluation.result import Result
    from traqpoint.inference.pairs import Pair
    from traqpoint.matching.config import RobustConfig
    from traqpoint.progress import Progress

_NOT_SETTINGS = frozenset({"out", "methods", "peers", "max_keypoints", "long_side", "device"})
"""Options that the numbers do not depend on, or that each method's own description holds."""


@contextmanager
def picture() -> Iterator[None]:
    """Numbers do not fail for want of matplotlib: it is told in a warning."""
    try:
        yield
    except MissingDependencyError as error:
        warnings.warn(f"no plot: {error}", stacklevel=2)


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """Options of every benchmark."""

    out: Path
    """Folder for predictions, results and the table; what is finished there is not done again."""
    methods: tuple[str, ...] = ("traqpoint-s",)
    """Packaged weights, weight files, SIFT RootSIFT ORB AKAZE XFeat ALIKED-T16 ALIKED-N16 DISK, kornia:CLASS,
    features:PATH (computed elsewhere: npz folder or hloc .h5)."""
    peers: Path | None = None
    """Folder with the weights of other methods; without it kornia downloads them."""
    max_keypoints: int = 2048
    """Per image, the same for every method."""
    long_side: int | None = None
    """Shrink larger images to this many pixels, the same for every method."""
    matcher: MatcherConfig = dataclasses.field(default_factory=MatcherConfig)
    """How descriptors are matched, the same for every method."""
    missing: Literal["error", "skip"] = "error"
    """Images of the data set that are not there: stop, or count what needs them as failed."""
    seed: int = 0
    """Of random estimators."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""

    def evaluate(self, judge: Callable[[Method, Path, Progress], Result]) -> list[Result]:
        """Build the methods, judge each in its folder below `out`, print the table and draw ``out/plot.png``.

        judge: (method, folder, progress) -> Result, called for what is not finished with the same options.
        """
        from traqpoint.evaluation.methods.method import build_method, label
        from traqpoint.evaluation.result import markdown_table
        from traqpoint.evaluation.run import run_methods
        from traqpoint.viz.benchmarks import plot_benchmark

        if not self.methods:
            raise ConfigError("at least one method is needed")
        methods = [
            build_method(name, self.max_keypoints, self.long_side, self.peers, self.device) for name in self.methods
        ]

        def judge_with_bar(method: Method, folder: Path) -> Result:
            with progress_bar(label(method)) as progress:
                return judge(method, folder, progress)

        results = run_methods(methods, self.out, judge_with_bar, settings=self.settings())
        print(markdown_table(results))
        arrays, stats = {r.method: r.arrays for r in results}, {r.method: r.stats for r in results}
        with picture():
            plot_benchmark(results[0].benchmark, arrays, stats, self.out / "plot.png", self.out.name)
        return results

    def settings(self) -> dict[str, Any]:
        """What the numbers depend on besides the method."""
        return {key: value for key, value in dataclasses.asdict(self).items() if key not in _NOT_SETTINGS}


@dataclass(frozen=True, kw_only=True)
class EstimatorOptions(EvalOptions):
    """Options of benchmarks whose numbers depend on a robust estimator."""

    estimators: tuple[Literal["opencv-ransac", "opencv-magsac", "poselib"], ...] = ("opencv-ransac",)
    """The numbers of different estimators cannot be compared: each has a folder and a table of its own."""
    threshold_px: float | None = None
    """Inlier threshold. By default 3 for homographies; for poses 0.5 (OpenCV's RANSAC), 1 (MAGSAC) and 2 (PoseLib)."""

    def evaluate_each(
        self, images: Mapping[str, Path], pairs: Sequence[Pair], score: Callable[[Predictions, RobustConfig], Result]
    ) -> int:
        """Score the matches of `pairs` with each estimator; all start from the same predictions."""
        from traqpoint.evaluation.methods.method import label
        from traqpoint.evaluation.predict import predict
        from traqpoint.matching.config import RobustConfig

        if not self.estimators:
            raise ConfigError("at least one estimator is needed")
        for estimator in self.estimators:
            robust = RobustConfig(estimator, self.threshold_px)

            def judge(method: Method, out: Path, progress: Progress, robust: RobustConfig = robust) -> Result:
                folder = self.out / "predictions" / label(method)
                return score(predict(images, pairs, method, folder, self.matcher, self.missing, progress), robust)

            dataclasses.replace(self, out=self.out / estimator, estimators=(estimator,)).evaluate(judge)
        return 0


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
        print(compare([Result.load(path) for path in paths], self.mix, self.columns))
        return 0
