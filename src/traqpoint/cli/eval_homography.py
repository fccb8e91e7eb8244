"""``traqpoint eval homography``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from traqpoint.cli.evaluate import EstimatorOptions

if TYPE_CHECKING:
    from traqpoint.evaluation.predict import Predictions
    from traqpoint.evaluation.result import Result
    from traqpoint.matching.config import RobustConfig


@dataclass(frozen=True, kw_only=True)
class Homography(EstimatorOptions):
    """Planes in the layout of HPatches: repeatability, matching accuracy and corner-error AUC at 1/3/5 px."""

    folder: tyro.conf.Positional[Path]
    """Sequences with 1.ppm … 6.ppm and H_1_2 … H_1_6, or one of them."""
    judged_long_side: int | None = None
    """Pixels are those of images shrunk to this size (SuperGlue: 640); without it, of the images as they are."""
    repeatable_px: float = 3.0
    """A keypoint is repeated if the other image has one within this distance."""
    skip_large: bool = False
    """Leave out the eight sequences that D2-Net's protocol leaves out."""

    def run(self) -> int:
        from traqpoint.data.testsets.hpatches import read_hpatches
        from traqpoint.evaluation.benchmarks.homography import HomographyConfig, evaluate_homography

        dataset = read_hpatches(self.folder, self.skip_large)

        def score(found: Predictions, robust: RobustConfig) -> Result:
            config = HomographyConfig(robust, self.repeatable_px, self.judged_long_side, self.seed)
            return evaluate_homography(dataset, found, config)

        return self.evaluate_each(dataset.images, dataset.names, score)
