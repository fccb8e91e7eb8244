"""Checkpoints: model, optimiser, step and random state, written at once or not at all."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from traqpoint.errors import WeightsError
from traqpoint.files import atomic


def save_checkpoint(
    path: Path, step: int, module: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> None:
    """Write the state after `step` updates."""
    state = {
        "step": step,
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "generator": generator.get_state(),
    }
    with atomic(path, durable=True) as partial:
        torch.save(state, partial)


def load_checkpoint(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator) -> int:
    """Restore what save_checkpoint wrote and return its step. Raises WeightsError naming a file that does not fit."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        generator.set_state(state["generator"])
        return int(state["step"])
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{path}: not a checkpoint of this run ({reason})") from None
