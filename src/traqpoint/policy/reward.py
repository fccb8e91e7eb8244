"""The track-aware reward: one point, judged in every frame of the sequence that sees it (METHOD §4).

Sees WarpedPoints and maps only, never a depth or a pose.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from traqpoint.geometry.pixels import pixel_grid
from traqpoint.geometry.sampling import sample, sample_descriptors
from traqpoint.policy.config import PolicyConfig
from traqpoint.policy.distinctiveness import distance_ratio, distinctiveness_reward
from traqpoint.policy.rank import rank_reward
from traqpoint.policy.redetection import redetection_map
from traqpoint.types import Geometry, WarpedPoints


class FrameMaps(NamedTuple):
    """What the reward reads of one frame of B sequences.

    policy: (B, H, W) restricted logits. redetection: (B, H, W), or None with the rank reward.
    descriptors: (B, D, h, w).
    """

    policy: Tensor
    redetection: Tensor | None
    descriptors: Tensor


def frame_maps(policy: Tensor, descriptors: Tensor, config: PolicyConfig) -> FrameMaps:
    """Prepare one frame to be a target."""
    if config.consistency == "rank":
        return FrameMaps(policy.detach(), None, descriptors)
    with torch.set_grad_enabled(config.target_gradient and torch.is_grad_enabled()):
        redetection = redetection_map(policy, config.window_px, config.localization_px)
    return FrameMaps(policy, redetection, descriptors)


class TrackReward(NamedTuple):
    """reward: (B, N), mean over the frames that see the point, 0 where none does. seen: (B, N) number of them."""

    reward: Tensor
    seen: Tensor


def consistency(target: FrameMaps, xy: Tensor, config: PolicyConfig) -> Tensor:
    """(B, N): is a point picked again at its projections xy (B, N, 2)?"""
    if target.redetection is None:
        return rank_reward(target.policy, xy, config.rank_window_px, config.rank_floor)
    height, width = target.redetection.shape[-2:]
    return sample(target.redetection.unsqueeze(1), xy, (width, height)).squeeze(-1)


@torch.no_grad()
def distinctiveness(
    reference: FrameMaps, target: FrameMaps, xy: Tensor, warped: WarpedPoints, config: PolicyConfig
) -> Tensor:
    """(B, N): is the descriptor of points xy (B, N, 2) matched uniquely in the target, against its whole image?"""
    height, width = reference.policy.shape[-2:]
    size = (width, height)
    negatives = pixel_grid(height, width, config.candidate_stride, device=xy.device).expand(xy.shape[0], -1, -1)
    ratio = distance_ratio(
        sample_descriptors(reference.descriptors, xy, size),
        sample_descriptors(target.descriptors, warped.xy, size).nan_to_num(0),
        sample_descriptors(target.descriptors, negatives, size),
        warped.xy.nan_to_num(-1e6),
        negatives,
        config.negative_radius_px,
    )
    return distinctiveness_reward(ratio, config.ratio_ceiling)


def combine(consistency: Tensor, distinctiveness: Tensor, config: PolicyConfig) -> Tensor:
    """R_i^t of the two terms."""
    if config.combination == "mean":
        return (consistency + distinctiveness) / 2
    return consistency * (0.2 + 0.8 * distinctiveness)


def _mean_over_frames(terms: Iterable[tuple[Tensor, Tensor]]) -> TrackReward:
    rewards, visible = zip(*terms, strict=True)
    seen = torch.stack(visible).sum(0)
    # Where, not times: a NaN of an invisible point must not reach the sum, nor its gradient.
    total = sum(torch.where(v, r, torch.zeros_like(r)) for r, v in zip(rewards, visible, strict=True))
    return TrackReward(total / seen.clamp(min=1), seen)


def point_rewards(
    frames: list[FrameMaps], geometry: Geometry, reference: int, xy: Tensor, config: PolicyConfig
) -> TrackReward:
    """Track reward of points xy (B, N, 2) of frame `reference`, over all other frames."""

    def term(target: int) -> tuple[Tensor, Tensor]:
        warped = geometry.warp(reference, target, xy)
        found = consistency(frames[target], warped.xy, config)
        unique = distinctiveness(frames[reference], frames[target], xy, warped, config)
        return combine(found, unique, config), warped.visible

    return _mean_over_frames(term(target) for target in range(len(frames)) if target != reference)


def reward_map(frames: list[FrameMaps], geometry: Geometry, reference: int, config: PolicyConfig) -> TrackReward:
    """Track reward of *every* pixel of frame `reference`: reward, seen (B, H, W).

    Consistency is read at each pixel. Distinctiveness varies slowly: it is computed at every candidate_stride-th pixel
    and interpolated.
    """
    B, H, W = frames[reference].policy.shape
    device = frames[reference].policy.device
    pixels = pixel_grid(H, W, device=device).expand(B, -1, -1)
    candidates = pixel_grid(H, W, config.candidate_stride, device=device).expand(B, -1, -1)
    coarse = (-(-H // config.candidate_stride), -(-W // config.candidate_stride))

    def term(target: int) -> tuple[Tensor, Tensor]:
        warped = geometry.warp(reference, target, pixels)
        found = consistency(frames[target], warped.xy, config)
        sparse = geometry.warp(reference, target, candidates)
        unique = distinctiveness(frames[reference], frames[target], candidates, sparse, config)
        dense = F.interpolate(unique.reshape(B, 1, *coarse), scale_factor=config.candidate_stride, mode="bilinear")
        found = found.reshape(B, H, W)
        return combine(found, dense[:, 0, :H, :W], config), warped.visible.reshape(B, H, W)

    return _mean_over_frames(term(target) for target in range(len(frames)) if target != reference)
