"""``traqpoint info``"""

from __future__ import annotations

from dataclasses import dataclass

import tyro


@dataclass(frozen=True, kw_only=True)
class Info:
    """Show what a weight file holds: parameters, configuration, hash and licence; or what the package runs on."""

    weights: tyro.conf.Positional[str] = "traqpoint-s"
    """Packaged name or path of a .safetensors file."""

    environment: bool = False
    """Show versions, devices, threads and extras instead, as a bug report needs them."""

    def run(self) -> int:
        from traqpoint.apps.environment import environment
        from traqpoint.models.weights import describe_weights

        about = environment() if self.environment else describe_weights(self.weights)
        width = max(map(len, about))
        for key, value in about.items():
            print(f"{key:<{width}} {value}")
        return 0
