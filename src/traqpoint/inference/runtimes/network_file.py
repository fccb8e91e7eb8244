"""The ONNX file that ONNX Runtime and OpenVINO run: the user's, or one that is made once and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from traqpoint.image import list_images, pad_to_multiple, read_image, resize_long_side, to_tensor
from traqpoint.inference.config import CALIBRATIONS, ExtractorConfig
from traqpoint.inference.runtimes.cache import cached
from traqpoint.inference.runtimes.graph import check_network, inputs_of, write_network
from traqpoint.inference.runtimes.quantize import EXACT, quantize
from traqpoint.models.traqpoint import TraqPoint

CALIBRATION_IMAGES, CALIBRATION_PX = 64, 640
"""At most so many, spread over all, with longer sides of at most so many pixels: scales do not change any more."""


def network_file(model: TraqPoint, config: ExtractorConfig) -> Path:
    """For the weights and the precision of the configuration.

    Raises FormatError or WeightsError if the user's file is another one, DataError or ImageError for calibration images
    that cannot be read.
    """
    precision = "int8" if config.precision == "int8" else "float32"
    if config.network is not None:
        check_network(Path(config.network), model, precision)
        return Path(config.network)
    plain = cached((model.sha256,), lambda path: write_network(model, path))
    if precision == "float32":
        return plain
    made_of = (model.sha256, precision, *EXACT, config.calibration_images, _stamp(config.calibration_images))
    images = images_of(config.calibration_images)
    examples = (inputs_of(pad_to_multiple(x, model.stride)[None], [(x.shape[-1], x.shape[-2])]) for x in images)
    return cached(made_of, lambda path: quantize(plain, path, examples))


def images_of(name: str) -> Iterable[Tensor]:
    """Images (3, H, W) of a folder, or of what is registered under that name."""
    if not Path(name).is_dir():
        return CALIBRATIONS[name]()
    return (resize_long_side(to_tensor(read_image(path), str(path)), CALIBRATION_PX) for path in _chosen(name))


def _chosen(folder: str) -> list[Path]:
    paths = list_images(folder)
    return paths[:: -(-len(paths) // CALIBRATION_IMAGES)]


def _stamp(name: str) -> str:
    """Changes with the images of a folder."""
    if not Path(name).is_dir():
        return ""
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in _chosen(name)]
    return hashlib.sha256(repr(stats).encode()).hexdigest()
