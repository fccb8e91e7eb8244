"""The configuration beside every result: where it lies, and what an extractor says of itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from traqpoint.files import plain
from traqpoint.io.stores import format_of
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.tensors import content_hash


def settings_path(out: Path) -> Path:
    """``config.yaml`` in a result folder; ``<file>.config.yaml`` beside a result file."""
    return out / "config.yaml" if format_of(out) is None else out.with_name(f"{out.name}.config.yaml")


def matches_settings_path(out: Path) -> Path:
    """The same for matches; in a database they have a file of settings beside that of its features."""
    format = format_of(out)
    return settings_path(out.with_suffix(f".matches{out.suffix}") if format and format.is_one_file else out)


def describe_extractor(extractor: Any) -> dict[str, Any]:
    """The extractor's configuration, with the hash of its network's weights: a file of the same name may change."""
    config = plain(dataclasses.asdict(extractor.config))
    model = getattr(extractor, "model", None)
    if model is None:
        return config
    digest = model.sha256 if isinstance(model, TraqPoint) else content_hash(model.state_dict())
    return {**config, "weights_sha256": digest}
