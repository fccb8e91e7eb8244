"""Objectives: exact expectation, policy gradient, entropy, and the warm-up imitation: docs/method.md §5 to §6."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from traqpoint.policy.distribution import IMPOSSIBLE, entropy, log_probabilities, supported, to_cells
from traqpoint.policy.sampling import Samples


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean of x where mask; 0 if nowhere."""
    return torch.where(mask, x, torch.zeros_like(x)).sum() / mask.sum().clamp(min=1)


def expected_reward_cells(policy: Tensor, reward: Tensor, cell_px: int, shift: tuple[int, int] = (0, 0)) -> Tensor:
    """Mean over cells c of Σ_{x∈c} π_c(x) R(x): one keypoint per cell, its sampling noise integrated out.

    policy: (B, H, W) restricted logits. reward: (B, H, W). Cells without a possible pixel are not counted.
    """
    logits = to_cells(policy, cell_px, IMPOSSIBLE, shift)
    expected = (log_probabilities(logits).exp() * to_cells(reward, cell_px, 0.0, shift)).sum(-1)
    return masked_mean(expected, supported(logits))


def reward_scale(policy: Tensor, reward: Tensor, cell_px: int, shift: tuple[int, int] = (0, 0)) -> Tensor:
    """What the best tenth of an image's cells can earn: the 0.9 quantile over cells of max_{x∈c} R(x), (B, 1, 1).

    Relative to it a reward of 1 is a very good point of *this* image, however blunt the policy still is.
    """
    possible = supported(to_cells(policy.detach(), cell_px, IMPOSSIBLE, shift))
    best = to_cells(reward.detach(), cell_px, 0.0, shift).amax(-1)
    best = torch.where(possible, best, torch.full_like(best, torch.nan))
    return best.nanquantile(0.9, dim=1).nan_to_num(1.0).clamp(min=1e-6)[:, None, None]


def expected_reward_image(policy: Tensor, reward: Tensor) -> Tensor:
    """Mean over images of Σ_x π(x) R(x)."""
    logits = policy.flatten(1)
    expected = (log_probabilities(logits).exp() * reward.flatten(1)).sum(-1)
    return masked_mean(expected, supported(logits))


def image_entropy(policy: Tensor) -> Tensor:
    """Mean entropy of the image-wide policies, in nats."""
    logits = policy.flatten(1)
    return masked_mean(entropy(logits), supported(logits))


def tile_entropy(policy: Tensor, tile_px: int) -> Tensor:
    """Mean entropy inside square tiles, H(π) of the paper, in nats."""
    logits = to_cells(policy, tile_px, IMPOSSIBLE)
    return masked_mean(entropy(logits), supported(logits))


def policy_gradient_loss(samples: Samples, advantage: Tensor, reduction: str = "mean") -> Tensor:
    """−mean_b (1/N) Σ_i A_i log π(x_i): its gradient is REINFORCE's. advantage: (B, N), detached, 0 where uncounted.

    reduction "sum" leaves the 1/N out (released code).
    """
    log_prob = torch.where(samples.possible, samples.log_prob, torch.zeros_like(samples.log_prob))
    credited = advantage.detach() * log_prob
    return -(credited.mean() if reduction == "mean" else credited.sum(1).mean())


def warmup_loss(logits: Tensor, heatmap: Tensor) -> Tensor:
    """MSE between sigmoid(logits) and an expert's heat map, both (B, 1, H, W) (released code)."""
    return F.mse_loss(logits.float().sigmoid(), heatmap)


def effective_count(policy: Tensor) -> Tensor:
    """exp(entropy): over how many pixels an image's policy spreads, mean over images. A log value, no loss."""
    with torch.no_grad():
        return entropy(policy.detach().flatten(1)).exp().mean()
