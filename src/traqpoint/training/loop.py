"""The loop: schedules, devices, checkpoints, log. It knows no loss."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
"""(updates done, numbers of the step) -> nothing."""
Validate = Callable[[int], dict[str, float]]
"""updates done -> numbers."""


def learning_rate(progress: float, config: LoopConfig) -> float:
    """Linear over the first 3 % of the run, then cosine to the final rate."""
    if progress < 0.03:
        return config.learning_rate * progress / 0.03
    cosine = (1 + math.cos(math.pi * (progress - 0.03) / 0.97)) / 2
    return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * cosine


def update(module: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, clip_norm: float) -> tuple[float, bool]:
    """One step of `optimizer` down the gradient of `loss`, its norm over `module` clipped.

    Returns that norm as it was, and whether the step was made: not with a loss or gradient that is not finite. A loss
    that depends on no parameter has the gradient 0.
    """
    optimizer.zero_grad(set_to_none=True)
    if loss.requires_grad:
        loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(module.parameters(), clip_norm)
    finite = bool(torch.isfinite(norm)) and bool(torch.isfinite(loss.detach()))
    if finite:
        optimizer.step()
    return float(norm), finite


@contextmanager
def _looked_at(module: nn.Module) -> Iterator[None]:
    """In evaluation mode, without gradients, with random numbers of its own: training goes on as if nothing was."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def run(
    out: Path,
    module: nn.Module,
    source: Source,
    step: Step,
    config: LoopConfig,
    report: Report = lambda *_: None,
    validate: Validate | None = None,
    validate_every: int = 200,
) -> None:
    """Train `module` in place for config.steps updates, from the last checkpoint in `out` if there is one.

    Every step's numbers go to out/log.jsonl; a step whose loss or gradient is not finite is skipped and counted there,
    and so are the frames that the source could not read. Interrupting, or losing a worker (DataError), keeps the last
    checkpoint. `validate` is called every `validate_every` updates and after the last one, with the module in
    evaluation mode; what it returns is logged with the step, under its names, and what it keeps is its own affair.
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
        for done in range(start + 1, config.steps + 1):
            began = time.perf_counter()
            batch = next(loader).to(device)
            loaded = time.perf_counter()
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(done / config.steps, config)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
                loss, stats = step(batch, done - 1, generator)
            norm, applied = update(module, optimizer, loss, config.clip_norm)
            skipped += not applied
            times = {"data_s": loaded - began, "step_s": time.perf_counter() - loaded}
            counts = {"skipped": skipped, "unreadable": len(loader.unreadable)}
            stats = {**stats, "gradient_norm": norm, **counts, **times}
            if validate is not None and _due(done, validate_every, config.steps):
                with _looked_at(module):
                    stats |= validate(done)
            log.write(done, stats)
            report(done, stats)
            if _due(done, config.checkpoint_every, config.steps):
                save_checkpoint(checkpoint, done, module, optimizer, generator)


def _due(done: int, every: int, steps: int) -> bool:
    return done % every == 0 or done == steps
