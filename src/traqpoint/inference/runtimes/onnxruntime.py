"""ONNX Runtime on the CPU."""

from __future__ import annotations

import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.inference.config import ExtractorConfig
from traqpoint.inference.runtimes.graph import inputs_of
from traqpoint.inference.runtimes.network_file import network_file
from traqpoint.inference.runtimes.runtime import Runtime
from traqpoint.models.descriptor import Sizes
from traqpoint.models.traqpoint import TraqPoint


def build(model: TraqPoint, config: ExtractorConfig) -> Runtime:
    """See `runtime.Runtime`; as many threads as PyTorch has. int8 gains little on processors without VNNI."""
    runtime = optional.load("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    # Threads that spin while they wait take the processor from PyTorch's, which detect.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = runtime.InferenceSession(
        str(network_file(model, config)), sess_options=options, providers=["CPUExecutionProvider"]
    )
    inputs = [entry.name for entry in session.get_inputs()]

    def dense(images: Tensor, sizes: Sizes) -> tuple[tuple[Tensor, ...], Tensor]:
        given = inputs_of(images, sizes)
        logits, *maps = map(torch.from_numpy, session.run(None, {name: given[name].numpy() for name in inputs}))
        return tuple(maps), logits

    return dense
