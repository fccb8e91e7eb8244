"""A network as an ONNX file, which says in its metadata what it was made of."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from traqpoint import optional
from traqpoint._version import __version__
from traqpoint.errors import FormatError, WeightsError
from traqpoint.files import atomic
from traqpoint.models.descriptor import Sizes
from traqpoint.models.traqpoint import TraqPoint

NETWORK = "network"
"""The graph that runtimes run: images, sizes -> logits and maps."""


OPSET = 17
"""Of the operators: what ONNX Runtime, its builds for the web and OpenVINO have had since 2022."""

MAPS = {0: "batch", 2: "height", 3: "width"}
"""What is free of images and maps; heights and widths of maps are those of the images, divided."""


class Network(nn.Module):
    """images (B, 3, H, W), sizes (B, 2) int64 (W, H) -> logits (B, 1, H, W), and maps to read descriptors of."""

    def __init__(self, model: TraqPoint) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, sizes: Any) -> tuple[Tensor, ...]:
        maps = self.model.descriptor.maps(images, sizes)
        return self.model.logits(images, maps), *maps


PIXELS = "origin at the image's top-left corner, first pixel's centre at (0.5, 0.5), x to the right, y down"

INPUTS = ("images", "sizes")
"""Of that graph, in their order; of a network that ignores padding it lacks the second."""


def inputs_of(images: Tensor, sizes: Sizes) -> dict[str, Tensor]:
    """What they get: images (B, 3, H, W), of which the top-left sizes[i] = (W, H) pixels are no padding."""
    return dict(zip(INPUTS, (images.contiguous(), torch.tensor(sizes)), strict=True))


def write_network(model: TraqPoint, path: Path) -> Path:
    """The graph NETWORK of a folded model, for batches and sizes of any number; sides are multiples of its stride."""
    network, (height, width) = Network(model), (2 * model.stride, 3 * model.stride)
    example = {"images": torch.zeros(2, 3, height, width), "sizes": torch.tensor([[width, height]] * 2)}
    with torch.no_grad():
        maps = len(network(**example)) - 1
    outputs = {f"map{i}": MAPS for i in range(maps)}
    free = {"images": MAPS, "sizes": {0: "batch"}, "logits": MAPS, **outputs}
    return write_graph(network, example, free, path, describe(model, NETWORK))


def write_graph(
    module: nn.Module,
    example: Mapping[str, Tensor],
    free: Mapping[str, Mapping[int, str]],
    path: Path,
    metadata: Mapping[str, str],
) -> Path:
    """`module` as an ONNX file, traced with inputs like `example`.

    free: input or output -> its dimensions of any length, with their names; outputs in their order. By the exporter
    that traces: the other one, which reasons about sizes, takes half a minute where this takes less than a second, and
    does not follow what depends on data. Raises MissingDependencyError without onnx, WeightsError for a network that
    cannot be followed.
    """
    optional.load("onnx")
    with atomic(path) as partial, warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), quiet():
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                module.eval(),
                tuple(example.values()),
                str(partial),
                input_names=list(example),
                output_names=[name for name in free if name not in example],
                dynamic_axes={name: dict(dimensions) for name, dimensions in free.items()},
                opset_version=OPSET,
                dynamo=False,
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise WeightsError(f"this network cannot become a graph ({reason})") from None
        _declare(partial, module, example, free)
        write_metadata(partial, metadata)
    return path


def _declare(
    path: Path, module: nn.Module, example: Mapping[str, Tensor], free: Mapping[str, Mapping[int, str]]
) -> None:
    """Write into the file how long those dimensions of the outputs are that are not free: the tracer forgets some."""
    onnx = optional.load("onnx")
    graph = onnx.load(path)
    with torch.no_grad():
        found = module(*example.values())
    for entry, value in zip(graph.graph.output, found, strict=True):
        for i, dimension in enumerate(entry.type.tensor_type.shape.dim):
            if i not in free[entry.name]:
                dimension.dim_value = value.shape[i]
    onnx.save(graph, path)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No log lines below errors: exporters tell of every library that they do without."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def describe(model: TraqPoint, graph: str) -> dict[str, str]:
    """What a file says of itself. graph: what it computes."""
    return {
        "traqpoint.graph": graph,
        "traqpoint.version": __version__,
        "traqpoint.weights_sha256": model.sha256,
        "traqpoint.precision": "float32",
        "traqpoint.pixels": PIXELS,
        "traqpoint.stride": str(model.stride),
        "traqpoint.descriptor_stride": str(model.descriptor.output_stride),
        "traqpoint.license": model.metadata.get("license", "not stated with the weights"),
    }


def check_network(path: Path, model: TraqPoint, precision: str) -> None:
    """Raises FormatError if the file is no such graph in that precision, WeightsError if it is of other weights."""
    found = read_metadata(path)
    graph, digest = found.get("traqpoint.graph"), found.get("traqpoint.weights_sha256", "")
    if graph != NETWORK:
        what = f"holds the graph {graph!r}" if graph else "was not written by TraqPoint"
        raise FormatError(f"{path}: {what}; write one by: traqpoint export onnx --graph {NETWORK}")
    if digest != model.sha256:
        raise WeightsError(f"{path}: made of other weights ({digest[:12]}) than those given ({model.sha256[:12]})")
    if found["traqpoint.precision"] != precision:
        raise FormatError(f"{path}: computes in {found['traqpoint.precision']}, not in {precision}")


def read_metadata(path: Path) -> dict[str, str]:
    """Raises FormatError if there is no such file, or it is no ONNX."""
    onnx = optional.load("onnx")
    try:
        model = onnx.load(path, load_external_data=False)
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file") from None
    except Exception as error:  # protobuf's errors have no common base
        raise FormatError(f"{path}: not an ONNX file ({type(error).__name__})") from None
    return {entry.key: entry.value for entry in model.metadata_props}


def write_metadata(path: Path, changes: Mapping[str, str]) -> None:
    """Add to or change what an ONNX file says of itself, in place."""
    onnx = optional.load("onnx")
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {**{e.key: e.value for e in model.metadata_props}, **changes})
    onnx.save(model, path)
