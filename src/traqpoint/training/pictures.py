"""What a network sees in its batch, as a picture for the log."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from traqpoint.models.traqpoint import TraqPoint
from traqpoint.policy.config import PolicyConfig
from traqpoint.policy.distribution import restrict
from traqpoint.policy.sampling import sample_cells
from traqpoint.training.descriptor_step import draw_points
from traqpoint.types import SequenceBatch
from traqpoint.viz.draw import draw_keypoints, draw_map, draw_matches

POINTS, CORRECT_PX = 150, 3.0
"""Points that are matched, and how near a match must come to the true place."""


@torch.no_grad()
def match_picture(batch: SequenceBatch, model: TraqPoint) -> np.ndarray:
    """uint8 (H, 2 W, 3): corners of the first sequence's first frame, matched with their true places in the second;
    green where a point has found itself."""
    H, W = batch.images.shape[-2:]
    xy = draw_points(batch.images[:, 0], batch.geometry.valid(0), POINTS, 1.0, torch.Generator().manual_seed(0))
    warped = batch.geometry.warp(0, 1, xy)
    seen = warped.visible[0]
    places = [xy[:1, seen], warped.xy[:1, seen]]
    maps = model.descriptor.maps(batch.images[0, :2].contiguous(memory_format=torch.channels_last))
    a, b = (
        model.descriptor.at([level[t : t + 1].float() for level in maps], at, (W, H))[0] for t, at in enumerate(places)
    )
    similarity = a @ b.T
    index = torch.arange(len(a), device=a.device)
    nearest = similarity.argmax(1) if len(a) else index
    mutual = index[similarity.argmax(0)[nearest] == index] if len(a) else index
    xy_a, xy_b, truth = places[0][0, mutual], places[1][0, nearest[mutual]], places[1][0, mutual]
    correct = (xy_b - truth).norm(dim=-1) < CORRECT_PX
    return draw_matches(_pixels(batch.images[0, 0]), _pixels(batch.images[0, 1]), xy_a, xy_b, correct)


@torch.no_grad()
def policy_picture(batch: SequenceBatch, model: TraqPoint, config: PolicyConfig) -> np.ndarray:
    """uint8 (2 H, 2 W, 3): the first sequence's first two frames with a keypoint drawn in each cell, and under them the
    policy's logits."""
    W = batch.images.shape[-1]
    images = batch.images[0, :2].contiguous(memory_format=torch.channels_last)
    logits = model.detector(images, tuple(level.float() for level in model.descriptor.maps(images))).float()[:, 0]
    columns = []
    for t, image in enumerate(images):
        policy = restrict(config.sampling.inverse_temperature * logits[t : t + 1], batch.geometry.valid(t)[:1])
        index, _, possible = sample_cells(policy, config.sampling.cell_px, torch.Generator().manual_seed(0))
        chosen = index[possible]
        xy = torch.stack([chosen % W, chosen // W], dim=-1) + 0.5
        columns.append(np.concatenate([draw_keypoints(_pixels(image), xy), draw_map(logits[t])]))
    return np.concatenate(columns, axis=1)


def _pixels(image: Tensor) -> np.ndarray:
    return (image * 255).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
