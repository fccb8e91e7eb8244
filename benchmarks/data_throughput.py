"""Frames per second of the synthetic sequences, beside brute-force ray casting of the same 50 quads.

    python benchmarks/data_throughput.py --out benchmarks/results/data_throughput.json
    python benchmarks/data_throughput.py --part loading --rgbd FOLDER --colmap WORKSPACE --threads 1 \
        --out benchmarks/results/data_loading.json

Part "rendering": every method is timed once per round, one after the other, so that a busy machine slows all of them;
the table gives the median over rounds, and the median of the per-round ratios to the ray caster. Part "loading": every
source as the training loop gets it, made in the loop or by workers; frames of real sets are read from disk each time.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor

import traqpoint
from traqpoint.data.config import HomographyConfig
from traqpoint.data.homography import HomographySequences
from traqpoint.data.loader import AHEAD, Loader
from traqpoint.data.posed.colmap import colmap_sequences
from traqpoint.data.posed.config import ColmapConfig, RgbdConfig
from traqpoint.data.posed.rgbd_layouts import rgbd_sequences
from traqpoint.data.source import Source
from traqpoint.data.worlds.config import WorldsConfig
from traqpoint.data.worlds.render import Surfaces, render
from traqpoint.data.worlds.source import Worlds
from traqpoint.data.worlds.textures import procedural_textures
from traqpoint.geometry.pixels import pixel_grid
from traqpoint.geometry.transforms import homogeneous

QUADS = 50
BASELINE = f"ray casting of {QUADS} quads"


@dataclass(frozen=True)
class Options:
    """What to time."""

    part: Literal["rendering", "loading"] = "rendering"
    """Synthetic frames against ray casting, or all sources with 0, 1 and 2 workers."""
    rgbd: Path | None = None
    """Loading: an RGB-D recording."""
    colmap: Path | None = None
    """Loading: a COLMAP workspace."""
    sides: tuple[int, ...] = (240, 480)
    """Sides of the square frames in pixels."""
    rounds: int = 5
    """How often each method is timed."""
    num_frames: int = 5
    """Frames per sequence; one sequence per timing and method."""
    batch_size: int = 1
    """Sequences per timing; a GPU wants more than one."""
    threads: int = 1
    """CPU threads."""
    device: str = "cpu"
    """Where to render."""
    seed: int = 0
    """Of the scenes."""
    out: Path | None = None
    """Write the table with its protocol here, as JSON."""


def first_quads(surfaces: Surfaces, count: int) -> Surfaces:
    parts = {name: getattr(surfaces, name) for name in surfaces.__dataclass_fields__ if name != "sky"}
    return Surfaces(**{name: value[:, :count] for name, value in parts.items()}, sky=surfaces.sky)


def ray_cast(
    surfaces: Surfaces, K: Tensor, cam_from_world: Tensor, side: int, textures: Tensor
) -> tuple[Tensor, Tensor]:
    """Every pixel against every quad, float32, one bilinear read without mip levels and without smooth outlines."""
    images, depths = [], []
    size = textures.shape[-1]
    xy = homogeneous(pixel_grid(side, side, device=K.device))
    for i, j in ((i, j) for i in range(K.shape[0]) for j in range(K.shape[1])):
        R, t = cam_from_world[i, j, :3, :3], cam_from_world[i, j, :3, 3]
        rays = xy @ (torch.linalg.inv(K[i, j]).T @ R).float()
        normal = torch.linalg.cross(surfaces.a[i], surfaces.b[i])
        dual = torch.linalg.pinv(torch.stack([surfaces.a[i], surfaces.b[i]], dim=-1))
        to_origin = surfaces.origin[i] + R.T @ t
        z = (normal * to_origin).sum(-1).float() / (rays @ normal.T.float())
        local = [z * (rays @ dual[:, k].T.float()) - (dual[:, k] * to_origin).sum(-1).float() for k in (0, 1)]
        hit = (z > 0) & (local[0] >= 0) & (local[0] <= 1) & (local[1] >= 0) & (local[1] <= 1)
        depth, index = torch.where(hit, z, torch.inf).min(dim=1)
        st1 = torch.stack([x.gather(1, index[:, None]).squeeze(1) for x in (*local, torch.ones_like(z))], dim=-1)
        uv = (surfaces.uv[i].float()[index] @ st1.unsqueeze(-1)).squeeze(-1)
        light = (surfaces.shade[i].float()[index] * st1).sum(-1)
        position = ((1 - ((uv / 2 - (uv / 2).floor()) * 2 - 1).abs()) * size - 0.5).clamp(0, size - 1.001)
        cell = position.long()
        share = position - cell
        colour = torch.zeros(len(xy), 3, device=K.device)
        for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
            weight = (share[:, 0] if dx else 1 - share[:, 0]) * (share[:, 1] if dy else 1 - share[:, 1])
            texel = textures[surfaces.texture[i][index], :, cell[:, 1] + dy, cell[:, 0] + dx]
            colour += weight.unsqueeze(1) * texel
        images.append((colour * light.unsqueeze(1)).T.reshape(3, side, side))
        depths.append(depth.reshape(side, side))
    return torch.stack(images), torch.stack(depths)


def methods(options: Options, side: int) -> dict[str, Callable[[], object]]:
    generator = torch.Generator().manual_seed(options.seed)
    textures = procedural_textures(20, 512, generator)
    config = WorldsConfig(image_size=(side, side), num_frames=options.num_frames)
    worlds = Worlds(config, textures, options.device)
    rooms = Worlds(replace(config, kinds=("room",), num_objects=12), textures, options.device)
    surfaces, K, poses = rooms.draw(options.batch_size, generator)
    surfaces = first_quads(surfaces, QUADS)
    on_device = textures.to(options.device)
    photos = [(texture * 255).byte() for texture in textures]
    plain = HomographySequences(
        photos, HomographyConfig(image_size=side, num_frames=options.num_frames), options.device
    )
    return {
        BASELINE: lambda: ray_cast(surfaces, K, poses, side, on_device),
        f"worlds: rendering of {QUADS} quads": lambda: render(surfaces, K, poses, (side, side), rooms.atlas),
        "worlds: all of sample(), all kinds": lambda: worlds.sample(options.batch_size, generator),
        "homography: all of sample()": lambda: plain.sample(options.batch_size, generator),
    }


def measure(options: Options, side: int) -> list[dict]:
    frames = options.num_frames * options.batch_size
    runs = methods(options, side)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(options.rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if options.device != "cpu":
                torch.cuda.synchronize()
            # The first turn warms up.
            if turn:
                seconds[name].append((time.perf_counter() - start) / frames)
    return [
        {
            "method": name,
            "side": side,
            "frames_per_second": round(1 / median(times), 2),
            "ratio": round(median(b / t for b, t in zip(seconds[BASELINE], times, strict=True)), 2),
        }
        for name, times in seconds.items()
    ]


def sources(options: Options, side: int) -> dict[str, Source]:
    frames: dict[str, Any] = {"num_frames": options.num_frames}
    posed = frames | {"image_size": (side, side), "cache_frames": 1}
    photos = [(t * 255).byte() for t in procedural_textures(20, 512, torch.Generator().manual_seed(options.seed))]
    out: dict[str, Source] = {
        "homography": HomographySequences(photos, HomographyConfig(image_size=side, **frames)),
        "worlds": Worlds(WorldsConfig(image_size=(side, side), **frames)),
    }
    if options.rgbd is not None:
        out["rgbd"] = rgbd_sequences(RgbdConfig(folders=(options.rgbd,), max_gap=20, **posed))
    if options.colmap is not None:
        out["colmap"] = colmap_sequences(ColmapConfig(workspaces=(options.colmap,), **posed))
    return out


def measure_loading(options: Options, side: int) -> list[dict]:
    seconds: dict[tuple[str, int], list[float]] = {}
    ready = sources(options, side)
    for turn in range(options.rounds):
        for (name, source), workers in product(ready.items(), (0, 1, 2)):
            first = AHEAD * workers + 1  # made before anyone waits
            count = first + 2 * (AHEAD * 2 + 1)
            with Loader(source, options.batch_size, range(count), count, turn, workers) as loader:
                for _ in range(first):
                    next(loader)
                start = time.perf_counter()
                for _ in loader:
                    pass
            frames = (count - first) * options.batch_size * options.num_frames
            seconds.setdefault((name, workers), []).append((time.perf_counter() - start) / frames)
    return [
        {"source": name, "side": side, "workers": workers, "frames_per_second": round(1 / median(times), 1)}
        for (name, workers), times in seconds.items()
    ]


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    torch.set_num_threads(options.threads)
    if options.part == "loading":
        rows = [row for side in options.sides for row in measure_loading(options, side)]
        table = Table("source", "side [px]", "workers", "frames/s")
    else:
        rows = [row for side in options.sides for row in measure(options, side)]
        table = Table("method", "side [px]", "frames/s", "ratio to ray casting")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)
    if options.out is not None:
        paths = {name: getattr(options, name) and getattr(options, name).name for name in ("rgbd", "colmap")}
        versions = {"traqpoint": traqpoint.__version__, "torch": torch.__version__}
        protocol = {**asdict(options), **paths, **versions, "out": None}
        machine = {"machine": platform.machine(), "device": options.device}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({"protocol": protocol | machine, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
