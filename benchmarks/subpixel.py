"""What a learned refinement at the keypoints would be worth, beside the quadratic through the logits.

    python benchmarks/subpixel.py --photos PHOTOS --unseen VAL

Keypoints of two views of a photograph that lie within 3 px of each other are pairs; a perceptron looks at the grey
patch around each and moves it so that pairs agree, trained on PHOTOS by the known homographies. The table is of VAL:
the distance within pairs, in pixels of the second view.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
import tyro
from torch import Tensor, nn

from traqpoint.data.config import HomographyConfig
from traqpoint.data.homography import HomographySequences
from traqpoint.data.photos import load_photos
from traqpoint.inference.extractor import Extractor
from traqpoint.types import SequenceBatch

REACH_PX = 3.0
"""Keypoints of two views are a pair within this distance."""
MOVE_PX = 1.5
"""The perceptron moves a keypoint at most so far."""


@dataclass(frozen=True)
class Options:
    """What to train and judge on."""

    photos: Path
    """Folder of photographs to train on."""
    unseen: Path
    """Folder of photographs to judge on."""
    weights: str = "traqpoint-s-v1"
    """Whose keypoints."""
    limit: tuple[int, int] = (120, 40)
    """Photographs of each."""
    radius: int = 5
    """The patch has (2r+1)² pixels."""
    steps: int = 2500
    """Updates, of 1024 pairs each."""


class Pairs(NamedTuple):
    """Pairs of keypoints: patches (N, (2r+1)²) of each, and where they are from their pixels' centres (N, 2)."""

    patch_a: Tensor
    patch_b: Tensor
    offset_a: Tensor
    offset_b: Tensor
    between: Tensor
    """(N, 2) from the centre of b's pixel to where the centre of a's goes in the second view."""
    affine: Tensor
    """(N, 2, 2) of the map from the first view to the second at a."""


Refine = Callable[[Tensor, Tensor], Tensor]
"""(patches, offsets (N, 2) of the quadratic) -> offsets (N, 2)."""


def patches(image: Tensor, xy: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """image (3, H, W), xy (N, 2) -> normalised grey patches around their pixels, and the pixels' centres."""
    grey = F.pad(image.mean(0)[None, None], (radius,) * 4, mode="replicate")[0, 0]
    corner = xy.floor().long()
    steps = torch.arange(2 * radius + 1)
    found = grey[corner[:, 1, None, None] + steps[:, None], corner[:, 0, None, None] + steps].flatten(1)
    found = found - found.mean(1, keepdim=True)
    return found / (found.square().mean(1, keepdim=True).sqrt() + 0.02), corner + 0.5


def pairs_of(batch: SequenceBatch, extractor: Extractor, radius: int) -> Pairs | None:
    """Of the two views of one photograph; None if one of them has no keypoints."""
    a, b = (extractor(batch.images[0, t]).keypoints for t in (0, 1))
    if not len(a) or not len(b):
        return None
    warped = batch.geometry.warp(0, 1, a[None])
    distance = torch.cdist(warped.xy[0].nan_to_num(-1e4), b)
    distance[~warped.visible[0]] = torch.inf
    nearest = distance.argmin(1)
    mutual = distance.argmin(0)[nearest] == torch.arange(len(a))
    first = (mutual & (distance.gather(1, nearest[:, None])[:, 0] < REACH_PX)).nonzero().squeeze(1)
    a, b = a[first], b[nearest[first]]
    (patch_a, centre_a), (patch_b, centre_b) = (patches(batch.images[0, t], xy, radius) for t, xy in enumerate((a, b)))
    around = torch.cat([centre_a, centre_a + torch.tensor([1.0, 0.0]), centre_a + torch.tensor([0.0, 1.0])])
    gone, right, down = batch.geometry.warp(0, 1, around[None]).xy[0].view(3, -1, 2)
    affine = torch.stack([right - gone, down - gone], dim=-1)
    return Pairs(patch_a, patch_b, a - centre_a, b - centre_b, gone - centre_b, affine)


def collected(folder: Path, limit: int, seed: int, options: Options) -> Pairs:
    photos = load_photos(folder, limit=limit)
    views = HomographyConfig(image_size=400, num_frames=2, zoom=(1.0, 1.6))
    source, extractor = HomographySequences(photos, views), Extractor(options.weights, max_keypoints=800, device="cpu")
    found = [
        pairs_of(source.render([i], torch.Generator().manual_seed(seed + i)), extractor, options.radius)
        for i in range(len(photos))
    ]
    return Pairs(*(torch.cat(parts) for parts in zip(*(pairs for pairs in found if pairs), strict=True)))


class Perceptron(nn.Module):
    def __init__(self, radius: int, hidden: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear((2 * radius + 1) ** 2 + 2, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 2),
        )

    def forward(self, patch: Tensor, offset: Tensor) -> Tensor:
        return offset + MOVE_PX * torch.tanh(self.layers(torch.cat([patch, offset], dim=1)))


def errors(refine: Refine, pairs: Pairs) -> Tensor:
    """(N, 2) pixels of the second view."""
    a, b = refine(pairs.patch_a, pairs.offset_a), refine(pairs.patch_b, pairs.offset_b)
    return (pairs.affine @ a.unsqueeze(-1)).squeeze(-1) + pairs.between - b


def trained(pairs: Pairs, options: Options) -> Perceptron:
    torch.manual_seed(0)
    network = Perceptron(options.radius)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, options.steps)
    near = (errors(lambda _, offset: offset, pairs).norm(dim=1) < MOVE_PX).nonzero().squeeze(1)
    for _ in range(options.steps):
        chosen = near[torch.randint(len(near), (1024,))]
        error = errors(network, Pairs(*(part[chosen] for part in pairs)))
        loss = F.smooth_l1_loss(error, torch.zeros_like(error), beta=0.3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    return network


@torch.no_grad()
def report(name: str, refine: Refine, pairs: Pairs) -> None:
    distance = errors(refine, pairs).norm(dim=1)
    shares = " | ".join(f"{float((distance < limit).float().mean()):.3f}" for limit in (0.5, 1.0))
    print(f"| {name} | {float(distance.mean()):.3f} | {float(distance.median()):.3f} | {shares} |", flush=True)


def main(options: Options) -> None:
    known = collected(options.photos, options.limit[0], 10_000, options)
    unseen = collected(options.unseen, options.limit[1], 20_000, options)
    print(f"{len(known[0])} pairs to learn from, {len(unseen[0])} to judge by")
    print("| place of a keypoint | mean px | median px | < 0.5 px | < 1 px |\n|---|---|---|---|---|")
    report("its pixel's centre", lambda _, offset: torch.zeros_like(offset), unseen)
    report("quadratic through the logits", lambda _, offset: offset, unseen)
    report("perceptron on the patch", trained(known, options), unseen)


if __name__ == "__main__":
    main(tyro.cli(Options))
