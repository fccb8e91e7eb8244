"""What a weight file says about itself."""

from __future__ import annotations

import json
from pathlib import Path

from traqpoint.models import weights


def describe_weights(name: str | Path) -> dict[str, str]:
    """File, parameter counts, configuration, sha256, licence and whatever else was written into the header.

    Raises WeightsError if there is no such packaged name or file, or it is damaged.
    """
    state, metadata = weights.read(name)
    counts: dict[str, int] = {}
    for key, tensor in state.items():
        counts[key.split(".")[0]] = counts.get(key.split(".")[0], 0) + tensor.numel()
    parts = ", ".join(f"{part} {count:,}" for part, count in sorted(counts.items()))
    path = weights.locate(name)
    about = {
        "file": f"{path} ({path.stat().st_size / 1e6:.1f} MB)",
        "parameters": f"{sum(counts.values()):,} ({parts})",
        "config": ", ".join(f"{key}={value}" for key, value in json.loads(metadata["config"]).items()),
        "sha256": metadata["sha256"],
        "license": metadata.get("license", "not stated in the file"),
    }
    return {**about, **{key: value for key, value in metadata.items() if key not in about}}
