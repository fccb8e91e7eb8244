"""Stage 1: one step of descriptor training."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from traqpoint.models.traqpoint import TraqPoint
from traqpoint.training.config import DescriptorConfig
from traqpoint.training.experts import corner_response
from traqpoint.types import SequenceBatch


def draw_points(images: Tensor, valid: Tensor, count: int, corner_share: float, generator: torch.Generator) -> Tensor:
    """Points (B, count, 2) in valid pixels of images (B, 3, H, W), some by corner response, jittered in the pixel."""
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


def dual_softmax_loss(
    a: Tensor, b: Tensor, xy_b: Tensor, paired: Tensor, config: DescriptorConfig
) -> tuple[Tensor, Tensor]:
    """Contrast of true pairs against all others, in both directions.

    a, b: (B, N, D) unit descriptors of the same points in two images. xy_b: (B, N, 2) their pixels in the second.
    paired: (B, N) bool, where the point is visible in both. Returns the mean negative log-likelihood and the share of
    pairs that are mutual nearest neighbours.
    """
    similarity = config.inverse_temperature * a @ b.transpose(1, 2)
    near = torch.cdist(xy_b.nan_to_num(0), xy_b.nan_to_num(0)) < config.exclusion_px
    eye = torch.eye(a.shape[1], dtype=torch.bool, device=a.device)
    ignored = (near & ~eye) | ~(paired.unsqueeze(1) & paired.unsqueeze(2))
    similarity = similarity.masked_fill(ignored, -1e4)
    forth = similarity.log_softmax(2).diagonal(dim1=1, dim2=2)
    back = similarity.log_softmax(1).diagonal(dim1=1, dim2=2)
    count = paired.sum().clamp(min=1)
    loss = -((forth + back) / 2 * paired).sum() / count
    with torch.no_grad():
        index = torch.arange(a.shape[1], device=a.device)
        mutual = (similarity.argmax(2) == index) & (similarity.argmax(1) == index) & paired
    return loss, mutual.sum() / count


def descriptor_step(
    batch: SequenceBatch, model: TraqPoint, config: DescriptorConfig, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Loss of one batch over all pairs of frames, and what to log: loss, accuracy (mutual nearest neighbours)."""
    B, T, _, H, W = batch.images.shape
    maps = model.descriptor.maps(batch.images.flatten(0, 1).contiguous(memory_format=torch.channels_last))
    frames = [[level.float().unflatten(0, (B, T))[:, t] for level in maps] for t in range(T)]
    # bf16 would move projections by whole pixels, and round a similarity of 0.99 to 1.
    with torch.autocast(batch.images.device.type, enabled=False):
        points = {
            t: draw_points(
                batch.images[:, t], batch.geometry.valid(t), config.points_per_frame, config.corner_share, generator
            )
            for t in range(T - 1)
        }
        losses, accuracies = [], []
        for i, j in combinations(range(T), 2):
            warped = batch.geometry.warp(i, j, points[i])
            a = model.descriptor.at(frames[i], points[i], (W, H))
            b = model.descriptor.at(frames[j], warped.xy, (W, H)).nan_to_num(0)
            loss, accuracy = dual_softmax_loss(a, b, warped.xy, warped.visible, config)
            losses.append(loss)
            accuracies.append(accuracy)
    total = torch.stack(losses).mean()
    return total, {"loss": float(total.detach()), "accuracy": float(torch.stack(accuracies).mean())}
