"""Networks as ONNX files, each held against PyTorch before it is there."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from traqpoint.errors import ConfigError, TraqPointError, WeightsError
from traqpoint.export.config import ExportConfig
from traqpoint.export.kinds import GRAPHS, inputs_of
from traqpoint.export.parity import Run, agreement, run_file
from traqpoint.files import atomic
from traqpoint.inference.runtimes.graph import MAPS, NETWORK, describe, write_graph, write_metadata, write_network
from traqpoint.inference.runtimes.network_file import images_of
from traqpoint.inference.runtimes.quantize import quantize
from traqpoint.models.traqpoint import TraqPoint


def export_onnx(
    weights: str | Path | TraqPoint,
    path: str | Path,
    image_size: tuple[int, int] | None = None,
    graph: str = "full",
    **options: Any,
) -> Path:
    """Write an ONNX file; docs/runtimes.md says what goes in and comes out. Its metadata hold how it was made, and how
    well it agrees with PyTorch.

    graph: a key of GRAPHS, or "network". options: ExportConfig. Raises ConfigError for a size that the graph does not
    take, WeightsError for a network that cannot become a graph, or whose graph finds other keypoints.
    """
    path, config = Path(path), ExportConfig(image_size, **options)
    model = ready(weights)
    with atomic(path) as partial:
        if graph == NETWORK:
            write_network(model, partial)
        else:
            _write(model, graph, partial, config)
        if config.precision == "int8":
            images = images_of(config.calibration_images)
            quantize(partial, partial, (inputs_of(graph, model.stride, image) for image in images))
        write_metadata(partial, {"traqpoint.parity": checked(run_file(partial), graph, model, config, path)})
    return path


def ready(weights: str | Path | TraqPoint) -> TraqPoint:
    """Folded, on the CPU; a model in memory stays as it is."""
    model = copy.deepcopy(weights) if isinstance(weights, TraqPoint) else TraqPoint.from_pretrained(weights)
    return model.folded().cpu()


def checked(run: Run, graph: str, model: TraqPoint, config: ExportConfig, path: Path) -> str:
    """How well a file agrees with PyTorch. Raises WeightsError naming `path` if one in float32 does not."""
    try:
        found = agreement(run, graph, model, config)
    except TraqPointError:
        raise
    except Exception as error:  # the runtimes' have no common base: a size of the example was written into the graph
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(f"{path}: this network cannot become a graph ({reason})") from None
    if config.precision == "float32" and not found.holds:
        raise WeightsError(f"{path}: the graph does not compute what the network does: {found}")
    return str(found)


def _write(model: TraqPoint, graph: str, path: Path, config: ExportConfig) -> None:
    kind = GRAPHS[graph]
    width, height = config.image_size or (3 * model.stride + 5 * kind.any_side, 2 * model.stride + 11 * kind.any_side)
    if not kind.any_side and (width < 1 or height < 1 or width % model.stride or height % model.stride):
        raise ConfigError(f"image_size must be multiples of {model.stride}, got {width}x{height}")
    example = inputs_of(graph, model.stride, torch.rand(3, height, width, generator=torch.Generator().manual_seed(0)))
    free = {kind.image: MAPS, **kind.outputs}
    if kind.batch is None:
        example[kind.image] = example[kind.image].repeat(2, 1, 1, 1)
    else:
        free = {name: {i: what for i, what in dimensions.items() if i > 0} for name, dimensions in free.items()}
    if config.image_size is not None:
        free = {name: {i: w for i, w in d.items() if w not in ("height", "width")} for name, d in free.items()}
    made = {f"traqpoint.{name}": str(getattr(config, name)) for name in ("nms_radius", "prominence", "border")}
    metadata = describe(model, graph) | (made if kind.limits else {})
    write_graph(kind.build(model, config.detection()), example, free, path, metadata)
