"""The dense network as an ONNX file; detection stays in `models.detect`, or in the user's own code."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from traqpoint import optional
from traqpoint.errors import ConfigError
from traqpoint.files import atomic
from traqpoint.models.traqpoint import TraqPoint


class _Dense(nn.Module):
    """images -> (logits, descriptors), as tuples for the exporter."""

    def __init__(self, model: TraqPoint) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.dense(images)[:2]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No log lines below errors: the exporter tells of every library that it does without."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def export_onnx(weights: str | Path, path: str | Path, image_size: tuple[int, int] = (640, 480)) -> Path:
    """Write `logits` (B, 1, H, W) and `descriptors` (B, D, H/s, W/s) of `images` (B, 3, H, W) RGB in [0, 1].

    image_size: (W, H), multiples of the model's stride; fixed in the file, the batch size is free. Raises ConfigError
    for other sizes.
    """
    optional.load("onnxscript")
    path = Path(path)
    model = TraqPoint.from_pretrained(weights).folded()
    width, height = image_size
    if width < model.stride or height < model.stride or width % model.stride or height % model.stride:
        raise ConfigError(f"image_size must be multiples of {model.stride}, got {width}x{height}")
    with atomic(path) as partial, warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), _quiet():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Dense(model),
            (torch.zeros(2, 3, height, width),),
            str(partial),
            input_names=["images"],
            output_names=["logits", "descriptors"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=1024)},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    return path
