"""Numbers of a run: one JSON line per step and, where TensorBoard is installed, its events."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from traqpoint import optional
from traqpoint.errors import MissingDependencyError
from traqpoint.files import atomic


class RunLog:
    """Appends to out/log.jsonl, and to out/tensorboard with the `train` extra.

    start: updates done so far; what an interrupted run logged after its last checkpoint is dropped.
    """

    def __init__(self, out: Path, start: int = 0) -> None:
        file = out / "log.jsonl"
        kept = file.read_text().splitlines(keepends=True)[:start] if file.exists() else []
        with atomic(file) as partial:
            partial.write_text("".join(kept))
        self._lines = open(file, "a", buffering=1)  # noqa: SIM115
        self._events: Any = None
        try:
            optional.load("tensorboard")
            self._events = optional.load("torch.utils.tensorboard").SummaryWriter(
                str(out / "tensorboard"), purge_step=start + 1
            )
        except MissingDependencyError:
            pass

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        if self._events is not None:
            self._events.close()

    def write(self, step: int, stats: dict[str, float]) -> None:
        """Log the numbers of update `step`, counted from 1."""
        self._lines.write(json.dumps({"step": step, **{k: round(v, 6) for k, v in stats.items()}}) + "\n")
        if self._events is not None:
            for name, value in stats.items():
                self._events.add_scalar(name, value, step)
