"""The two estimators of the gradient of the expected track reward: exact, and by sampling (METHOD §5)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from traqpoint.policy import loss as L
from traqpoint.policy.advantage import advantages
from traqpoint.policy.config import PolicyConfig
from traqpoint.policy.distribution import random_shift, restrict
from traqpoint.policy.reward import FrameMaps, lattice_rewards, point_rewards
from traqpoint.policy.sampling import sample_hybrid, scored_by_image
from traqpoint.types import Geometry

Stats = dict[str, float]


def _references(frames: list[FrameMaps], config: PolicyConfig) -> range:
    return range(len(frames) if config.references == "all" else 1)


def exact_objective(
    frames: list[FrameMaps], geometry: Geometry, config: PolicyConfig, generator: torch.Generator
) -> tuple[Tensor, Stats]:
    """−Σ_x π(x) R(x), over cells and over the image: the draw is integrated out, no sampling noise is left.

    The expectation runs over a lattice of pixels, a new one in each step: the policy conditioned on it.
    """
    stride = config.pixel_stride
    start = random_shift(stride, generator) if stride > 1 else (0, 0)
    cell = config.cell_px // stride
    shift = random_shift(cell, generator) if config.cell_shift else (0, 0)
    references = _references(frames, config)
    results = [lattice_rewards(frames, geometry, t, config, start) for t in references]
    on_lattice = [frames[t].policy[:, start[0] :: stride, start[1] :: stride] for t in references]
    policy = torch.cat([restrict(p, r.seen > 0) for p, r in zip(on_lattice, results, strict=True)])
    reward = torch.cat([r.reward for r in results])
    with torch.no_grad():
        on_policy = L.expected_reward_cells(policy, reward, cell, shift)
    if config.normalise == "best":
        reward = reward / L.reward_scale(policy, reward, cell, shift)
    cells = L.expected_reward_cells(policy, reward, cell, shift)
    image = L.expected_reward_image(policy, reward)
    loss = -cells
    if config.global_weight > 0:
        loss = loss - config.global_weight * (image + config.global_entropy * L.image_entropy(policy))
    if config.tile_entropy > 0:
        loss = loss - config.tile_entropy * L.tile_entropy(policy, max(2, config.tile_px // stride))
    return loss, {
        "reward": float(on_policy),
        "reward_cells": float(cells.detach()),
        "reward_image": float(image.detach()),
        "spread": float(L.effective_count(policy)) * stride**2,
    }


def sampled_objective(
    frames: list[FrameMaps], geometry: Geometry, config: PolicyConfig, generator: torch.Generator, moving: float = 0.0
) -> tuple[Tensor, Stats]:
    """−(1/N) Σ_i A_i log π(x_i) over hybrid samples. moving: average reward of the steps before (baseline "moving")."""
    shift = random_shift(config.cell_px, generator) if config.cell_shift else (0, 0)
    drawn, rewards, counts = [], [], []
    policies = [frames[t].policy for t in _references(frames, config)]
    for t, policy in enumerate(policies):
        samples = sample_hybrid(
            policy, config.cell_px, config.global_samples, generator, shift, replacement=config.replacement
        )
        if config.log_prob == "image":
            samples = scored_by_image(samples, policy)
        with torch.no_grad():
            result = point_rewards(frames, geometry, t, samples.xy(policy.shape[-1]), config)
        drawn.append(samples)
        rewards.append(result.reward)
        counts.append(samples.possible & (result.seen > 0))
    # References of one step are one batch: baselines and deviations run over all of them.
    samples = replace(
        drawn[0],
        index=torch.cat([s.index for s in drawn]),
        log_prob=torch.cat([s.log_prob for s in drawn]),
        possible=torch.cat([s.possible for s in drawn]),
    )
    reward, counted, policy = torch.cat(rewards), torch.cat(counts), torch.cat(policies)
    advantage = advantages(reward, counted, config, samples.num_cells, moving, samples.possible)
    loss = L.policy_gradient_loss(samples, advantage, config.reduction)
    if config.global_entropy > 0:
        loss = loss - config.global_entropy * L.image_entropy(policy)
    if config.tile_entropy > 0:
        loss = loss - config.tile_entropy * L.tile_entropy(policy, config.tile_px)
    return loss, {"reward": float(L.masked_mean(reward, counted)), "spread": float(L.effective_count(policy))}
