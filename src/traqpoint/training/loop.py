"""The loop: batches, updates, checkpoints, looks in between. It knows no loss."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from traqpoint.data.loader import Loader
from traqpoint.data.source import Source
from traqpoint.errors import Interrupted
from traqpoint.models.layers import channels_last
from traqpoint.training.average import Average
from traqpoint.training.checkpoint import Checkpoints, State
from traqpoint.training.config import LoopConfig
from traqpoint.training.interruption import Interruption
from traqpoint.training.log import RunLog
from traqpoint.training.passes import Passes, Step
from traqpoint.training.update import learning_rate, update
from traqpoint.types import SequenceBatch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Report = Callable[[int, dict[str, float]], None]
"""(updates done, numbers of the step) -> nothing."""
Validate = Callable[[int], dict[str, float]]
"""updates done -> numbers for the log; `val_score` decides what is best."""


@dataclass(frozen=True)
class Looks:
    """What is done between updates, by the first process alone, with the module in evaluation mode and, where there is
    an average, with its weights. It changes no number of the training."""

    report: Report = lambda done, stats: None
    validate: Validate | None = None
    validate_every: int = 200
    picture: Callable[[SequenceBatch], np.ndarray] | None = None
    """A batch, as this process has it -> uint8 (H, W, 3), every config.pictures_every updates."""
    save: Callable[[str], None] = lambda name: None
    """Writes the weights as they are, under a name: "best", "last" at the end; "raw" are those beside an average."""


def run(
    fabric: Fabric,
    out: Path,
    module: nn.Module,
    source: Source,
    step: Step,
    config: LoopConfig,
    looks: Looks = Looks(),
    identity: Mapping[str, Any] | None = None,
    changed: Collection[str] = (),
) -> None:
    """Train `module` in place for config.steps updates, from the last checkpoint in `out` if there is one.

    Every update's numbers go to out/log.jsonl; one whose loss or gradient is not finite is skipped and counted there,
    and so are the frames that the source could not read. After SIGINT or SIGTERM the update is finished and kept, then
    Interrupted is raised. Losing a worker (DataError) keeps the last checkpoint. identity, changed: see Checkpoints.
    """
    channels_last(module.to(fabric.device))
    optimizer = torch.optim.AdamW(module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    state = State(module, optimizer, Average(module, config.ema) if config.ema > 0 else None)
    checkpoints = Checkpoints(out / "checkpoints", config.keep, identity or {}, changed)
    checkpoints.load(state)
    fabric.barrier()
    first = fabric.is_global_zero
    passes = Passes(fabric, module, step, config)
    loader = Loader(source, config.batch_size, passes.numbers(state.done), passes.all, config.seed, config.workers)
    with RunLog(out, state.done) if first else nullcontext() as log, loader, Interruption() as interruption:
        for done in range(state.done + 1, config.steps + 1):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(done / config.steps, config)
            loss, stopped, stats = passes(loader, done, interruption.signal is not None)
            norm, applied = update(module, optimizer, loss, config.clip_norm)
            if not applied:
                passes.undo()
            state.done, state.skipped = done, state.skipped + (not applied)
            if state.average is not None:
                state.average.update(done)
            stats |= {"gradient_norm": norm, "skipped": state.skipped, "unreadable": len(loader.unreadable)}
            if log is not None:
                stats |= _look(looks, state, passes.last, log, config)
                log.write(done, stats)
                looks.report(done, stats)
                if stopped or _due(done, config.checkpoint_every, config.steps):
                    checkpoints.save(state)
            if stopped:
                where = f"after update {done} of {config.steps}, which is kept"
                raise Interrupted(interruption.signal or SIGTERM, where)
    if first:
        _finish(looks, state)
    fabric.barrier()


@contextmanager
def _looked_at(state: State) -> Iterator[None]:
    """In evaluation mode, without gradients, with the average's weights: training goes on as if nothing was."""
    modes = [(part, part.training) for part in state.module.modules()]
    state.module.eval()
    try:
        with torch.no_grad(), state.average.worn() if state.average is not None else nullcontext():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def _look(looks: Looks, state: State, batch: SequenceBatch, log: RunLog, config: LoopConfig) -> dict[str, float]:
    """Validate and draw, where it is time to. Returns the numbers of the validation."""
    numbers: dict[str, float] = {}
    if looks.validate is not None and _due(state.done, looks.validate_every, config.steps):
        with _looked_at(state):
            numbers = looks.validate(state.done)
            if numbers.get("val_score", state.best) > state.best:
                state.best = numbers["val_score"]
                looks.save("best")
    if looks.picture is not None and config.pictures_every and _due(state.done, config.pictures_every, config.steps):
        with _looked_at(state):
            log.picture(state.done, looks.picture(batch))
    return numbers


def _finish(looks: Looks, state: State) -> None:
    if state.average is not None:
        looks.save("raw")
    with _looked_at(state):
        looks.save("last")


def _due(done: int, every: int, steps: int) -> bool:
    return done % every == 0 or done == steps
