"""``traqpoint eval homography``"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from traqpoint.cli.evaluate import EvalOptions
from traqpoint.errors import ConfigError

if TYPE_CHECKING:
    from traqpoint.evaluation.homography import HomographyConfig
    from traqpoint.evaluation.method import Method
    from traqpoint.evaluation.result import Result
    from traqpoint.inference.pipeline import Progress


@dataclass(frozen=True, kw_only=True)
class Homography(EvalOptions):
    """Planes in the layout of HPatches: repeatability, matching accuracy and corner-error AUC at 1/3/5 px."""

    folder: tyro.conf.Positional[Path]
    """Sequences with 1.ppm … 6.ppm and H_1_2 … H_1_6, or one of them."""
    estimators: tuple[Literal["opencv-ransac", "opencv-magsac", "poselib"], ...] = ("opencv-ransac",)
    """Of the homography; each has a folder and a table of its own."""
    threshold_px: float | None = None
    """Inlier threshold of the estimator; by default 3."""
    judged_long_side: int | None = None
    """Pixels are those of images shrunk to this size (SuperGlue: 640); without it, of the images as they are."""
    repeatable_px: float = 3.0
    """A keypoint is repeated if the other image has one within this distance."""
    skip_large: bool = False
    """Leave out the eight sequences that D2-Net's protocol leaves out."""

    def run(self) -> int:
        from traqpoint.data.hpatches import read_hpatches
        from traqpoint.evaluation.homography import HomographyConfig, evaluate_homography
        from traqpoint.evaluation.method import label
        from traqpoint.evaluation.predict import predict
        from traqpoint.evaluation.robust import RobustConfig

        dataset = read_hpatches(self.folder, self.skip_large)
        if not self.estimators:
            raise ConfigError("at least one estimator is needed")
        for estimator in self.estimators:
            robust = RobustConfig(estimator, self.threshold_px)
            config = HomographyConfig(robust, self.repeatable_px, self.judged_long_side, self.seed)

            def judge(method: Method, out: Path, progress: Progress, config: HomographyConfig = config) -> Result:
                folder = self.out / "predictions" / label(method)
                found = predict(dataset.images, dataset.names, method, folder, self.matcher, self.missing, progress)
                return evaluate_homography(dataset, found, config)

            dataclasses.replace(self, out=self.out / estimator, estimators=(estimator,)).evaluate(judge)
        return 0
