"""A benchmark is an object: its options, what is predicted (pass 1), and what is scored (pass 2).

Without torch, so that the command line's help starts at once: whatever computes is imported where it is needed.
"""

from __future__ import annotations

import copy
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from traqpoint.errors import ConfigError
from traqpoint.matching.config import Estimator, MatcherConfig, RobustConfig

if TYPE_CHECKING:
    from typing_extensions import Self

    from traqpoint.evaluation.methods.method import Method
    from traqpoint.evaluation.predict import Predictions
    from traqpoint.evaluation.result import Result
    from traqpoint.inference.pairs import Pair
    from traqpoint.progress import Progress
    from traqpoint.types import Features


PLACE = {"place": True}
"""Metadata of fields that say where something lies: the numbers do not depend on them."""


@dataclass(frozen=True, kw_only=True)
class Benchmark(ABC):
    """Options of every benchmark. One of your own names its `kind` and defines `data`, `inputs` and `score`.

    `run_benchmark` judges many methods, with folders and a table; `judge` is one method in one call.
    """

    kind: ClassVar[str]
    """What a Result calls it. A class with a kind is a benchmark; one that inherits it, a verb, only adds options."""
    sweep: ClassVar[str | None] = None
    """Field whose values each have a result of their own from the same predictions: the benchmark's variants."""

    max_keypoints: int = 2048
    """Per image, the same for every method."""
    long_side: int | None = None
    """Shrink larger images to this many pixels, the same for every method."""
    matcher: MatcherConfig = field(default_factory=MatcherConfig)
    """How descriptors are matched, the same for every method."""
    missing: Literal["error", "skip"] = "error"
    """Images of the data set that are not there: stop, or count what needs them as failed."""
    seed: int = 0
    """Of everything random, estimators included."""

    def __post_init__(self) -> None:
        if self.sweep is not None and not self.variants():
            raise ConfigError(f"at least one {self.sweep.removesuffix('s')} is needed")

    @cached_property
    def data(self) -> Any:
        """What is judged on, read when it is first asked for. Raises ConfigError if it has to be given to `on`."""
        raise ConfigError(f"{type(self).__name__} names no data of its own: give them to on(data)")

    def on(self, data: Any) -> Self:
        """The same benchmark on data that are in memory already, in place of those that its paths name."""
        other = copy.copy(self)
        other.__dict__["data"] = data
        return other

    def variants(self) -> tuple[str, ...]:
        """Names of the results that each method gets; one without a name if there is nothing to vary."""
        return ("",) if self.sweep is None else tuple(getattr(self, self.sweep))

    def settings(self, variant: str) -> dict[str, Any]:
        """All that the numbers of a variant depend on besides the method."""
        benchmark = next(kind for kind in type(self).__mro__ if "kind" in vars(kind))
        fields = [item.name for item in dataclasses.fields(benchmark) if "place" not in item.metadata]
        own = {name: getattr(self, name) for name in fields} | {"matcher": self.matcher.described()}
        return own if self.sweep is None else {**own, self.sweep: [variant]}

    def inputs(self) -> tuple[Mapping[str, Path], Sequence[Pair]]:
        """Images (name -> file) and the pairs of them that are matched, which `predict` asks for."""
        return {}, ()

    def predict(self, method: Method, out: Path | None = None, progress: Progress | None = None) -> Predictions:
        """Pass 1: features and matches, in `out`, or in memory."""
        from traqpoint.evaluation.predict import predict

        images, pairs = self.inputs()
        return predict(images, pairs, method, out, self.matcher, self.missing, progress)

    @abstractmethod
    def score(
        self, found: Predictions, variant: str = "", out: Path | None = None, progress: Progress | None = None
    ) -> Result:
        """Pass 2: the result of one variant. out: folder for what else is worth keeping, if anything is kept."""

    def judge(
        self, method: Callable[..., Features], out: Path | None = None, progress: Progress | None = None
    ) -> Result:
        """Both passes for one method (see `as_method`), everything in `out` or in memory.

        Raises ConfigError if there are several variants.
        """
        from traqpoint.evaluation.methods.method import as_method

        if len(self.variants()) > 1:
            raise ConfigError(f"{', '.join(self.variants())} have a result each: use run_benchmark, or choose one")
        found = self.predict(as_method(method, self.max_keypoints, self.long_side), out, progress)
        return self.score(found, self.variants()[0], out, progress)

    def draw(self, results: Sequence[Result], folder: Path, title: str) -> None:  # noqa: B027  no pictures are fine
        """Pictures of one variant's results into `folder`. Raises MissingDependencyError without matplotlib."""


@dataclass(frozen=True, kw_only=True)
class EstimatorBenchmark(Benchmark):
    """Options of benchmarks whose numbers depend on a robust estimator."""

    sweep: ClassVar[str | None] = "estimators"

    estimators: tuple[Estimator, ...] = ("opencv-ransac",)
    """The numbers of different estimators cannot be compared: each has a folder and a table of its own."""
    threshold_px: float | None = None
    """Inlier threshold. By default 3 for homographies; for poses 0.5 (OpenCV's RANSAC), 1 (MAGSAC) and 2 (PoseLib)."""

    def robust(self, estimator: str) -> RobustConfig:
        """The estimator of that name, the first one by default."""
        chosen = next(name for name in self.estimators if estimator in ("", name))
        return RobustConfig(chosen, self.threshold_px)
