"""``traqpoint info``"""

from __future__ import annotations

from dataclasses import dataclass

import tyro


@dataclass(frozen=True, kw_only=True)
class Info:
    """Show what a weight file holds: parameters, configuration, hash and licence."""

    weights: tyro.conf.Positional[str] = "traqpoint-s"
    """Packaged name or path of a .safetensors file."""

    def run(self) -> int:
        from traqpoint.models.weights import describe_weights

        for key, value in describe_weights(self.weights).items():
            print(f"{key:<12} {value}")
        return 0
