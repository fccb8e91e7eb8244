"""Planes: how repeatable keypoints are, how exact matches, and how exact the plane's map that they give."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from traqpoint.errors import ConfigError
from traqpoint.evaluation.benchmark import EstimatorBenchmark

if TYPE_CHECKING:
    import numpy as np

    from traqpoint.data.testsets.hpatches import HomographyPairs
    from traqpoint.evaluation.predict import Predictions
    from traqpoint.evaluation.result import Result
    from traqpoint.inference.pairs import Pair
    from traqpoint.progress import Progress


@dataclass(frozen=True, kw_only=True)
class HomographyBenchmark(EstimatorBenchmark):
    """Planes in the layout of HPatches: repeatability, matching accuracy and corner-error AUC at 1/3/5 px."""

    kind: ClassVar[str] = "homography"

    folder: Path
    """Sequences with 1.ppm … 6.ppm and H_1_2 … H_1_6, or one of them."""
    judged_long_side: int | None = None
    """Pixels are those of images shrunk to this size (SuperGlue: 640); without it, of the images as they are."""
    repeatable_px: float = 3.0
    """A keypoint is repeated if the other image has one within this distance of where it is seen."""
    skip_large: bool = False
    """Leave out the eight sequences that D2-Net's protocol leaves out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.repeatable_px > 0:
            raise ConfigError(f"repeatable_px must be positive, got {self.repeatable_px}")
        if self.judged_long_side is not None and self.judged_long_side < 32:
            raise ConfigError(f"judged_long_side must be at least 32, got {self.judged_long_side}")

    @cached_property
    def data(self) -> HomographyPairs:
        from traqpoint.data.testsets.hpatches import read_hpatches

        return read_hpatches(self.folder, self.skip_large)

    def inputs(self) -> tuple[Mapping[str, Path], Sequence[Pair]]:
        return self.data.images, self.data.names

    def score(
        self, found: Predictions, variant: str = "", out: Path | None = None, progress: Progress | None = None
    ) -> Result:
        """stats: those of `plane_stats` over all pairs; if there are changes of viewpoint and of illumination, mma and
        auc of each as well, as viewpoint_mma_3.
        """
        import numpy as np

        from traqpoint.evaluation.metrics.homography import FAILED, plane_stats, score_plane
        from traqpoint.evaluation.result import Result
        from traqpoint.matching.verify import HOMOGRAPHY_USUAL

        robust, scores, unreadable = self.robust(variant), [], 0
        for pair in self.data.pairs:
            matched = found.pair(pair.name_a, pair.name_b)
            unreadable += matched is None
            if matched is None:
                scores.append(FAILED)
                continue
            options = (self.repeatable_px, self.judged_long_side, self.seed)
            scores.append(score_plane(pair, *matched, robust, *options))
        names = ("repeatability", "accuracy", "corner_px", "inliers", "matches")
        arrays = {name: np.array([getattr(score, name) for score in scores]) for name in names}
        for name in ("kind", "name_a", "name_b"):
            arrays[name] = np.array([getattr(pair, name) for pair in self.data.pairs])
        stats = plane_stats(arrays)
        if {"viewpoint", "illumination"} <= set(arrays["kind"]):
            for kind in ("viewpoint", "illumination"):
                some = plane_stats({name: values[arrays["kind"] == kind] for name, values in arrays.items()})
                stats |= {f"{kind}_{key}": value for key, value in some.items() if key.startswith(("mma", "auc"))}
        protocol = {
            "dataset": {"name": self.data.name, "pairs": len(self.data.pairs)},
            "estimator": dataclasses.asdict(robust.resolved(HOMOGRAPHY_USUAL)),
            "repeatable_px": self.repeatable_px,
            "judged_long_side": self.judged_long_side,
            "seed": self.seed,
            **found.protocol,
        }
        notes = (*_notes(arrays, unreadable), *found.failed)
        return Result(self.kind, found.method, stats, arrays, protocol, notes)

    def draw(self, results: Sequence[Result], folder: Path, title: str) -> None:
        from traqpoint.viz.plots import plot_cumulative_errors

        errors = {result.method: result.arrays["corner_px"] for result in results}
        plot_cumulative_errors(errors, folder / "plot.png", 10.0, "corner error in px", title)


def _notes(arrays: Mapping[str, np.ndarray], unreadable: int) -> list[str]:
    total = len(arrays["corner_px"])
    lost = int((arrays["corner_px"] == float("inf")).sum()) - unreadable
    blind = int((arrays["repeatability"] != arrays["repeatability"]).sum())  # NaN
    lines = (
        (unreadable, "pairs count as failed because an image could not be used"),
        (lost, "pairs gave no homography: an infinite corner error"),
        (blind, "pairs share no visible keypoint and have no repeatability"),
    )
    return [f"{count} of {total} {text}" for count, text in lines if count]
