"""The one door through which libraries that `import traqpoint` must not load come in."""

from __future__ import annotations

import importlib
from types import ModuleType

from traqpoint.errors import MissingDependencyError

EXTRAS = {
    "pycolmap": "sfm",
    "poselib": "eval",
    "faiss": "retrieval",
    "ray": "ray",
    "fsspec": "ray",
    "matplotlib": "viz",
    "skimage": "demo",
    "tensorboard": "train",
    "lightning_fabric": "train",
    "kornia": "eval",
    "onnx": "export",
    "onnxruntime": "export",
    "openvino": "openvino",
    "huggingface_hub": "hub",
    "rerun": "viz3d",
    "gradio": "web",
}
"""Module that not everyone needs -> the extra of the package that brings it."""


def load(name: str) -> ModuleType:
    """Import module `name` on first use.

    Raises MissingDependencyError with the pip command if it is not installed.
    """
    if name.split(".")[0] == "pycolmap":
        # pycolmap >= 4.1 carries its own zlib: loaded first, it aborts later PNG writes of Pillow and OpenCV.
        import zlib  # noqa: F401
    try:
        return importlib.import_module(name)
    except ImportError as error:
        extra = EXTRAS.get(name.split(".")[0])
        if extra is None:
            raise
        raise MissingDependencyError(f"{name} is not installed: pip install 'traqpoint[{extra}]'") from error
