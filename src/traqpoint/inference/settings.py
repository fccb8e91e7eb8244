"""The configuration beside every result: where it lies, and what an extractor says of itself."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

from traqpoint.errors import WeightsError
from traqpoint.files import plain
from traqpoint.io.stores import format_of
from traqpoint.models import weights


def settings_path(out: Path) -> Path:
    """``config.yaml`` in a result folder; ``<stem>.config.yaml`` beside a result file."""
    return out / "config.yaml" if format_of(out) is None else out.with_name(f"{out.stem}.config.yaml")


def describe_extractor(extractor: Any) -> dict[str, Any]:
    """The extractor's configuration, with the hash of its weights: a file of the same name may change.

    Of a model that came from no file of ours, the hash is that of the tensors as they are used for inference.
    """
    config = plain(dataclasses.asdict(extractor.config))
    with contextlib.suppress(WeightsError):
        if "weights" in config:
            return {**config, "weights_sha256": weights.read(config["weights"])[1]["sha256"]}
    if hasattr(extractor, "model"):
        config["weights_sha256"] = weights.content_hash(extractor.model.state_dict())
    return config
