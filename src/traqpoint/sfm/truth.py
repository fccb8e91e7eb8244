"""Known poses to compare with, whatever they are kept in, and a part of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from traqpoint.errors import ConfigError
from traqpoint.io.colmap_model import ColmapModel, read_model, shared_points
from traqpoint.io.strecha import read_strecha


def read_truth(folder: str | Path) -> ColmapModel:
    """Known poses: a COLMAP model, or a scene of the Strecha benchmark. Raises FormatError naming what is wrong."""
    folder = Path(folder)
    is_model = any((folder / name).is_file() for name in ("images.bin", "images.txt"))
    return read_model(folder) if is_model or not (folder / "cameras.txt").is_file() else read_strecha(folder)


def neighbourhood(model: ColmapModel, count: int) -> ColmapModel:
    """`count` images of the model: the one that shares most points with others, and those that share most with it.

    A map of a loose set would take COLMAP minutes, because it tries every pair as a beginning. The points stay.
    Raises ConfigError for a count below 1.
    """
    if count < 1:
        raise ConfigError(f"limit must be at least 1, got {count}")
    names = list(model.images)
    pairs, shared = shared_points(model)
    counts = torch.zeros(len(names), len(names), dtype=torch.int64)
    counts[pairs[:, 0], pairs[:, 1]] = counts[pairs[:, 1], pairs[:, 0]] = shared
    centre = int(counts.sum(1).argmax())
    counts[centre, centre] = counts.max() + 1
    chosen = {names[i] for i in counts[centre].argsort(descending=True, stable=True)[:count].tolist()}
    return replace(model, images={name: view for name, view in model.images.items() if name in chosen})
