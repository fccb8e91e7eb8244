"""The processes of a training: one, or those that torchrun has started; and how they share an update.

An update is made of loop.accumulate batches, which the processes share. Its gradient is the mean of the batches', so it
is the same however many processes there are, up to the order of sums; and so are the running statistics of BatchNorms.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from traqpoint import optional
from traqpoint.device import resolve_device
from traqpoint.errors import ConfigError
from traqpoint.training.config import LoopConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.wrappers import _FabricModule

PATIENCE = timedelta(hours=1)
"""How long processes wait for the one that validates."""


def launch(config: LoopConfig) -> Fabric:
    """This process among the others. Raises ConfigError if they cannot share the batches of an update."""
    device = resolve_device(config.device)
    lightning = optional.load("lightning_fabric")
    environments = optional.load("lightning_fabric.plugins.environments")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    if not is_one_of_many():
        own = 1 if device.index is None or device.type == "cpu" else [device.index]
        return lightning.Fabric(accelerator=device.type, devices=own, plugins=[environments.LightningEnvironment()])
    # Weights are laid out as convolutions read them, gradients as they come: only the memory's order differs.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    there, here = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if config.accumulate % there:
        raise ConfigError(
            f"{there} processes cannot share {config.accumulate} batches per update: "
            f"make loop.accumulate a multiple of {there}"
        )
    strategy = optional.load("lightning_fabric.strategies").DDPStrategy(
        process_group_backend="nccl" if device.type == "cuda" else "gloo",
        timeout=PATIENCE,
        find_unused_parameters=True,  # a batch without teachers asks less of the network
        broadcast_buffers=False,  # see MeanBuffers
    )
    fabric = lightning.Fabric(
        accelerator=device.type,
        devices=here,
        num_nodes=there // here,
        strategy=strategy,
        plugins=[environments.TorchElasticEnvironment()],
    )
    fabric.launch()
    return fabric


def is_one_of_many() -> bool:
    """Whether torchrun has started this process."""
    return torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()


def shared(fabric: Fabric, trained: nn.Module) -> _FabricModule:
    """What calls a step, and sees to it that its backward pass leaves the same gradients of `trained` everywhere."""
    with warnings.catch_warnings():  # of broadcast_buffers, by whose new name older versions do not know it
        warnings.simplefilter("ignore")
        return fabric.setup_module(_Pass(trained))


class _Pass(nn.Module):
    """Forward pass and loss as one module, which is what DDP wraps."""

    def __init__(self, trained: nn.Module) -> None:
        super().__init__()
        self.trained = trained

    def forward(self, step: Callable[[], tuple[Tensor, dict[str, float]]]) -> tuple[Tensor, dict[str, float]]:
        loss, stats = step()
        if not loss.requires_grad:  # the other processes wait for a gradient
            loss = loss + 0 * next(p for p in self.trained.parameters() if p.requires_grad).sum()
        return loss, stats


def mean_stats(fabric: Fabric, stats: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means over all batches of an update, each over the batches that have it."""
    everywhere: list[Any] = [stats]
    if fabric.world_size > 1:
        everywhere = [None] * fabric.world_size
        torch.distributed.all_gather_object(everywhere, stats)
    rows = [row for rows in everywhere for row in rows]
    names = dict.fromkeys(name for row in rows for name in row)
    found = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: sum(values) / len(values) for name, values in found.items()}
