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
from traqpoint.policy.distinctiveness import distance_ratio, distinctiveness_reward, exclude_near
from traqpoint.policy.localization import maximum_map
from traqpoint.policy.rank import rank_at, rank_map
from traqpoint.policy.redetection import redetection_map
from traqpoint.policy.visibility import verdict
from traqpoint.types import Geometry, WarpedPoints

LEAST = 0.01
"""What a frame gives at least to a geometric mean, so that one lost frame does not hide all the others."""


class FrameMaps(NamedTuple):
    """What the reward reads of one frame of B sequences.

    policy: (B, H, W) restricted logits. consistency: (B, H, W), what a point earns that projects there; None where it
    is cheaper to find out at the few points that are asked for.
    descriptors: (B, D, h, w). grid: (B, M, D), unit descriptors at the candidates of `candidate_grid`.
    """

    policy: Tensor
    consistency: Tensor | None
    descriptors: Tensor
    grid: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return self.policy.shape[1], self.policy.shape[2]

    @property
    def image_size(self) -> tuple[int, int]:
        return self.policy.shape[2], self.policy.shape[1]


def candidate_grid(maps_shape: tuple[int, int], config: PolicyConfig, like: Tensor) -> Tensor:
    """(B, M, 2) pixels at which descriptors are compared, B that of `like`."""
    return pixel_grid(*maps_shape, config.candidate_stride, device=like.device).expand(like.shape[0], -1, -1)


def frame_maps(policy: Tensor, descriptors: Tensor, config: PolicyConfig) -> FrameMaps:
    """Prepare one frame: policy (B, H, W) restricted logits, descriptors (B, D, h, w)."""
    H, W = policy.shape[1:]
    consistency: Tensor | None = None
    with torch.set_grad_enabled(config.target_gradient and torch.is_grad_enabled()):
        if config.consistency == "redetection":
            consistency = redetection_map(policy, config.window_px, config.localization_px)
        elif config.consistency == "rank":
            if config.estimator == "exact" or config.rank_window == "cell":
                consistency = rank_map(policy, config.rank_window_px, config.rank_window, config.rank_floor)
        else:
            consistency = maximum_map(policy, config.localization_px)
    grid = sample_descriptors(descriptors, candidate_grid((H, W), config, policy), (W, H))
    return FrameMaps(policy, consistency, descriptors, grid)


class TrackReward(NamedTuple):
    """reward: (B, N), over the frames that count, 0 where none does. seen: (B, N) number of them."""

    reward: Tensor
    seen: Tensor


def consistency(target: FrameMaps, xy: Tensor, config: PolicyConfig) -> Tensor:
    """(B, N): is a point picked again at its projections xy (B, N, 2)? NaN where these are."""
    if target.consistency is None:
        return rank_at(target.policy, xy, config.rank_window_px, config.rank_floor)
    return sample(target.consistency.unsqueeze(1), xy, target.image_size).squeeze(-1)


@torch.no_grad()
def distinctiveness(reference: Tensor, target: FrameMaps, warped: WarpedPoints, config: PolicyConfig) -> Tensor:
    """(B, N): are points with descriptors `reference` (B, N, D) matched uniquely in the target, at their projections?

    0 where the descriptors are less similar than the gate of the config. Where a point has no place the value means
    nothing, and is finite.
    """
    found = sample_descriptors(target.descriptors, warped.xy, target.image_size).nan_to_num(0)
    if config.negatives == "samples":
        similarity = reference @ found.transpose(1, 2)
        absent = ~verdict(warped, target.shape, config).judged
        itself = torch.eye(found.shape[1], dtype=torch.bool, device=found.device)
        similarity.masked_fill_(itself | absent.unsqueeze(1), -torch.inf)
    else:
        similarity = reference @ target.grid.transpose(1, 2)
        exclude_near(similarity, warped.xy, config.candidate_stride, target.shape, config.negative_radius_px)
    return distinctiveness_reward(distance_ratio(reference, found, similarity), config.ratio_ceiling)


@torch.no_grad()
def gate(reference: Tensor, target: FrameMaps, warped: WarpedPoints, threshold: float) -> Tensor:
    """(B, N) bool: the descriptor at the projection is similar enough for anything to be earned (released code)."""
    found = sample_descriptors(target.descriptors, warped.xy, target.image_size)
    return (reference * found).sum(-1) > threshold


def combine(consistency: Tensor, distinctiveness: Tensor, config: PolicyConfig) -> Tensor:
    """R_i^t of the two terms."""
    if config.combination == "product":
        return consistency * (0.2 + 0.8 * distinctiveness)
    if config.combination == "mean":
        return (consistency + distinctiveness) / 2
    if config.combination == "sum":
        return consistency + distinctiveness
    return consistency if config.combination == "consistency" else distinctiveness


def _over_frames(terms: Iterable[tuple[Tensor, Tensor, Tensor]], config: PolicyConfig) -> TrackReward:
    """terms: reward, judged, counted of each target frame."""
    total, seen = None, None
    for reward, judged, counted in terms:
        # Where, not times: a NaN of an invisible point must not reach the sum, nor its gradient.
        earned = torch.where(judged, reward, torch.zeros_like(reward))
        if config.aggregation == "geometric":
            earned = torch.where(counted, torch.log(earned + LEAST), torch.zeros_like(earned))
        total = earned if total is None else total + earned
        seen = counted.long() if seen is None else seen + counted
    assert total is not None and seen is not None  # a sequence has two frames or more
    mean = total / seen.clamp(min=1)
    if config.aggregation == "geometric":
        mean = torch.where(seen > 0, torch.exp(mean) - LEAST, torch.zeros_like(mean))
    return TrackReward(mean, seen)


def point_rewards(
    frames: list[FrameMaps], geometry: Geometry, reference: int, xy: Tensor, config: PolicyConfig
) -> TrackReward:
    """Track reward of points xy (B, N, 2) of frame `reference`, over all other frames."""
    source = frames[reference]
    described = sample_descriptors(source.descriptors, xy, source.image_size)

    def term(target: FrameMaps, warped: WarpedPoints) -> tuple[Tensor, Tensor, Tensor]:
        judged, counted = verdict(warped, target.shape, config)
        found = consistency(target, warped.xy, config)
        reward = combine(found, distinctiveness(described, target, warped, config), config)
        if config.min_similarity is not None:
            reward = reward * gate(described, target, warped, config.min_similarity)
        return reward, judged, counted

    targets = (t for t in range(len(frames)) if t != reference)
    return _over_frames((term(frames[t], geometry.warp(reference, t, xy)) for t in targets), config)


def lattice_rewards(
    frames: list[FrameMaps],
    geometry: Geometry,
    reference: int,
    config: PolicyConfig,
    start: tuple[int, int] = (0, 0),
) -> TrackReward:
    """Track reward of every `pixel_stride`-th pixel of frame `reference` from pixel `start` = (row, column) on.

    Returns maps (B, h, w). Consistency is read at each pixel. Distinctiveness varies slowly: it is computed at the
    candidates' grid and interpolated.
    """
    source = frames[reference]
    H, W = source.shape
    device, B = source.policy.device, source.policy.shape[0]
    lattice = (slice(start[0], None, config.pixel_stride), slice(start[1], None, config.pixel_stride))
    pixels = pixel_grid(H, W, device=device).reshape(H, W, 2)[lattice]
    shape = pixels.shape[:2]
    pixels = pixels.reshape(1, -1, 2).expand(B, -1, -1)
    candidates = candidate_grid((H, W), config, source.policy)
    coarse = (-(-H // config.candidate_stride), -(-W // config.candidate_stride))

    def dense(values: Tensor) -> Tensor:
        full = F.interpolate(values.reshape(B, 1, *coarse), scale_factor=config.candidate_stride, mode="bilinear")
        return full[:, 0, :H, :W][(slice(None), *lattice)].reshape(B, -1)

    def term(t: int) -> tuple[Tensor, Tensor, Tensor]:
        target = frames[t]
        warped = geometry.warp(reference, t, pixels)
        judged, counted = verdict(warped, target.shape, config)
        found = consistency(target, warped.xy, config)
        sparse = geometry.warp(reference, t, candidates)
        unique = distinctiveness(source.grid, target, sparse, config)
        reward = combine(found, dense(unique), config)
        if config.min_similarity is not None:
            similar = gate(source.grid, target, sparse, config.min_similarity)
            reward = reward * (dense(similar.float()) > 0.5)
        return reward, judged, counted

    reward, seen = _over_frames((term(t) for t in range(len(frames)) if t != reference), config)
    return TrackReward(reward.reshape(B, *shape), seen.reshape(B, *shape))
