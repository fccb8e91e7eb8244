"""int8 by calibration: the descriptor network in 8 bits, its scales from what it sees of example images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from traqpoint import optional
from traqpoint.files import atomic
from traqpoint.inference.runtimes.graph import quiet, write_metadata

EXACT = ("/detector/", "/levels.0/")
"""What the names of those convolutions begin with that stay in float32: they decide where keypoints are, at little
cost."""


def quantize(source: Path, path: Path, examples: Iterable[Mapping[str, Tensor]]) -> Path:
    """Write the graph `source` with its convolutions in int8, but for the detector's.

    examples: inputs by name; those that it lacks are left out. Weights get a scale per channel, in 7 bits: processors
    without VNNI add two products in 16 bits, which 8 would overflow. As QuantizeLinear and DequantizeLinear, which ONNX
    Runtime and OpenVINO both read.
    """
    onnx, _ = optional.load("onnx"), optional.load("onnxruntime")
    quantization = optional.load("onnxruntime.quantization")
    preprocess = optional.load("onnxruntime.quantization.shape_inference").quant_pre_process

    names = [entry.name for entry in onnx.load(source).graph.input]
    inputs = ({name: values[name].numpy() for name in names} for values in examples)
    Reader = type("Reader", (quantization.CalibrationDataReader,), {"get_next": lambda self: next(inputs, None)})

    with atomic(path) as partial, quiet():
        prepared = partial.with_suffix(".prepared.onnx")
        try:
            preprocess(str(source), str(prepared), skip_symbolic_shape=True)
            quantization.quantize_static(
                str(prepared),
                str(partial),
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=[n.name for n in onnx.load(prepared).graph.node if n.name.startswith(EXACT)],
                per_channel=True,
                reduce_range=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
        finally:
            prepared.unlink(missing_ok=True)
        write_metadata(partial, {"traqpoint.precision": "int8"})
    return path
