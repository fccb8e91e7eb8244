"""The track-aware reward: one point, judged in every frame of the sequence that sees it (docs/method.md §4).

R(x) = mean over t ∈ V(x) of combine_k(term_k(x, t)), V(x) the target frames that count. Sees WarpedPoints and maps
only, never a depth or a pose.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor

from traqpoint.policy.build import build_term
from traqpoint.policy.combination import COMBINATIONS
from traqpoint.policy.frame import FrameMaps, Points
from traqpoint.policy.reward_config import RewardConfig
from traqpoint.policy.visibility import Verdict, verdict
from traqpoint.types import Geometry, WarpedPoints

LEAST = 0.01
"""What a frame gives at least to a geometric mean, so that one lost frame does not hide all the others."""


class TrackReward(NamedTuple):
    """reward: (B, N), over the frames that count, 0 where none does. seen: (B, N) number of them."""

    reward: Tensor
    seen: Tensor


def track_reward(
    points: Points, reference: int, frames: list[FrameMaps], geometry: Geometry, config: RewardConfig
) -> TrackReward:
    """Track reward of points of frame `reference`, over all other frames."""
    earned, counted = [], []
    for t, target in enumerate(frames):
        if t != reference:
            reward, view = frame_reward(points, target, partial(geometry.warp, reference, t), config)
            # Where, not times: a NaN of an invisible point must not reach the sum, nor its gradient.
            earned.append(torch.where(view.judged, reward, torch.zeros_like(reward)))
            counted.append(view.counted)
    return over_frames(earned, counted, config.aggregation)


def frame_reward(
    points: Points, target: FrameMaps, warp: Callable[[Tensor], WarpedPoints], config: RewardConfig
) -> tuple[Tensor, Verdict]:
    """What the points earn in one target frame, (B, N), and which of them it judges. warp: from their frame into it.

    Without a place (NaN), or not judged, a point's value means nothing.
    """

    @cache
    def seen(asked: Points) -> tuple[WarpedPoints, Verdict]:
        warped = warp(asked.xy)
        return warped, verdict(warped, target.shape, config)

    def value(name: str) -> Tensor:
        term = build_term(name, config)
        asked = points.coarse(term.stride)
        warped, view = seen(asked)
        with torch.set_grad_enabled(term.target_gradient and torch.is_grad_enabled()):
            return points.fine(term(asked, target, warped, view.judged), term.stride)

    names, weights = zip(*config.terms, strict=True)
    reward = COMBINATIONS[config.combination]([value(name) for name in names], weights)
    for gate in config.gates:
        reward = reward * (value(gate) > 0.5)
    return reward, seen(points)[1]


def over_frames(earned: list[Tensor], counted: list[Tensor], aggregation: str) -> TrackReward:
    """Mean, or geometric mean, of what was earned in the frames that count. earned, counted: (B, N) of each frame."""
    seen = torch.stack(counted).sum(0)
    if aggregation == "mean":
        return TrackReward(sum(earned) / seen.clamp(min=1), seen)
    logs = [torch.where(c, torch.log(e + LEAST), torch.zeros_like(e)) for e, c in zip(earned, counted, strict=True)]
    mean = torch.exp(sum(logs) / seen.clamp(min=1)) - LEAST
    return TrackReward(torch.where(seen > 0, mean, torch.zeros_like(mean)), seen)
