"""The loop: schedules, devices, checkpoints, log. It knows no loss."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from traqpoint.data.loader import Loader
from traqpoint.data.source import Source
from traqpoint.device import resolve_device
from traqpoint.models.layers import channels_last
from traqpoint.training.checkpoint import load_checkpoint, save_checkpoint
from traqpoint.training.config import LoopConfig
from traqpoint.training.log import RunLog
from traqpoint.types import SequenceBatch

Step = Callable[[SequenceBatch, int, torch.Generator], tuple[Tensor, dict[str, float]]]
"""(batch, updates done, generator) -> (loss, stats)."""
Report = Callable[[int, dict[str, float]], None]


def learning_rate(progress: float, config: LoopConfig) -> float:
    """Linear over the first 3 % of the run, then cosine to the final rate."""
    if progress < 0.03:
        return config.learning_rate * progress / 0.03
    cosine = (1 + math.cos(math.pi * (progress - 0.03) / 0.97)) / 2
    return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * cosine


def run(
    out: Path, module: nn.Module, source: Source, step: Step, config: LoopConfig, report: Report = lambda *_: None
) -> None:
    """Train `module` in place for config.steps updates, from the last checkpoint in `out` if there is one.

    Every step's numbers go to out/log.jsonl; a step whose loss or gradient is not finite is skipped and counted there,
    and so are the frames that the source could not read. Interrupting, or losing a worker (DataError), keeps the last
    checkpoint.
    """
    device = resolve_device(config.device)
    channels_last(module.to(device))
    optimizer = torch.optim.AdamW(module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    generator = torch.Generator().manual_seed(config.seed)
    checkpoint = out / "checkpoint.pt"
    start = load_checkpoint(checkpoint, module, optimizer, generator) if checkpoint.exists() else 0
    skipped = 0
    loader = Loader(source, config.batch_size, start, config.steps, generator, config.seed, config.workers)
    with RunLog(out, start) as log, loader:
        for i in range(start, config.steps):
            began = time.perf_counter()
            batch = next(loader).to(device)
            loaded = time.perf_counter()
            for group in optimizer.param_groups:
                group["lr"] = learning_rate((i + 1) / config.steps, config)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
                loss, stats = step(batch, i, generator)
            optimizer.zero_grad(set_to_none=True)
            if loss.requires_grad:
                loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(module.parameters(), config.clip_norm)
            if bool(torch.isfinite(norm)) and bool(torch.isfinite(loss.detach())):
                optimizer.step()
            else:
                skipped += 1
            times = {"data_s": loaded - began, "step_s": time.perf_counter() - loaded}
            counts = {"skipped": skipped, "unreadable": len(loader.unreadable)}
            stats = {**stats, "gradient_norm": float(norm), **counts, **times}
            log.write(i + 1, stats)
            report(i + 1, stats)
            if (i + 1) % config.checkpoint_every == 0 or i + 1 == config.steps:
                save_checkpoint(checkpoint, i + 1, module, optimizer, generator)
