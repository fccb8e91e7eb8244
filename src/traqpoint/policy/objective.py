"""From logits to a loss whose gradient is that of the expected track reward: exactly, or by sampling
(docs/method.md §5)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from traqpoint.policy import loss as L
from traqpoint.policy.advantage import advantages
from traqpoint.policy.config import PolicyConfig
from traqpoint.policy.distribution import random_shift, restrict
from traqpoint.policy.frame import FrameMaps, Points, lattice
from traqpoint.policy.reward import track_reward
from traqpoint.policy.sampling import sample_hybrid, scored_by_image
from traqpoint.types import Geometry

Stats = dict[str, float]


def objective(
    logits: Tensor,
    descriptors: Tensor,
    geometry: Geometry,
    config: PolicyConfig,
    generator: torch.Generator,
    entropy: float = 1.0,
    moving: float = 0.0,
) -> tuple[Tensor, Stats]:
    """Loss of a batch of B sequences of T frames, and what to log.

    logits: (B, T, H, W) of the detector. descriptors: (B, T, D, h, w), frozen. entropy: factor on the weights of the
    entropies. moving: average reward of the steps before (baseline "moving"). Logged: reward, on-policy track reward;
    spread, over how many pixels the image-wide policy spreads.
    """
    frames = frame_maps(logits, descriptors, geometry, config)
    if config.estimator == "exact":
        return exact_objective(frames, geometry, config, generator, entropy)
    return sampled_objective(frames, geometry, config, generator, entropy, moving)


def frame_maps(logits: Tensor, descriptors: Tensor, geometry: Geometry, config: PolicyConfig) -> list[FrameMaps]:
    """The maps of all T frames from logits (B, T, H, W) and descriptors (B, T, D, h, w)."""
    scaled = config.sampling.inverse_temperature * logits
    return [FrameMaps(restrict(scaled[:, t], geometry.valid(t)), descriptors[:, t]) for t in range(logits.shape[1])]


def _references(frames: list[FrameMaps], config: PolicyConfig) -> range:
    return range(len(frames) if config.sampling.references == "all" else 1)


def exact_objective(
    frames: list[FrameMaps],
    geometry: Geometry,
    config: PolicyConfig,
    generator: torch.Generator,
    entropy: float = 1.0,
) -> tuple[Tensor, Stats]:
    """−Σ_x π(x) R(x), over cells and over the image: the draw is integrated out, no sampling noise is left.

    The expectation runs over a lattice of pixels, a new one in each step: the policy conditioned on it.
    """
    stride, image_weight = config.exact.pixel_stride, config.exact.image_weight
    image_entropy, tile_entropy = entropy * config.entropy.image, entropy * config.entropy.tile
    start = random_shift(stride, generator) if stride > 1 else (0, 0)
    cell = config.sampling.cell_px // stride
    shift = random_shift(cell, generator) if config.sampling.cell_shift else (0, 0)
    policies, rewards = [], []
    for t in _references(frames, config):
        points = lattice(frames[t], stride, start)
        result = track_reward(points, t, frames, geometry, config.reward)
        policies.append(restrict(points.cut(frames[t].policy), points.as_map(result.seen) > 0))
        rewards.append(points.as_map(result.reward))
    policy, reward = torch.cat(policies), torch.cat(rewards)
    with torch.no_grad():
        on_policy = L.expected_reward_cells(policy, reward, cell, shift)
    if config.exact.normalise:
        reward = reward / L.reward_scale(policy, reward, cell, shift)
    cells = L.expected_reward_cells(policy, reward, cell, shift)
    image = L.expected_reward_image(policy, reward)
    loss = -cells
    if image_weight > 0:
        loss = loss - image_weight * (image + image_entropy * L.image_entropy(policy))
    if tile_entropy > 0:
        loss = loss - tile_entropy * L.tile_entropy(policy, max(2, config.entropy.tile_px // stride))
    return loss, {
        "reward": float(on_policy),
        "reward_cells": float(cells.detach()),
        "reward_image": float(image.detach()),
        "spread": float(L.effective_count(policy)) * stride**2,
    }


def sampled_objective(
    frames: list[FrameMaps],
    geometry: Geometry,
    config: PolicyConfig,
    generator: torch.Generator,
    entropy: float = 1.0,
    moving: float = 0.0,
) -> tuple[Tensor, Stats]:
    """−(1/N) Σ_i A_i log π(x_i) over hybrid samples. moving: average reward of the steps before (baseline "moving")."""
    cell, how = config.sampling.cell_px, config.sampled
    image_entropy, tile_entropy = entropy * config.entropy.image, entropy * config.entropy.tile
    shift = random_shift(cell, generator) if config.sampling.cell_shift else (0, 0)
    drawn, rewards, counts = [], [], []
    policies = [frames[t].policy for t in _references(frames, config)]
    for t, policy in enumerate(policies):
        samples = sample_hybrid(policy, cell, how.global_samples, generator, shift, replacement=how.replacement)
        if how.log_prob == "image":
            samples = scored_by_image(samples, policy)
        with torch.no_grad():
            points = Points(frames[t], samples.xy(policy.shape[-1]))
            result = track_reward(points, t, frames, geometry, config.reward)
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
    advantage = advantages(reward, counted, how, samples.num_cells, moving, samples.possible)
    loss = L.policy_gradient_loss(samples, advantage, how.reduction)
    if image_entropy > 0:
        loss = loss - image_entropy * L.image_entropy(policy)
    if tile_entropy > 0:
        loss = loss - tile_entropy * L.tile_entropy(policy, config.entropy.tile_px)
    return loss, {"reward": float(L.masked_mean(reward, counted)), "spread": float(L.effective_count(policy))}
