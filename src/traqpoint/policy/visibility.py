"""Which target frames judge a point (docs/method.md §3)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from traqpoint.geometry.pixels import inside
from traqpoint.policy.reward_config import RewardConfig
from traqpoint.types import PointState, WarpedPoints


class Verdict(NamedTuple):
    """judged: (B, N) bool, the point earns its reward here. counted: (B, N) bool, the frame is in its mean: a frame
    that is counted and does not judge gives 0."""

    judged: Tensor
    counted: Tensor


def verdict(warped: WarpedPoints, shape: tuple[int, int], config: RewardConfig) -> Verdict:
    """What the config makes of the states of projected points; shape: (H, W) of the target frame.

    VISIBLE points are always judged, OUTSIDE and BEHIND never. A point without a place (NaN) cannot be judged.
    """
    H, W = shape
    judged = warped.state == PointState.VISIBLE
    counted = judged
    for state, rule in ((PointState.OCCLUDED, config.occluded), (PointState.UNKNOWN, config.unknown)):
        if rule != "ignored":
            here = (warped.state == state) & inside(warped.xy, W, H)
            counted = counted | here
            judged = judged | here if rule == "judged" else judged
    return Verdict(judged, counted)
