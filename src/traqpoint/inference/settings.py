"""The configuration beside every result: written, compared, and never mixed with another one's results."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from traqpoint._version import __version__
from traqpoint.errors import ConfigError, FormatError, WeightsError
from traqpoint.io.stores import format_of
from traqpoint.models import weights

_NOT_COMPARED = frozenset({"device", "version"})
"""What does not change the meaning of a result."""


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


def plain(value: Any) -> Any:
    """`value` in types that YAML and JSON know."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def read_settings(path: Path) -> dict[str, Any] | None:
    """What `claim` wrote; None if there is no such file. Raises FormatError if it is not YAML."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise FormatError(f"{path}: not a readable YAML file ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict):
        raise FormatError(f"{path}: expected a YAML mapping")
    return content


def claim(
    out: Path, path: Path, config: dict[str, Any], found: bool, overwrite: bool, clear: Callable[[], None]
) -> None:
    """Make sure that the results in `out` are of `config`, and write it to `path`.

    found: whether there are results already. overwrite: `clear` them. Raises ConfigError
    naming the settings that differ, or if there are results of unknown configuration.
    """
    config = {"version": __version__, **plain(config)}
    known = read_settings(path)
    if found and overwrite:
        # A file is replaced whole; in a folder that is not known to be ours, only the files of the same name are.
        if known is not None or out.is_file():
            clear()
    elif found:
        advice = "choose another output, or replace them (--overwrite, or delete them)"
        if known is None:
            raise ConfigError(f"{out}: holds results of an unknown configuration (no {path.name}); {advice}")
        different = _differences(known, config)
        if different:
            raise ConfigError(f"{out}: holds results of another configuration ({'; '.join(different)}); {advice}")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    partial.replace(path)


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [] if old == new else [f"{name}: {old} there, {new} here"]
    out = []
    for key in dict.fromkeys([*old, *new]):
        if key not in _NOT_COMPARED:
            out += _differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    return out
