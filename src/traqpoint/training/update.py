"""One update: how large, and whether at all."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from traqpoint.training.config import LoopConfig


def learning_rate(progress: float, config: LoopConfig) -> float:
    """At `progress` in [0, 1] of the run: linear over the warm-up; then cosine to the final rate, or (wsd) constant and
    over the last decay_share linear to the final rate."""
    peak, final = config.learning_rate, config.final_learning_rate
    if progress < config.warmup_share:
        return peak * progress / config.warmup_share
    if config.schedule == "wsd":
        left = min(1.0, (1 - progress) / config.decay_share) if config.decay_share > 0 else 1.0
        return final + (peak - final) * left
    cosine = (1 + math.cos(math.pi * (progress - config.warmup_share) / (1 - config.warmup_share))) / 2
    return final + (peak - final) * cosine


def update(module: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, clip_norm: float) -> tuple[float, bool]:
    """One step of `optimizer` down the gradient that the backward pass of `loss` left, its norm over `module` clipped.

    Returns that norm as it was, and whether the step was made: not with a loss or gradient that is not finite. The
    gradient is used up.
    """
    norm = torch.nn.utils.clip_grad_norm_(module.parameters(), clip_norm)
    finite = bool(torch.isfinite(norm)) and bool(torch.isfinite(loss.detach()))
    if finite:
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(norm), finite
