"""What a run says of itself: one JSON line per step, the same as a table, pictures, and TensorBoard's events."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from traqpoint import optional
from traqpoint.errors import DataError, MissingDependencyError
from traqpoint.files import atomic
from traqpoint.image import write_image


class RunLog:
    """Appends to out/log.jsonl and out/log.csv, and to out/tensorboard with the `train` extra; out/pictures.

    start: updates done so far; what an interrupted run logged after its last checkpoint is dropped. Writing raises
    DataError where the disk is full.
    """

    def __init__(self, out: Path, start: int = 0) -> None:
        self._out = out
        self._file = file = out / "log.jsonl"
        kept = file.read_text().splitlines(keepends=True)[:start] if file.exists() else []
        with atomic(file) as partial:
            partial.write_text("".join(kept))
        self._lines = open(file, "a", buffering=1)  # noqa: SIM115
        self._columns: list[str] = []
        self._table: Any = None
        self._tabulate()
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
        self._table.close()
        if self._events is not None:
            self._events.close()

    def write(self, step: int, stats: dict[str, float]) -> None:
        """Log the numbers of update `step`, counted from 1."""
        row = {"step": step, **{k: round(v, 6) for k, v in stats.items()}}
        try:
            self._lines.write(json.dumps(row) + "\n")
            if row.keys() <= set(self._columns):
                csv.DictWriter(self._table, self._columns).writerow(row)
            else:
                self._tabulate()
        except OSError as error:
            raise DataError(f"{self._out}: the log cannot be written ({error.strerror})") from None
        if self._events is not None:
            for name, value in stats.items():
                self._events.add_scalar(name, value, step)

    def picture(self, step: int, image: np.ndarray) -> None:
        """Keep what the network saw at update `step`, uint8 (H, W, 3)."""
        write_image(self._out / "pictures" / f"{step:08}.png", image)
        if self._events is not None:
            self._events.add_image("batch", image, step, dataformats="HWC")

    def _tabulate(self) -> None:
        """Write the table anew, of all lines: at the start, and when a column comes that was not there before."""
        if self._table is not None:
            self._table.close()
        rows = [json.loads(line) for line in self._file.read_text().splitlines()]
        self._columns = list(dict.fromkeys(name for row in rows for name in row))
        self._table = open(self._out / "log.csv", "w", buffering=1, newline="")  # noqa: SIM115
        writer = csv.DictWriter(self._table, self._columns)
        if rows:
            writer.writeheader()
        writer.writerows(rows)
