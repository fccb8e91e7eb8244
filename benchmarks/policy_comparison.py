"""Every estimator and reward on one budget: same initial weights, same sequences, same number of frames, three seeds.

    python benchmarks/policy_comparison.py --photos TRAIN --val VALIDATION --posed STRECHA --rgbd ROOM \
        --work runs/comparison --out benchmarks/results/policy_comparison.json

TRAIN, VALIDATION: folders of photographs. STRECHA: a folder of Strecha scenes, for pose. ROOM: an RGB-D folder whose
last 37 frames are validation. Each finished run is kept in --work; the same command goes on where it was broken off.
"""

from __future__ import annotations

import json
import math
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import torch
import tyro
from policy_tables import report
from policy_validation import Validation, world_config
from policy_variants import VARIANTS, Variant, at_size
from rich.progress import track
from torch import Tensor

from traqpoint.data.config import HomographyConfig
from traqpoint.data.homography import HomographySequences
from traqpoint.data.photos import load_photos
from traqpoint.data.posed.colmap import colmap_sequences
from traqpoint.data.posed.config import ColmapConfig
from traqpoint.data.source import Source
from traqpoint.data.worlds.source import Worlds
from traqpoint.data.worlds.textures import load_textures
from traqpoint.errors import ConfigError
from traqpoint.files import atomic, claim, write_json
from traqpoint.models.layers import channels_last, frozen
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.policy.config import SampledConfig
from traqpoint.policy.loss import warmup_loss
from traqpoint.training.config import LoopConfig
from traqpoint.training.experts import fast_heatmap
from traqpoint.training.policy_step import MovingAverage, Weights, frozen_maps, policy_step
from traqpoint.training.update import learning_rate, update
from traqpoint.types import Geometry, SequenceBatch, map_tensors

POOL_FRAMES = {"homography": 8, "worlds": 5, "colmap": 5}
FRAMES_PER_STEP = 10
WORLD_TEXTURES = 100


@dataclass(frozen=True)
class Options:
    """What to run."""

    photos: Path
    """Photographs to train from."""
    val: Path
    """Photographs to judge on, never trained from."""
    work: Path
    """Pool of sequences, weights and rows of finished runs; of one protocol, another is refused."""
    posed: Path | None = None
    """Folder of Strecha scenes for the pose AUC."""
    rgbd: Path | None = None
    """RGB-D folder; the last 37 frames judge."""
    kitti: Path | None = None
    """Odometry folder for the length of tracks through a video."""
    source: Literal["homography", "worlds", "colmap"] = "homography"
    """What to train on: homographies of the photographs, a camera's path through worlds textured with them, with
    occlusion and parallax, or real photographs that share points of a reconstruction; every run is judged on all."""
    workspaces: tuple[Path, ...] = ()
    """COLMAP workspaces, for the last."""
    out: Path | None = None
    """Rows and protocol as JSON."""
    variants: tuple[str, ...] = tuple(VARIANTS)
    """Which of policy_variants.py."""
    seeds: int = 3
    """Seeds 0, 1, …"""
    steps: int = 120
    """Updates of a run with T = 5; the others see as many frames."""
    warmup_steps: int = 60
    """Updates of the imitation that all variants start from."""
    image_size: int = 240
    """Side of the frames."""
    pool: int = 320
    """Sequences; a run goes through them in an order of its seed."""
    val_photos: int = 40
    """Sequences of the validation, the first of every few photographs."""
    precision: Literal["bf16", "float32"] = "bf16"
    """Of the networks in training; processors without instructions for bf16 take ten times as long with it."""
    max_keypoints: int = 300
    """Keypoints per validation frame."""
    descriptor: str = "traqpoint-s-v1"
    """Whose frozen descriptor is used."""
    workers: int = 2
    """Runs at a time, one thread each."""


def training_source(options: Options) -> Source:
    """Where the sequences of the pool come from."""
    if options.source == "worlds":
        textures = load_textures(options.photos, WORLD_TEXTURES, 512, torch.Generator().manual_seed(1))
        return Worlds(world_config(options.image_size), textures)
    if options.source == "colmap":
        size = (options.image_size, options.image_size)
        return colmap_sequences(ColmapConfig(workspaces=options.workspaces, image_size=size, overlap=(0.15, 0.7)))
    config = HomographyConfig(image_size=options.image_size, num_frames=POOL_FRAMES["homography"])
    return HomographySequences(load_photos(options.photos), config)


def build_pool(options: Options) -> Path:
    """Sequences and their frozen descriptors, rendered once: frozen means that they may be kept."""
    path = options.work / f"pool_{options.source}_{options.image_size}_{options.pool}.pt"
    if path.exists():
        return path
    source = training_source(options)
    model = channels_last(TraqPoint.from_pretrained(options.descriptor))
    generator = torch.Generator().manual_seed(12345)
    # All at once: batches of tracks are as wide as the most points that one of their sequences sees.
    images, levels, geometries = [], [], []
    for _ in track(range(1 if options.source == "colmap" else options.pool), description="pool"):
        batch = source.sample(options.pool if options.source == "colmap" else 1, generator)
        for sequence in batch.images:
            images.append((sequence * 255).round().byte())
            levels.append([level.half() for level in frozen_maps(images[-1].float() / 255, model)])
        geometries.append(batch.geometry)
    maps = [torch.stack(level) for level in zip(*levels, strict=True)]
    pool = {"images": torch.stack(images), "maps": maps, "geometry": joined(geometries)}
    with atomic(path) as partial:
        torch.save(pool, partial)
    return path


def joined(geometries: list) -> Geometry:
    """Geometries of single sequences as that of one batch."""
    first = geometries[0]
    tensors = [field.name for field in fields(first) if isinstance(getattr(first, field.name), Tensor)]
    return replace(first, **{name: torch.cat([getattr(g, name) for g in geometries]) for name in tensors})


def batch_of(pool: dict, indices: list[int], frames: Tensor) -> tuple[SequenceBatch, list[Tensor]]:
    """Frames (B, T) of B sequences of the pool, and the frozen maps (B · T, C, h, w) of them all."""
    rows = torch.tensor(indices).unsqueeze(1)
    geometry = map_tensors(pool["geometry"], lambda x: x[rows, frames])
    maps = [level[rows, frames].flatten(0, 1).float() for level in pool["maps"]]
    return SequenceBatch(pool["images"][rows, frames].float() / 255, geometry), maps


def choose_frames(variant: Variant, batch_size: int, available: int, generator: torch.Generator) -> Tensor:
    """(B, T) indices of frames."""
    T = variant.num_frames
    if variant.frames == "any":
        return torch.rand(batch_size, available, generator=generator).argsort(1)[:, :T].sort(1).values
    first = torch.zeros(batch_size, 1, dtype=torch.long)
    if variant.frames == "neighbours":
        first = torch.randint(available - T + 1, (batch_size, 1), generator=generator)
    return first + torch.arange(T)


def train(variant: Variant, seed: int, model: TraqPoint, pool: dict, options: Options) -> dict:
    """Train model.detector in place. Returns seconds, the mean reward of the last tenth of the steps, and completeness
    on a few validation photographs at the start and after each quarter of the run."""
    initial = variant.kind == "initial"
    steps = options.warmup_steps if initial else options.steps
    batch_size = variant.batch_size or max(1, round(FRAMES_PER_STEP / variant.num_frames))
    if variant.batch_size is None:
        steps = math.ceil(steps * FRAMES_PER_STEP / (batch_size * variant.num_frames))
    config = LoopConfig(steps=steps, learning_rate=variant.learning_rate)
    optimizer = torch.optim.AdamW(model.detector.parameters(), lr=0.0, weight_decay=config.weight_decay)
    generator = torch.Generator().manual_seed(1000 * seed + 1)
    order = torch.randperm(options.pool, generator=torch.Generator().manual_seed(seed + 7 * initial)).tolist()
    available = POOL_FRAMES[options.source]
    average, rewards = MovingAverage(SampledConfig() if variant.policy is None else variant.policy.sampled), []
    seconds, curve = 0.0, [_validation(options).glance(model, options.max_keypoints)]
    for i in range(steps):
        began = time.process_time()
        chosen = [order[(i * batch_size + j) % options.pool] for j in range(batch_size)]
        frames = choose_frames(variant, batch_size, available, generator)
        batch, maps = batch_of(pool, chosen, frames)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            if variant.policy is None:
                images = batch.images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
                loss, stats = 10 * warmup_loss(model.detector(images, maps).float(), fast_heatmap(images)), {}
            else:
                entropy = 1 + i / steps * (variant.policy.entropy.final - 1)
                weights, moving = Weights(entropy=entropy), float(average.value)
                loss, stats = policy_step(batch, model, variant.policy, weights, generator, maps, moving)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate((i + 1) / steps, config)
        loss.backward()
        update(model.detector, optimizer, loss, config.clip_norm)
        rewards.append(stats.get("reward", 0.0))
        average.update(rewards[-1])
        seconds += time.process_time() - began
        if (i + 1) * 4 // steps > i * 4 // steps:
            curve.append(_validation(options).glance(model, options.max_keypoints))
    last = rewards[-max(1, steps // 10) :]
    return {"train_cpu_s": round(seconds, 1), "reward": sum(last) / len(last), "curve": curve}


@lru_cache(maxsize=1)
def _validation(options: Options) -> Validation:
    return Validation(options.val, options.val_photos, options.image_size, options.posed, options.rgbd, options.kitti)


@lru_cache(maxsize=1)
def _pool(path: Path) -> dict:
    return torch.load(path, mmap=True, weights_only=False)  # a file of ours, with a Geometry in it


def run(name: str, seed: int, options: Options, pool_path: Path) -> dict:
    """One run and its numbers, from --work if they are there."""
    torch.set_num_threads(1)
    file = options.work / "rows" / f"{name}-{seed}.json"
    if file.exists():
        return json.loads(file.read_text())
    variant = VARIANTS[name]
    if variant.policy is not None:
        variant = replace(variant, policy=at_size(variant.policy, options.image_size))
    torch.manual_seed(seed)
    model = TraqPoint.from_pretrained(options.descriptor)
    model.detector = TraqPoint(model.config).detector.train()
    channels_last(frozen(model))
    model.detector.train().requires_grad_(True)
    if variant.kind not in ("untrained", "initial") and variant.start == "initial":
        warm = TraqPoint.from_pretrained(options.work / "weights" / f"initial-{seed}.safetensors")
        model.detector.load_state_dict(warm.detector.state_dict())
    trained = {}
    if variant.kind != "untrained":
        trained = train(variant, seed, model, _pool(pool_path), options)
    model.eval()
    weights = options.work / "weights" / f"{name}-{seed}.safetensors"
    model.save_pretrained(weights, {"variant": name, "seed": str(seed)})
    numbers = _validation(options).judge(weights, options.max_keypoints)
    row = {"variant": name, "seed": seed, **trained, **numbers}
    write_json(file, row)
    return row


def main(options: Options) -> None:
    longest = POOL_FRAMES[options.source]
    if too_long := [name for name in options.variants if VARIANTS[name].num_frames > longest]:
        raise ConfigError(f"{', '.join(too_long)}: sequences of {options.source} have {longest} frames")
    free = ("variants", "seeds", "workers")
    # Neither paths nor paths that were not given.
    protocol = {k: v for k, v in asdict(options).items() if isinstance(v, int | str) and k not in free}
    claim(options.work, options.work / "config.yaml", protocol)
    pool_path = build_pool(options)
    rows = []
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as executor:
        for seed in range(options.seeds):
            # All others start from this one's weights.
            rows.append(executor.submit(run, "initial", seed, options, pool_path).result())
        names = [n for n in options.variants if n != "initial"]
        jobs = [executor.submit(run, n, s, options, pool_path) for s in range(options.seeds) for n in names]
        for job in track(as_completed(jobs), total=len(jobs), description="runs"):
            rows.append(job.result())
            _keep(options.out, protocol, rows)
    _keep(options.out, protocol, rows)
    print(report(rows))


def _keep(file: Path | None, protocol: dict, rows: list[dict]) -> None:
    if file is not None:
        content = {"protocol": protocol, "torch": torch.__version__, "rows": sorted(rows, key=_place)}
        write_json(file, content)


def _place(row: dict) -> tuple[int, int]:
    return list(VARIANTS).index(row["variant"]), row["seed"]


if __name__ == "__main__":
    main(tyro.cli(Options))
