"""Stage 2: one step of policy training on the frozen descriptor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from traqpoint.models.traqpoint import TraqPoint
from traqpoint.policy.config import PolicyConfig, SampledConfig
from traqpoint.policy.loss import warmup_loss
from traqpoint.policy.objective import objective
from traqpoint.training.experts import EXPERTS
from traqpoint.types import SequenceBatch


class Weights(NamedTuple):
    """What the schedule decides for this step."""

    reward: float = 1.0
    """Weight of the track reward."""
    warmup: float = 0.0
    """Weight of the imitation."""
    entropy: float = 1.0
    """Factor on the entropy weights of the configuration."""


def schedule(progress: float, config: PolicyConfig) -> Weights:
    """Weights at `progress` in [0, 1) of the run.

    alone_first: imitation alone for half of the warm-up, then it fades out while the reward fades in. Otherwise the
    paper's: imitation falls to 0 from the start, the reward's weight grows from 0.1 to 1.
    """
    warmup, entropy = config.warmup, 1 + progress * (config.entropy.final - 1)
    if progress >= warmup.share:
        return Weights(1.0, 0.0, entropy)
    share = progress / warmup.share
    if warmup.alone_first:
        fade = max(0.0, 2 * share - 1)
        return Weights(fade, warmup.weight * (1 - fade), entropy)
    return Weights(0.1 + 0.9 * share, warmup.weight * (1 - share), entropy)


class MovingAverage(nn.Module):
    """Average reward of the steps so far, for the baseline "moving"; a buffer, so that checkpoints keep it."""

    value: Tensor

    def __init__(self, config: SampledConfig) -> None:
        super().__init__()
        self.decay = config.moving_decay
        self.register_buffer("value", torch.zeros(()))

    def update(self, reward: float) -> None:
        """Take a step towards the mean reward of a batch."""
        self.value.mul_(self.decay).add_((1 - self.decay) * reward)


def frozen_maps(images: Tensor, model: TraqPoint) -> tuple[Tensor, ...]:
    """The frozen network's maps of images (N, 3, H, W), float32. They may be kept: nothing here changes them."""
    with torch.no_grad():
        maps = model.descriptor.maps(images.contiguous(memory_format=torch.channels_last))
        return tuple(level.float() for level in maps)


def policy_step(
    batch: SequenceBatch,
    model: TraqPoint,
    config: PolicyConfig,
    weights: Weights,
    generator: torch.Generator,
    maps: Sequence[Tensor] | None = None,
    moving: float = 0.0,
) -> tuple[Tensor, dict[str, float]]:
    """Loss of one batch, and what to log.

    maps: `frozen_maps` of all B · T frames, if they are known already. moving: see MovingAverage.
    Logged: reward, on-policy track reward; spread, over how many pixels the image-wide policy spreads; warmup, the
    imitation loss.
    """
    B, T, _, H, W = batch.images.shape
    images = batch.images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    maps = frozen_maps(images, model) if maps is None else maps
    logits = model.detector(images, maps).float()
    total = logits.new_zeros(())
    stats: dict[str, float] = {}
    if weights.warmup > 0:
        with torch.autocast(images.device.type, enabled=False):
            heatmap = EXPERTS[config.warmup.expert](images)
        imitation = warmup_loss(logits, heatmap)
        total = total + weights.warmup * imitation
        stats["warmup"] = float(imitation.detach())
    if weights.reward > 0:
        # In bf16 descriptors are no unit vectors, and a distance between two that agree is NaN.
        with torch.autocast(images.device.type, enabled=False):
            with torch.no_grad():
                descriptors = model.descriptor.dense(maps).unflatten(0, (B, T))
            loss, more = objective(
                logits.reshape(B, T, H, W), descriptors, batch.geometry, config, generator, weights.entropy, moving
            )
        total = total + weights.reward * loss
        stats |= more
    return total, {"loss": float(total.detach()), **stats}
