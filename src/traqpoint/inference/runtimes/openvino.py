"""OpenVINO on the CPU."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.inference.config import ExtractorConfig
from traqpoint.inference.runtimes.graph import inputs_of
from traqpoint.inference.runtimes.network_file import network_file
from traqpoint.inference.runtimes.runtime import Runtime
from traqpoint.models.descriptor import Sizes
from traqpoint.models.traqpoint import TraqPoint

_KEPT_SHAPES = 4
"""Compiled graphs of one shape that are kept, the last ones used: photographs of one camera lie and stand."""


def build(model: TraqPoint, config: ExtractorConfig) -> Runtime:
    """See `runtime.Runtime`; as many threads as PyTorch has.

    A shape that comes for the second time gets a graph of its own: shapes that are known when it is compiled make it
    faster, and compiling takes as long as many images.
    """
    core = optional.load("openvino").Core()
    path = str(network_file(model, config))
    # Said, not left to OpenVINO: where the processor has bf16 it would take that by itself, and move keypoints.
    hints = {
        "INFERENCE_PRECISION_HINT": "bf16" if config.precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
    }

    def compiled(shape: tuple[int, ...] | None) -> Any:
        graph = core.read_model(path)
        if shape is not None:
            graph.reshape(dict(zip(graph.inputs, (list(shape), [shape[0], 2]), strict=False)))
        return core.compile_model(graph, "CPU", hints).create_infer_request()

    of_shape = lru_cache(maxsize=_KEPT_SHAPES)(compiled)
    of_any_shape = lru_cache(maxsize=1)(lambda: compiled(None))
    seen: Counter[tuple[int, ...]] = Counter()

    def dense(images: Tensor, sizes: Sizes) -> tuple[tuple[Tensor, ...], Tensor]:
        shape = tuple(images.shape)
        seen[shape] += 1
        request = of_shape(shape) if seen[shape] > 1 else of_any_shape()
        inputs = [value.numpy() for value in inputs_of(images, sizes).values()][: len(request.model_inputs)]
        # Its inputs are read where they are; its outputs are copied, for the next image is written over them.
        found = request.infer(inputs, share_inputs=True, share_outputs=False)
        logits, *maps = map(torch.from_numpy, found.to_tuple())
        return tuple(maps), logits

    return dense
