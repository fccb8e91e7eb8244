"""Stage 2: one step of policy training on the frozen descriptor."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from traqpoint.data.expert import fast_heatmap
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.policy import loss as L
from traqpoint.policy.advantage import advantages
from traqpoint.policy.config import PolicyConfig
from traqpoint.policy.distribution import random_shift, restrict
from traqpoint.policy.reward import FrameMaps, frame_maps, point_rewards, reward_map
from traqpoint.policy.sampling import sample_hybrid
from traqpoint.types import Geometry, Sequence


class Weights(NamedTuple):
    """What the schedule decides for this step."""

    reward: float
    warmup: float


def schedule(step: int, config: PolicyConfig) -> Weights:
    """Imitation alone for half of the warm-up, then it fades out while the reward fades in (paper: 0.1 → 1)."""
    if step >= config.warmup_steps:
        return Weights(1.0, 0.0)
    fade = max(0.0, 2 * step / config.warmup_steps - 1)
    return Weights(fade, config.warmup_weight * (1 - fade))


def policy_step(
    batch: Sequence, model: TraqPoint, config: PolicyConfig, weights: Weights, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Loss of one batch, every frame of which is the reference once, and what to log.

    reward: on-policy track reward; spread: over how many pixels the image-wide policy spreads; warmup: imitation loss.
    """
    B, T, _, H, W = batch.images.shape
    images = batch.images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    logits = model.detector(images).float()
    total = logits.new_zeros(())
    stats: dict[str, float] = {}
    if weights.warmup > 0:
        imitation = L.warmup_loss(logits, fast_heatmap(images))
        total = total + weights.warmup * imitation
        stats["warmup"] = float(imitation.detach())
    if weights.reward > 0:
        with torch.no_grad():
            descriptors = model.descriptor(images).float().unflatten(0, (B, T))
        scaled = (config.inverse_temperature * logits).reshape(B, T, H, W)
        with torch.autocast(images.device.type, enabled=False):
            frames = [
                frame_maps(restrict(scaled[:, t], batch.geometry.valid(t)), descriptors[:, t], config) for t in range(T)
            ]
            objective = _exact_loss if config.estimator == "exact" else _sampled_loss
            loss, more = objective(frames, batch.geometry, config, generator)
        total = total + weights.reward * loss
        stats |= more
    return total, {"loss": float(total.detach()), **stats}


def _exact_loss(
    frames: list[FrameMaps], geometry: Geometry, config: PolicyConfig, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    shift = random_shift(config.cell_px, generator) if config.cell_shift else (0, 0)
    T = len(frames)
    references = [reward_map(frames, geometry, t, config) for t in range(T)]
    policies = torch.cat([restrict(frames[t].policy, references[t].seen > 0) for t in range(T)])
    reward = torch.cat([r.reward for r in references])
    with torch.no_grad():
        on_policy = L.expected_reward_cells(policies, reward, config.cell_px, shift)
    if config.normalise:
        reward = reward / L.reward_scale(policies, reward, config.cell_px, shift)
    cells = L.expected_reward_cells(policies, reward, config.cell_px, shift)
    image = L.expected_reward_image(policies, reward)
    loss = -cells - config.global_weight * (image + config.global_entropy * L.image_entropy(policies))
    if config.tile_entropy > 0:
        loss = loss - config.tile_entropy * L.tile_entropy(policies, config.tile_px)
    return loss, {
        "reward": float(on_policy),
        "reward_cells": float(cells.detach()),
        "reward_image": float(image.detach()),
        "spread": float(L.effective_count(policies)),
    }


def _sampled_loss(
    frames: list[FrameMaps], geometry: Geometry, config: PolicyConfig, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    shift = random_shift(config.cell_px, generator) if config.cell_shift else (0, 0)
    losses, rewards, entropies = [], [], []
    for t, frame in enumerate(frames):
        samples = sample_hybrid(frame.policy, config.cell_px, config.global_samples, generator, shift)
        with torch.no_grad():
            result = point_rewards(frames, geometry, t, samples.xy(frame.policy.shape[-1]), config)
        counted = samples.possible & (result.seen > 0)
        losses.append(L.policy_gradient_loss(samples, advantages(result.reward, counted, config)))
        rewards.append(L.masked_mean(result.reward, counted))
        entropies.append(L.tile_entropy(frame.policy, config.tile_px))
    loss = torch.stack(losses).mean() - config.tile_entropy * torch.stack(entropies).mean()
    spread = torch.stack([L.effective_count(frame.policy) for frame in frames]).mean()
    return loss, {"reward": float(torch.stack(rewards).mean()), "spread": float(spread)}
