"""Stage 1: one step of descriptor training."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import torch
from torch import Tensor

from traqpoint.models.traqpoint import TraqPoint
from traqpoint.training.config import DescriptorConfig
from traqpoint.training.experts import corner_response
from traqpoint.training.losses.build import build_losses
from traqpoint.training.losses.lesson import Lesson, Pair, Taught
from traqpoint.types import SequenceBatch, TaughtPoints

Describe = Callable[[int, Tensor], Tensor]
"""(frame, pixels (B, N, 2) in it) -> the student's descriptors (B, N, D)."""


def draw_points(images: Tensor, valid: Tensor, count: int, corner_share: float, generator: torch.Generator) -> Tensor:
    """Points (B, count, 2) in valid pixels of images (B, 3, H, W), some by corner response, jittered in the pixel."""
    if not count:
        return images.new_zeros(len(images), 0, 2)
    W = images.shape[-1]
    corners = corner_response(images).sqrt().flatten(1)
    valid = valid.flatten(1).float()
    density = corners * valid
    density = density / density.sum(1, keepdim=True).clamp(min=1e-12)
    uniform = (valid + 1e-6) / (valid + 1e-6).sum(1, keepdim=True)
    mixed = (corner_share * density + (1 - corner_share) * uniform).cpu()
    index = torch.multinomial(mixed, count, replacement=False, generator=generator)
    corner = torch.stack([index % W, index // W], dim=-1).float()
    return (corner + torch.rand(corner.shape, generator=generator)).to(images.device)


def descriptor_step(
    batch: SequenceBatch,
    model: TraqPoint,
    config: DescriptorConfig,
    generator: torch.Generator,
    projection: Tensor | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """Loss of one batch, and what to log: loss, its parts if there are several, what the parts say of themselves.

    projection: from the teachers' descriptors to the student's, see Teachers.projection.
    """
    B, T, _, H, W = batch.images.shape
    maps = model.descriptor.maps(batch.images.flatten(0, 1).contiguous(memory_format=torch.channels_last))
    frames = [[level.float().unflatten(0, (B, T))[:, t] for level in maps] for t in range(T)]

    def describe(t: int, xy: Tensor) -> Tensor:
        return model.descriptor.at(frames[t], xy, (W, H))

    # bf16 would move projections by whole pixels, and round a similarity of 0.99 to 1.
    with torch.autocast(batch.images.device.type, enabled=False):
        taught = _taught(batch.taught, describe, projection) if batch.taught is not None else None
        lesson = Lesson(lambda: _pairs(batch, taught, describe, config, generator), taught)
        parts = [
            (name, weight, loss(lesson))
            for name, loss, weight in build_losses(config)
            if taught is not None or not loss.teacher
        ]
    total = sum((weight * part for _, weight, part in parts), start=batch.images.new_zeros(()))
    shares = {name: part for name, _, part in parts} if len(config.losses) > 1 else {}
    return total, {name: float(value.detach()) for name, value in {"loss": total, **shares, **lesson.stats}.items()}


def _taught(points: TaughtPoints, describe: Describe, projection: Tensor | None) -> Taught:
    student = torch.stack([describe(t, points.xy[:, t]) for t in range(points.xy.shape[1])], dim=1)
    return Taught(student, points.seen, points.targets.float(), projection)


def _pairs(
    batch: SequenceBatch,
    taught: Taught | None,
    describe: Describe,
    config: DescriptorConfig,
    generator: torch.Generator,
) -> list[Pair]:
    """Points drawn in each frame, and their projections in all later ones; the taught points besides."""
    T = batch.num_frames
    points = {
        t: draw_points(
            batch.images[:, t], batch.geometry.valid(t), config.points_per_frame, config.corner_share, generator
        )
        for t in range(T - 1)
    }
    pairs = []
    for i, j in combinations(range(T), 2):
        warped = batch.geometry.warp(i, j, points[i])
        # Unknown places are no pairs; described, their NaN would reach the gradient of a perceptron even so.
        drawn = Pair(describe(i, points[i]), describe(j, warped.xy.nan_to_num(0)), warped.xy, warped.visible)
        if taught is not None and batch.taught is not None:
            both = taught.seen[:, i] & taught.seen[:, j]
            drawn = drawn.joined(Pair(taught.student[:, i], taught.student[:, j], batch.taught.xy[:, j], both))
        pairs.append(drawn)
    return pairs
