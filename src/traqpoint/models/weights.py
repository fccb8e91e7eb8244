"""Weight files: safetensors with the configuration and a content hash in the header. No code is ever executed."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from traqpoint import optional
from traqpoint.errors import ConfigError, MissingDependencyError, WeightsError
from traqpoint.files import atomic
from traqpoint.registry import is_loaded, is_outside
from traqpoint.tensors import content_hash, read_tensors

FOLDER = Path(__file__).parent.parent / "weights"
"""Where the weights that ship with the package lie."""

HUB_FILE = "model.safetensors"
"""The weights' file in a repository on the Hugging Face hub."""
HUB_URL = "https://huggingface.co/{name}/resolve/main/" + HUB_FILE
"""Where to fetch it by hand."""

TRUST = "TRAQPOINT_TRUST"
"""Environment variable: code that weight files may name, as module:name, separated by commas."""

Config = TypeVar("Config")


def available() -> list[str]:
    """Names of the weights that ship with the package."""
    return sorted(p.stem for p in FOLDER.glob("*.safetensors"))


def locate(name: str | Path) -> Path:
    """The file behind a packaged name, a path, a folder with model.safetensors, or "org/name" on the hub.

    Raises WeightsError with the known names, or with the file to fetch and where to put it if the hub does not answer.
    """
    packaged = FOLDER / f"{name}.safetensors"
    for path in (packaged, Path(name), Path(name) / HUB_FILE):
        if path.is_file():
            return path
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", str(name)) and Path(name).suffix != ".safetensors":
        return _from_hub(str(name))
    raise WeightsError(f"{name}: neither a weight file nor one of the packaged weights ({', '.join(available())})")


def _from_hub(name: str) -> Path:
    """Download (or find in the hub's cache) the weights of the repository "org/name"."""
    by_hand = f"or put {HUB_URL.format(name=name)} at {name}/{HUB_FILE}"
    try:
        hub = optional.load("huggingface_hub")
    except MissingDependencyError as error:
        raise MissingDependencyError(f"{name}: no such file here, and to ask the hub: {error}, {by_hand}") from None
    try:
        return Path(hub.hf_hub_download(name, HUB_FILE))
    except Exception as error:  # its errors are those of the network library below it, which changed
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"{name}: no such file here, and not to be had from the Hugging Face hub ({reason}); check the name and "
            f"the connection, {by_hand}"
        ) from None


def write(path: str | Path, state: Mapping[str, Tensor], config: dict[str, Any], metadata: dict[str, str]) -> str:
    """Write tensors, configuration and metadata at once or not at all; returns the content hash."""
    from safetensors.torch import save_file

    tensors = {k: v.detach().cpu().contiguous() for k, v in state.items()}
    digest = content_hash(tensors)
    with atomic(path) as partial:
        save_file(tensors, partial, metadata={**metadata, "config": json.dumps(config), "sha256": digest})
    return digest


def read(name: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a packaged name or of a file that `write` wrote.

    Raises WeightsError naming the file if it is missing, truncated, of another origin, or fails its hash.
    """
    path = locate(name)
    state, metadata = read_tensors(path)
    if "sha256" not in metadata or "config" not in metadata:
        raise WeightsError(f"{path}: not written by TraqPoint (no configuration in its header)")
    if content_hash(state) != metadata["sha256"]:
        raise WeightsError(f"{path}: the content does not match its hash; the file is corrupt")
    return state, metadata


def parse_config(kind: type[Config], metadata: Mapping[str, str], name: str | Path) -> Config:
    """Build the dataclass `kind` from the header. Raises WeightsError on unknown or bad values.

    And on values that name code outside of the package, such as a user's own backbone: a file that came from elsewhere
    must not choose what is run. Unless the program has imported it already, or the environment variable TRUST lists it.
    """
    try:
        values = json.loads(metadata["config"])
        for value in (v for v in values.values() if isinstance(v, str) and is_outside(v)):
            if not is_loaded(value) and value not in os.environ.get(TRUST, "").split(","):
                raise ConfigError(
                    f"it needs the code {value}, which no weight file may run: if you trust it, import it first, or "
                    f"set {TRUST}={value}"
                )
        unknown = set(values) - {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
        if unknown:
            raise ConfigError(f"unknown keys {', '.join(sorted(unknown))}")
        return kind(**values)
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{name}: the configuration in the header does not fit this version ({error})") from None


def describe_weights(name: str | Path) -> dict[str, str]:
    """File, parameter counts, configuration, sha256, licence and whatever else was written into the header.

    Raises WeightsError if there is no such packaged name or file, or it is damaged.
    """
    state, metadata = read(name)
    counts: dict[str, int] = {}
    for key, tensor in state.items():
        counts[key.split(".")[0]] = counts.get(key.split(".")[0], 0) + tensor.numel()
    parts = ", ".join(f"{part} {count:,}" for part, count in sorted(counts.items()))
    path = locate(name)
    about = {
        "file": f"{path} ({path.stat().st_size / 1e6:.1f} MB)",
        "parameters": f"{sum(counts.values()):,} ({parts})",
        "config": ", ".join(f"{key}={value}" for key, value in json.loads(metadata["config"]).items()),
        "sha256": metadata["sha256"],
        "license": metadata.get("license", "not stated in the file"),
    }
    return {**about, **{key: value for key, value in metadata.items() if key not in about}}
