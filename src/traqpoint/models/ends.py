"""Images of different sizes in one batch, of which none sees where the others end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from traqpoint.image import pad_to_multiple


class Ends(TorchFunctionMode):
    """Within this context, networks see the end of each image where it would be if the image were alone.

    There, a convolution reads zeros behind the last row, and upsampling reads the last row again: so that is put behind
    it before either of them runs. Nothing else may look beyond its own cell: of `local` networks that is true.
    sizes: (W, H) of the images, padded to multiples of the networks' stride. canvas: (W, H) of the batch.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]], canvas: tuple[int, int]) -> None:
        super().__init__()
        self.sizes, self.canvas = sizes, canvas

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.conv2d and max(args[1].shape[-2:]) > 1:
            self._fill(args[0], args[1].shape[-1] // 2, repeat=False)
        elif func is F.interpolate:
            self._fill(args[0], 1, repeat=True)
        return func(*args, **(kwargs or {}))

    def _fill(self, x: Tensor, reach: int, repeat: bool) -> None:
        for one, (width, height) in zip(x, self.sizes, strict=True):
            w, h = width * x.shape[-1] // self.canvas[0], height * x.shape[-2] // self.canvas[1]
            # A row and a column, not the whole rest: what is behind them is never read.
            right, below = one[..., w : w + reach], one[:, h : h + reach]
            right.copy_(one[..., w - 1 : w]) if repeat else right.zero_()
            below.copy_(one[:, h - 1 : h]) if repeat else below.zero_()


def are_ragged(sizes: Sequence[tuple[int, int]], canvas: tuple[int, int]) -> bool:
    """Whether some image of a batch, (W, H) or (H, W) as the canvas, does not fill it."""
    return any(size != canvas for size in sizes)


def padded_size(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """(W, H) extended to multiples of `stride`."""
    width, height = (-(-side // stride) * stride for side in size)
    return width, height


def padded_together(images: Sequence[Tensor], stride: int) -> Tensor:
    """Images (3, H, W) in one batch (B, 3, H, W), each extended to multiples of `stride` by repeating its border.

    What is between that and the largest ones' size is zero.
    """
    padded = [pad_to_multiple(image, stride) for image in images]
    if len(padded) == 1:
        return padded[0][None]
    height, width = (max(image.shape[axis] for image in padded) for axis in (-2, -1))
    out = torch.zeros(len(padded), 3, height, width, dtype=padded[0].dtype, device=padded[0].device)
    for one, image in zip(out, padded, strict=True):
        one[:, : image.shape[-2], : image.shape[-1]] = image
    return out
