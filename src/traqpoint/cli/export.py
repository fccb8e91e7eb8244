"""``traqpoint export onnx``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Onnx:
    """Write the network as an ONNX file: images (B, 3, H, W) RGB in [0, 1] -> logits and descriptors."""

    out: Path
    """The .onnx file."""
    weights: str = "traqpoint-s"
    """Packaged name or path of a .safetensors file."""
    width: int = 640
    """Of the images in pixels, a multiple of 32."""
    height: int = 480
    """Of the images in pixels, a multiple of 32."""

    def run(self) -> int:
        from traqpoint.export.onnx import export_onnx

        print(export_onnx(self.weights, self.out, (self.width, self.height)))
        return 0
