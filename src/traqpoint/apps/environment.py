"""What a bug report has to say about the machine: versions, devices, threads, and which extras are there."""

from __future__ import annotations

import os
import platform
from importlib import metadata

import torch

from traqpoint import optional
from traqpoint._version import __version__
from traqpoint.device import computes_in_bf16, resolve_device
from traqpoint.models.weights import available

REQUIRED = (
    *("torch", "numpy", "opencv-python-headless", "h5py", "safetensors", "tyro", "PyYAML", "rich", "pillow"),
    *("filelock", "jinja2"),
)
"""What pip installs with the package, by the names that pip has for them."""
DISTRIBUTIONS = {
    "faiss": "faiss-cpu",
    "skimage": "scikit-image",
    "lightning_fabric": "lightning-fabric",
    "huggingface_hub": "huggingface-hub",
    "rerun": "rerun-sdk",
}
"""Optional modules whose packages are called otherwise."""


def environment() -> dict[str, str]:
    """Name -> value, in the order in which they are read: the package, the machine, then libraries and extras.

    Imports no optional library: one that is broken must not break the report on it.
    """
    device = resolve_device("auto")
    about = {
        "traqpoint": f"{__version__}, weights {', '.join(available())}",
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": platform.platform(),
        "processor": f"{platform.machine()}, {os.cpu_count()} cores, {_usable_cores()} of them for this program",
        "threads": f"{torch.get_num_threads()} of PyTorch, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', '')}",
        "device": f"{device}{_name_of(device)}, bf16 {'in hardware' if computes_in_bf16(device) else 'emulated'}",
        "cuda": torch.version.cuda or "not in this PyTorch",
    }
    libraries = {name: _version(name) or "missing" for name in REQUIRED}
    extras = {
        (name := DISTRIBUTIONS.get(module, module)): _version(name) or f"not installed (extra: {extra})"
        for module, extra in optional.EXTRAS.items()
    }
    return {**about, **libraries, **extras}


def _version(distribution: str) -> str | None:
    """As installed; OpenCV's other builds count, too. None if there is none."""
    builds = [distribution]
    if distribution.startswith("opencv"):
        builds += ["opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python"]
    for build in builds:
        try:
            version = metadata.version(build)
        except metadata.PackageNotFoundError:
            continue
        return version if build == distribution else f"{version} ({build})"
    return None


def _name_of(device: torch.device) -> str:
    return f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
