"""Similarity, a gate: is the descriptor at the projection that of the point at all? (docs/method.md §4)"""

from __future__ import annotations

from torch import Tensor

from traqpoint.policy.frame import FrameMaps, Points
from traqpoint.policy.reward_config import SimilarityConfig
from traqpoint.policy.terms import Term
from traqpoint.types import WarpedPoints


class Similarity(SimilarityConfig, Term):
    """1 where the cosine of the two descriptors is above the threshold, else 0."""

    def __call__(self, source: Points, target: FrameMaps, warped: WarpedPoints, judged: Tensor) -> Tensor:
        return ((source.descriptors * target.described(warped.xy)).sum(-1) > self.threshold).float()
