"""Means of weights over updates, and of running statistics over the batches of an update."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class Average:
    """Exponential mean of a module's weights and statistics over its updates: what is validated and exported.

    The decay of the n-th update is at most (1 + n) / (10 + n), so that a short run does not remember its random start.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self._module = module
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, done: int) -> None:
        """Take the module in as it is after `done` updates."""
        decay = min(self.decay, (1 + done) / (10 + done))
        for name, value in self._module.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)

    @contextmanager
    def worn(self) -> Iterator[None]:
        """The module has the mean's values inside, its own again afterwards."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, value in self._module.state_dict().items():
            own = value.clone()
            value.copy_(self.state[name])
            self.state[name].copy_(own)


class MeanBuffers:
    """Running statistics that do not depend on which process saw which batch: every batch of an update finds them as
    they were before it, and the update leaves the mean of what the batches made of them."""

    def __init__(self, module: nn.Module) -> None:
        self._buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
        self.begin()

    @torch.no_grad()
    def begin(self) -> None:
        """Start a sum: from here on `sums` grow from zero."""
        self._before = [buffer.clone() for buffer in self._buffers]
        self.sums = [torch.zeros_like(buffer) for buffer in self._buffers]

    @torch.no_grad()
    def take(self) -> None:
        """After one batch."""
        for buffer, before, total in zip(self._buffers, self._before, self.sums, strict=True):
            total.add_(buffer)
            buffer.copy_(before)

    @torch.no_grad()
    def end(self, batches: int) -> None:
        """Once `sums` are those of all processes. batches: of the update, in all of them."""
        for buffer, total in zip(self._buffers, self.sums, strict=True):
            buffer.copy_(total / batches)

    @torch.no_grad()
    def restore(self) -> None:
        """As before the update: what was not finite in it would stay in the statistics for ever."""
        for buffer, before in zip(self._buffers, self._before, strict=True):
            buffer.copy_(before)
