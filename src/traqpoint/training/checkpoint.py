"""Checkpoints: all that a run needs to go on, written at once or not at all."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from traqpoint._version import __version__
from traqpoint.errors import ConfigError, DataError, WeightsError
from traqpoint.files import atomic, differences, plain
from traqpoint.tensors import fit
from traqpoint.training.average import Average


@dataclass
class State:
    """What changes while a run trains.

    Schedule, place in the data and all random numbers are functions of `done` and the configuration's seed: each batch
    has generators of its own. So nothing else has to be kept for a run that goes on to be the same run.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    average: Average | None = None
    """Of the module's weights, if there is one."""
    done: int = 0
    """Updates."""
    skipped: int = 0
    """Updates left out because something was not finite."""
    best: float = float("-inf")
    """Best score of a validation."""


class Checkpoints:
    """The newest `keep` states of a run, one file each in `folder`, named by the number of updates."""

    def __init__(
        self, folder: Path, keep: int, configuration: Mapping[str, Any], changed: Collection[str] = ()
    ) -> None:
        """changed: names of settings that may differ from a checkpoint's."""
        self.folder = folder
        self._keep = keep
        self._configuration = plain(configuration)
        self._changed = changed

    def save(self, state: State) -> None:
        """Write `state`. Raises DataError if the disk is full, say; what was there is intact then."""
        content = {
            "done": state.done,
            "skipped": state.skipped,
            "best": state.best,
            "module": state.module.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "average": None if state.average is None else state.average.state,
            "configuration": self._configuration,
            "versions": {"traqpoint": __version__, "torch": str(torch.__version__)},
        }
        path = self.folder / f"{state.done:08}.pt"
        buffer = io.BytesIO()
        torch.save(content, buffer)
        try:
            with atomic(path, durable=True) as partial:
                partial.write_bytes(buffer.getbuffer())
        except OSError as error:
            kept = self.files()
            last = f"the last good one is {kept[-1].name}" if kept else "there is none before it"
            raise DataError(f"{path}: the checkpoint cannot be written ({error.strerror}); {last}") from None
        for old in self.files()[: -self._keep]:
            old.unlink()

    def files(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.folder.glob("[0-9]*.pt"))

    def load(self, state: State) -> None:
        """Put the newest checkpoint into `state`, if there is one.

        Raises WeightsError for a file that is damaged or another network's, ConfigError for another configuration's.
        """
        for left in self.folder.glob(".*.partial.pt"):  # of a process that was killed
            left.unlink(missing_ok=True)
        if not (files := self.files()):
            return
        path = files[-1]
        content = _read(path, files[-2].name if len(files) > 1 else None)
        if found := differences(content["configuration"], self._configuration, self._changed):
            raise ConfigError(f"{path}: a checkpoint of another configuration ({'; '.join(found)})")
        if wrong := fit(state.module, content["module"])[1]:
            raise WeightsError(f"{path}: a checkpoint of another network: {wrong.summary()}")
        state.module.load_state_dict(content["module"])
        state.optimizer.load_state_dict(content["optimizer"])
        if state.average is not None:
            kept = content["average"] or content["module"]
            for name, value in state.average.state.items():
                value.copy_(kept[name])
        state.done, state.skipped, state.best = content["done"], content["skipped"], content["best"]


def _read(path: Path, before: str | None) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or "done" not in content:
            raise ValueError("something else is in it")
        return content
    except Exception as error:  # the unpickler raises nearly everything for a damaged file
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        advice = f"delete it to go on from {before}" if before else "delete it to begin anew"
        raise WeightsError(f"{path}: not a checkpoint ({reason}); {advice}") from None
