"""Networks as OpenVINO's files, each held against PyTorch before it is there."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.errors import ConfigError
from traqpoint.export.config import ExportConfig
from traqpoint.export.onnx import checked, export_onnx, ready
from traqpoint.files import atomic
from traqpoint.inference.runtimes.graph import read_metadata
from traqpoint.models.traqpoint import TraqPoint


def export_openvino(
    weights: str | Path | TraqPoint,
    path: str | Path,
    image_size: tuple[int, int] | None = None,
    graph: str = "full",
    **options: Any,
) -> str:
    """Write ``NAME.xml`` and ``NAME.bin``, float32 or int8 as it is; metadata as runtime information ``traqpoint``.

    Returns how well it agrees with PyTorch. Arguments and errors: see `export_onnx`; ConfigError for another suffix.
    """
    openvino, path = optional.load("openvino"), Path(path)
    if path.suffix != ".xml":
        raise ConfigError(f"{path}: OpenVINO's files are NAME.xml, with NAME.bin beside it")
    model = ready(weights)
    with tempfile.TemporaryDirectory() as folder:
        onnx = export_onnx(model, Path(folder) / "net.onnx", image_size, graph, **options)
        converted = openvino.convert_model(str(onnx))
        for key, value in read_metadata(onnx).items():
            converted.set_rt_info(value, key.split("."))
        with atomic(path.with_suffix(".bin")) as weights_file, atomic(path) as partial:
            openvino.serialize(converted, str(partial), str(weights_file))
            return checked(run_openvino(partial), graph, model, ExportConfig(image_size, **options), path)


def run_openvino(path: Path) -> Any:
    """Runs such a file, in float32 where it is in float32: inputs by name -> outputs in their order."""
    core = optional.load("openvino").Core()
    request = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()

    def run(inputs: Mapping[str, Tensor]) -> list[Tensor]:
        given = [value.numpy() for value in inputs.values()][: len(request.model_inputs)]
        return [torch.from_numpy(x.copy()) for x in request.infer(given).to_tuple()]

    return run
