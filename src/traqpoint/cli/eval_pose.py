"""``traqpoint eval pose``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import tyro

from traqpoint.cli.evaluate import EstimatorOptions
from traqpoint.matching.config import MatcherConfig

if TYPE_CHECKING:
    from traqpoint.evaluation.predict import Predictions
    from traqpoint.evaluation.result import Result
    from traqpoint.matching.config import RobustConfig


@dataclass(frozen=True, kw_only=True)
class Pose(EstimatorOptions):
    """Relative pose: AUC@5/10/20 degrees of the larger of rotation and translation error, one table per estimator.

    --preset traqpoint is the published protocol for MegaDepth-1500: 4096 keypoints at 1600 px, dual softmax.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "traqpoint": {"max_keypoints": 4096, "long_side": 1600, "matcher": MatcherConfig(method="dual-softmax")},
    }

    truth: tyro.conf.Positional[Path]
    """A text list in SuperGlue's format (ScanNet, YFCC), or a folder: MegaDepth's scene_info files, LoFTR's index of
    ScanNet-1500, a COLMAP model, a scene of the Strecha benchmark."""
    images: Path | None = None
    """Folder that image names start from; needed but for Strecha's scenes."""
    shuffles: int = 3
    """Estimate from so many random orders of the matches; the numbers are means over them."""
    precision_px: float = 3.0
    """A match is precise within this distance to the true epipolar geometry."""
    max_pairs: int | None = None
    """Only so many pairs, drawn at random by --seed."""
    min_shared: int = 100
    """COLMAP models: fewest 3D points that both images of a pair see."""
    max_shared: int | None = None
    """COLMAP models: most 3D points that both images of a pair see."""
    max_angle: float = 45.0
    """Strecha's scenes: largest angle in degrees between the viewing directions of a pair."""

    def run(self) -> int:
        from traqpoint.data.testsets.pairs import sampled
        from traqpoint.data.testsets.read import read_pose_pairs
        from traqpoint.evaluation.benchmarks.pose import PoseConfig, evaluate_pose

        shared = (self.min_shared, self.max_shared)
        dataset = read_pose_pairs(self.truth, self.images, self.missing, self.out / "upright", shared, self.max_angle)
        if self.max_pairs is not None:
            dataset = sampled(dataset, self.max_pairs, self.seed)

        def score(found: Predictions, robust: RobustConfig) -> Result:
            return evaluate_pose(dataset, found, PoseConfig(robust, self.shuffles, self.precision_px, self.seed))

        return self.evaluate_each(dataset.images, dataset.names, score)
