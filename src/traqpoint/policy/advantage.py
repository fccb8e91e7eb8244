"""From rewards to advantages: what is subtracted, and who is credited (METHOD §5)."""

from __future__ import annotations

import torch
from torch import Tensor

from traqpoint.policy.config import PolicyConfig


def leave_one_out(reward: Tensor, counted: Tensor) -> Tensor:
    """For each sample the mean reward of the image's *other* counted samples: independent of it, so it adds no bias.

    reward, counted: (B, N). Returns (B, N); 0 where there is no other.
    """
    reward = torch.where(counted, reward, torch.zeros_like(reward))
    count = counted.sum(1, keepdim=True) - counted.long()
    return (reward.sum(1, keepdim=True) - reward) / count.clamp(min=1) * (count > 0)


def advantages(reward: Tensor, counted: Tensor, config: PolicyConfig) -> Tensor:
    """Advantages (B, N) of rewards (B, N); exactly 0 where not `counted` (never visible, or nothing to draw)."""
    reward = torch.where(counted, reward, torch.zeros_like(reward))
    baseline = leave_one_out(reward, counted) if config.baseline == "leave_one_out" else torch.zeros_like(reward)
    if config.credit == "image":
        mean = reward.sum(1, keepdim=True) / counted.sum(1, keepdim=True).clamp(min=1)
        reward = mean.expand_as(reward)
    advantage = (reward - baseline) * counted
    if config.normalise:
        deviation = (advantage.square().sum() / counted.sum().clamp(min=1)).sqrt()
        advantage = advantage / deviation.clamp(min=1e-6)
    return advantage
