"""An update's batches, forth and back."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from traqpoint.data.loader import Loader, batch_generator
from traqpoint.device import computes_in_bf16
from traqpoint.training.average import MeanBuffers
from traqpoint.training.config import LoopConfig
from traqpoint.training.processes import mean_stats, shared
from traqpoint.types import SequenceBatch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Step = Callable[[SequenceBatch, int, torch.Generator], tuple[Tensor, dict[str, float]]]
"""(batch, updates done, generator) -> (loss, stats)."""


class Passes:
    """The batches of an update that this process makes, forth and back."""

    last: SequenceBatch
    """The latest of them."""

    def __init__(self, fabric: Fabric, module: nn.Module, step: Step, config: LoopConfig) -> None:
        self._fabric, self._step, self._config = fabric, step, config
        self._network = shared(fabric, module)
        self.all = config.steps * config.accumulate
        self._own = range(fabric.global_rank, config.accumulate, fabric.world_size)
        self._buffers = MeanBuffers(module)
        automatic = config.precision == "auto" and computes_in_bf16(fabric.device)
        self._low = config.precision == "bf16" or automatic

    def numbers(self, done: int) -> list[int]:
        """Of all batches that this process makes after `done` updates."""
        config = self._config
        updates = range(done, config.steps)
        return [(0 if config.overfit else update) * config.accumulate + k for update in updates for k in self._own]

    def __call__(self, loader: Loader, done: int, stop: bool) -> tuple[Tensor, bool, dict[str, float]]:
        """Leaves the mean gradient of update number `done`. Returns the mean loss, whether any process is to `stop`,
        and mean stats with the seconds that data and network took."""
        fabric, own, losses, stats, waited, began = self._fabric, self._own, [], [], 0.0, time.perf_counter()
        self._buffers.begin()
        for k in own:
            asked = time.perf_counter()
            self.last = batch = next(loader).to(fabric.device)
            waited += time.perf_counter() - asked
            number = (done - 1) * self._config.accumulate + k
            seed_globals(self._config.seed, number)
            generator = batch_generator(self._config.seed, number, part=1)
            with fabric.no_backward_sync(self._network, enabled=k != own[-1]):
                loss, more = self._network(partial(self._forth, batch, done - 1, generator))
                fabric.backward(loss / len(own))
            losses.append(loss.detach())
            stats.append(more)
            self._buffers.take()
        for total in self._buffers.sums:
            fabric.all_reduce(total, reduce_op="sum")
        self._buffers.end(self._config.accumulate)
        common = torch.stack([torch.stack(losses).mean(), loss.new_tensor(float(stop))])
        loss, stops = fabric.all_reduce(common, reduce_op="mean")
        seconds = {"data_s": waited, "step_s": time.perf_counter() - began - waited}
        return loss, bool(stops > 0), mean_stats(fabric, [row | seconds for row in stats])

    def undo(self) -> None:
        """Forget what the last update's batches did to running statistics."""
        self._buffers.restore()

    def _forth(self, batch: SequenceBatch, done: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        with torch.autocast(self._fabric.device.type, torch.bfloat16, enabled=self._low):
            return self._step(batch, done, generator)


def seed_globals(seed: int, number: int) -> None:
    """What draws from no generator of its own (dropout, code of a user's) draws the same in batch `number` whenever a
    run with `seed` makes it."""
    own = int(np.random.SeedSequence([seed, number, 2]).generate_state(1, np.uint32)[0])
    random.seed(own)
    np.random.seed(own)  # noqa: NPY002  that is the generator meant
    torch.manual_seed(own)
