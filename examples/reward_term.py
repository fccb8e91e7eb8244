"""A reward term of your own, with nothing of the package edited: how far a place stands out of the target's logits.

traqpoint train policy --policy.reward.terms redetection 1 examples/reward_term.py:Prominence 0.5 \
    --policy.reward.options Prominence.radius_px 6 --descriptor traqpoint-s --data.mixture worlds 1 --out runs/mine

How terms become one reward is a function: --policy.reward.combination examples/reward_term.py:worst
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from traqpoint.policy.frame import FrameMaps
from traqpoint.policy.terms import MapTerm


@dataclass(frozen=True)
class Prominence(MapTerm):
    """Sigmoid of the logit at the projection, less the mean logit of the window around it."""

    radius_px: int = 4
    """Half a side of the window."""

    def prepare(self, frame: FrameMaps) -> torch.Tensor:
        logits = frame.policy.clamp(min=-100)  # what can never be chosen has a logit of -1e9
        side = 2 * self.radius_px + 1
        around = F.avg_pool2d(logits.unsqueeze(1), side, 1, self.radius_px, count_include_pad=False).squeeze(1)
        return torch.sigmoid(logits - around)


def worst(values: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """The lowest of the terms, each (B, N), whatever they weigh: a chain is as strong as its weakest link."""
    return torch.stack(list(values)).amin(0)
