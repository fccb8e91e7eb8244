"""What is evaluated: anything that maps an image to Features and can say what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Protocol

from traqpoint.errors import ConfigError, TraqPointError
from traqpoint.evaluation.methods import edgepoint2, kornia, opencv
from traqpoint.evaluation.methods.described import SEPARATOR, described
from traqpoint.evaluation.methods.own import own_method
from traqpoint.evaluation.methods.stored import StoredFeatures
from traqpoint.inference.extractor import Extractor, Image
from traqpoint.models.weights import available
from traqpoint.registry import Registry, is_outside
from traqpoint.types import Features


class Method(Protocol):
    """The Extractor and its peers. An image is a path, a uint8 (H, W, 3) RGB array or a float (3, H, W) tensor."""

    @property
    def config(self) -> Any:
        """A frozen dataclass that identifies the features, with `max_keypoints` and `long_side`."""
        ...

    def __call__(self, image: Image) -> Features: ...


METHODS: Registry[Callable[..., Any]] = Registry("method", {**opencv.PEERS, **kornia.PEERS, **edgepoint2.PEERS})
"""Name -> build(max_keypoints, long_side, device, peers), which returns what maps an image to Features.

All arguments are given by name. What is built and has a `config` obeys max_keypoints and long_side itself, as the
Extractor does; what has none is wrapped by `own_method`. peers: folder with weights, or None.
"""


def build_method(
    name: str,
    max_keypoints: int = 2048,
    long_side: int | None = None,
    peers: Path | None = None,
    device: str = "auto",
    **ours: Any,
) -> Method:
    """The method called `name`.

    name: packaged weights or the path of a weight file (ours); a name in METHODS; "kornia:CLASS", another local feature
    of kornia.feature; "features:PATH", an npz folder or hloc HDF5 file computed elsewhere; "KEYPOINTS+DESCRIPTORS",
    keypoints of weights of ours described by others or by a teacher; "module:build" or "file.py:build", a function of
    your own with METHODS' arguments. peers: folder with the weights of other methods;
    without it kornia downloads its own. ours: more options of the Extractor, for our weights.
    Raises ConfigError for an unknown name, or if your code fails or builds nothing
    that can be called, WeightsError for weights that are missing or damaged.
    """
    if name.startswith("features:"):
        return StoredFeatures(name.removeprefix("features:"), max_keypoints)
    options: dict[str, Any] = {"max_keypoints": max_keypoints, "long_side": long_side, "device": device, "peers": peers}
    if name.startswith("kornia:"):
        return kornia.build(name, **options)
    if SEPARATOR in name and not Path(name).exists() and not is_outside(name):
        return described(name, **options)
    if name in METHODS:
        return as_method(_built(name, options), max_keypoints, long_side, device, name)
    if not Path(name).exists() and name not in available() and "/" not in name:
        known = ", ".join([*available(), *METHODS])
        raise ConfigError(
            f"{name}: no such method; known are {known}, kornia:CLASS, features:PATH, weight files, "
            "KEYPOINTS+DESCRIPTORS, and your own as module:build"
        )
    return Extractor(name, max_keypoints=max_keypoints, long_side=long_side, device=device, **ours)


def as_method(
    extractor: Any, max_keypoints: int = 2048, long_side: int | None = None, device: str = "cpu", name: str = ""
) -> Method:
    """`extractor` itself if it can say what it is; any other callable under the protocol of `own_method`.

    Raises ConfigError for what cannot be called.
    """
    name = name or getattr(extractor, "__name__", type(extractor).__name__)
    if not callable(extractor):
        raise ConfigError(f"{name}: a method maps an image to Features; {type(extractor).__name__} cannot be called")
    config = getattr(extractor, "config", None)
    if is_dataclass(config) and hasattr(config, "max_keypoints") and hasattr(config, "long_side"):
        return extractor
    return own_method(extractor, name, max_keypoints, long_side, device)


def label(method: Method) -> str:
    """Short name in tables and folders: the weights' name without folders and suffix, the peer's name, or of your own
    the module's (unless its function is called other than build)."""
    name = getattr(method.config, "weights", None) or method.config.name
    name = name.removeprefix("features:").removeprefix("kornia:")
    if SEPARATOR in name and not Path(name).exists():
        return SEPARATOR.join(Path(part).stem for part in name.split(SEPARATOR))
    if is_outside(name):
        place, _, function = name.rpartition(":")
        module = Path(place).stem if place.endswith(".py") else place.rpartition(".")[2]
        return module if function == "build" else f"{module}-{function}"
    return Path(name).stem


def _built(name: str, options: dict[str, Any]) -> Any:
    build = METHODS[name]
    try:
        return build(**options)
    except TraqPointError:
        raise
    except Exception as error:  # whatever the user's code raises
        raise ConfigError(f"{name}: cannot be built ({type(error).__name__}: {error})") from error
