"""``traqpoint convert``"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    from traqpoint.tensors import Comparison


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Convert the authors' checkpoint to our traqpoint-b. Nothing in the file is executed."""

    checkpoint: tyro.conf.Positional[Path]
    """traqpoint_best.pth or stage1_des.pth."""
    out: Path
    """File to write, .safetensors."""
    partial: bool = False
    """Write even if tensors are missing, unexpected or misshapen; what is missing gets its initial values."""

    def run(self) -> int:
        from traqpoint.models.convert import convert

        digest = convert(self.checkpoint, self.out, self.partial, _print)
        print(f"{self.out}: sha256 {digest}")
        return 0


def _print(comparison: Comparison) -> None:
    for line in comparison.lines():
        print(line, file=sys.stderr)
