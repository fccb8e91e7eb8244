"""From rewards to advantages: what is subtracted, and who is credited (docs/method.md §5).

A baseline that does not depend on a sample leaves the expected gradient as it is, so every mean here leaves the sample
itself out. That holds for independent draws: one per cell, or with replacement. Draws without replacement change what
is left for later ones; credit per point ignores that, credit per image does not. A point that no frame sees has no
advantage: credited per point, that is as if it had earned its baseline. tests/policy/test_unbiased.py enumerates all of
it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from traqpoint.policy.config import SampledConfig


def mean_of_others(reward: Tensor, counted: Tensor) -> Tensor:
    """For each entry the mean over the *other* counted entries of its row; 0 where there is no other.

    reward, counted: (B, N). Returns (B, N).
    """
    reward = torch.where(counted, reward, torch.zeros_like(reward))
    count = counted.sum(1, keepdim=True) - counted.long()
    return (reward.sum(1, keepdim=True) - reward) / count.clamp(min=1) * (count > 0)


def _point_baseline(reward: Tensor, counted: Tensor, num_cells: int, config: SampledConfig, moving: float) -> Tensor:
    if config.baseline == "leave_one_out":
        return mean_of_others(reward, counted)
    if config.baseline == "stratum":
        parts = [(reward[:, part], counted[:, part]) for part in (slice(num_cells), slice(num_cells, None))]
        return torch.cat([mean_of_others(*part) for part in parts], dim=1)
    if config.baseline == "batch":
        return mean_of_others(reward.reshape(1, -1), counted.reshape(1, -1)).reshape(reward.shape)
    return torch.full_like(reward, moving if config.baseline == "moving" else 0.0)


def advantages(
    reward: Tensor,
    counted: Tensor,
    config: SampledConfig,
    num_cells: int = 0,
    moving: float = 0.0,
    drawn: Tensor | None = None,
) -> Tensor:
    """Advantages (B, N) of rewards (B, N), of which only those `counted` (drawn, and seen by some frame) mean anything.

    Credit per point is exactly 0 elsewhere. Credit per image, the mean of the counted rewards, goes to every `drawn`
    sample (by default the counted ones): which points are seen is a consequence of all draws.
    num_cells: the first this many samples are one stratum, the rest another. moving: average reward of earlier steps.
    """
    if config.credit == "image":
        mean = torch.where(counted, reward, torch.zeros_like(reward)).sum(1) / counted.sum(1).clamp(min=1)
        scalar, has = mean[None], counted.any(1)[None]
        others = mean_of_others(scalar, has) if config.baseline == "batch" else torch.zeros_like(scalar)
        baseline = others + (moving if config.baseline == "moving" else 0.0)
        counted = counted if drawn is None else drawn
        advantage = (scalar - baseline)[0, :, None] * counted
    else:
        advantage = torch.where(
            counted, reward - _point_baseline(reward, counted, num_cells, config, moving), torch.zeros_like(reward)
        )
    if config.normalise:
        deviation = (advantage.square().sum() / counted.sum().clamp(min=1)).sqrt()
        advantage = advantage / deviation.clamp(min=1e-6)
    return advantage
