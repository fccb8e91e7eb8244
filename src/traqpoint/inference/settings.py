"""The configuration beside every result: where it lies, and what an extractor says of itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from traqpoint.files import plain
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.tensors import content_hash

FORMAT_OF_SUFFIX = {".h5": "hloc", ".hdf5": "hloc", ".db": "colmap"}
"""Results that are one file; everything else is a folder, whatever dots its name has."""


def settings_path(out: Path) -> Path:
    """``config.yaml`` in a result folder; ``<stem>.config.yaml`` beside a result file."""
    is_file = out.suffix.lower() in FORMAT_OF_SUFFIX
    return out.with_name(f"{out.stem}.config.yaml") if is_file else out / "config.yaml"


def describe_extractor(extractor: Any) -> dict[str, Any]:
    """The extractor's configuration, with the hash of its network's weights: a file of the same name may change."""
    config = plain(dataclasses.asdict(extractor.config))
    model = getattr(extractor, "model", None)
    if model is None:
        return config
    digest = model.sha256 if isinstance(model, TraqPoint) else content_hash(model.state_dict())
    return {**config, "weights_sha256": digest}
